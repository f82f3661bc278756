# SPDX-License-Identifier: MIT
"""vhost-user messages, sent the way QEMU does or in any other way."""

import array
import contextlib
import select
import socket
import struct
import time

from . import WAIT

GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
RESET_OWNER = 4
SET_MEM_TABLE = 5
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13
SET_VRING_ERR = 14
GET_PROTOCOL_FEATURES = 15
SET_PROTOCOL_FEATURES = 16
GET_QUEUE_NUM = 17
SET_VRING_ENABLE = 18
SET_BACKEND_REQ_FD = 21
GET_CONFIG = 24
SET_CONFIG = 25
GPU_SET_SOCKET = 33
RESET_DEVICE = 34
GET_MAX_MEM_SLOTS = 36
ADD_MEM_REG = 37
REM_MEM_REG = 38
GET_SHMEM_CONFIG = 44

# What the back-end sends.
BACKEND_CONFIG_CHANGE, BACKEND_SHMEM_MAP, BACKEND_SHMEM_UNMAP = 2, 9, 10

VERSION, REPLY, NEED_REPLY = 1, 4, 8
VRING_NOFD = 0x100

F_PROTOCOL_FEATURES = 30
F_INDIRECT_DESC = 28
F_EVENT_IDX = 29
F_VERSION_1 = 32
P_MQ, P_REPLY_ACK, P_BACKEND_REQ, P_CONFIG = 0, 3, 5, 9
P_BACKEND_SEND_FD, P_RESET_DEVICE, P_MEM_SLOTS, P_SHMEM, P_DRIVER = 10, 13, 15, 22, 63

# name → (request, smallest payload, largest payload, fewest fds, most fds)
MESSAGES = {
    'GET_FEATURES': (GET_FEATURES, 0, 0, 0, 0),
    'SET_FEATURES': (SET_FEATURES, 8, 8, 0, 0),
    'SET_OWNER': (SET_OWNER, 0, 0, 0, 0),
    'SET_MEM_TABLE': (SET_MEM_TABLE, 8, 8 + 32 * 8, 1, 8),
    'SET_VRING_NUM': (SET_VRING_NUM, 8, 8, 0, 0),
    'SET_VRING_ADDR': (SET_VRING_ADDR, 40, 40, 0, 0),
    'SET_VRING_BASE': (SET_VRING_BASE, 8, 8, 0, 0),
    'GET_VRING_BASE': (GET_VRING_BASE, 8, 8, 0, 0),
    'SET_VRING_KICK': (SET_VRING_KICK, 8, 8, 0, 1),
    'SET_VRING_CALL': (SET_VRING_CALL, 8, 8, 0, 1),
    'SET_VRING_ERR': (SET_VRING_ERR, 8, 8, 0, 1),
    'GET_PROTOCOL_FEATURES': (GET_PROTOCOL_FEATURES, 0, 0, 0, 0),
    'SET_PROTOCOL_FEATURES': (SET_PROTOCOL_FEATURES, 8, 8, 0, 0),
    'GET_QUEUE_NUM': (GET_QUEUE_NUM, 0, 0, 0, 0),
    'SET_VRING_ENABLE': (SET_VRING_ENABLE, 8, 8, 0, 0),
    'SET_BACKEND_REQ_FD': (SET_BACKEND_REQ_FD, 0, 0, 1, 1),
    'GET_CONFIG': (GET_CONFIG, 12, 12 + 256, 0, 0),
    'SET_CONFIG': (SET_CONFIG, 12, 12 + 256, 0, 0),
    'GPU_SET_SOCKET': (GPU_SET_SOCKET, 0, 0, 1, 1),
    'GET_MAX_MEM_SLOTS': (GET_MAX_MEM_SLOTS, 0, 0, 0, 0),
    'ADD_MEM_REG': (ADD_MEM_REG, 40, 40, 1, 1),
    'REM_MEM_REG': (REM_MEM_REG, 40, 40, 0, 1),
}


class Closed(Exception):
    """The back-end has closed the connection."""


def u64(value):
    return struct.pack('<Q', value)


def vring_state(index, num):
    return struct.pack('<II', index, num)


def vring_addr(index, desc, used, avail, flags=0, log=0):
    return struct.pack('<IIQQQQ', index, flags, desc, used, avail, log)


def mem_table(regions, nregions=None):
    """regions: (gpa, size, uva, mmap_offset); nregions: the number claimed, if another."""
    head = struct.pack('<II', len(regions) if nregions is None else nregions, 0)
    return head + b''.join(struct.pack('<QQQQ', *region) for region in regions)


def mem_reg(region):
    return u64(0) + struct.pack('<QQQQ', *region)


def config(offset, size, flags=0, data=None):
    return struct.pack('<III', offset, size, flags) + (bytes(size) if data is None else data)


class FrontEnd:
    """One vhost-user connection."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A Python timeout would make connect() fail at once where the backlog is full.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', int(WAIT), 0))
        self.sock.connect(str(path))
        self.sock.settimeout(WAIT)
        self.protocol_features = 0

    def close(self):
        self.sock.close()

    # ---- anything goes

    def send_raw(self, data, fds=()):
        """Sends these bytes, with descriptors on the first of them."""
        try:
            if fds:
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))]
                sent = self.sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
                data = data[sent:]
            if data:
                self.sock.sendall(data, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def send(self, request, payload=b'', fds=(), flags=VERSION, size=None):
        """Sends a message; size: what its header claims, if not the payload's length."""
        size = len(payload) if size is None else size
        self.send_raw(struct.pack('<III', request, flags, size) + payload, fds)

    def read(self, size):
        data = b''
        while len(data) < size:
            try:
                part = self.sock.recv(size - len(data))
            except ConnectionResetError as error:
                raise Closed from error
            if not part:
                raise Closed
            data += part
        return data

    def recv(self):
        """The next message of the back-end: (request, flags, payload)."""
        request, flags, size = struct.unpack('<III', self.read(12))
        assert size <= 65536
        return request, flags, self.read(size)

    def await_close(self):
        """Waits until the back-end closes; what it still says before is returned."""
        data = b''
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            try:
                part = self.sock.recv(65536)
            except ConnectionResetError:
                return data
            if not part:
                return data
            data += part
        raise AssertionError('the connection stays open')

    def readable(self, seconds=0.0):
        return bool(select.select([self.sock], [], [], seconds)[0])

    # ---- a front-end that behaves

    def ask(self, request, payload=b''):
        """Sends a request that has an answer; returns the answer's payload."""
        self.send(request, payload)
        answered, flags, data = self.recv()
        assert (answered, flags) == (request, VERSION | REPLY)
        return data

    def ask_u64(self, request):
        return struct.unpack('<Q', self.ask(request))[0]

    def tell(self, request, payload=b'', fds=()):
        """Sends a message without answer, and waits for its acknowledgement where negotiated."""
        if not self.protocol_features & (1 << P_REPLY_ACK):
            self.send(request, payload, fds)
            return
        status = self.status_of(request, payload, fds)
        assert status == 0, f'message {request} refused with {status}'

    def status_of(self, request, payload=b'', fds=()):
        """Acknowledgement of a message: 0 for done."""
        self.send(request, payload, fds, flags=VERSION | NEED_REPLY)
        answered, flags, data = self.recv()
        assert (answered, flags, len(data)) == (request, VERSION | REPLY, 8)
        return struct.unpack('<Q', data)[0]

    def negotiate(self, want=None):
        """What QEMU says on connecting."""
        features = self.ask_u64(GET_FEATURES)
        assert features & (1 << F_PROTOCOL_FEATURES)
        offered = self.ask_u64(GET_PROTOCOL_FEATURES)
        if want is None:
            want = sum(1 << bit for bit in (P_MQ, P_REPLY_ACK, P_CONFIG, P_MEM_SLOTS))
        self.set_protocol_features(offered & want)
        if offered & want & (1 << P_MQ):
            assert self.ask_u64(GET_QUEUE_NUM) == 2
        if offered & want & (1 << P_MEM_SLOTS):
            assert self.ask_u64(GET_MAX_MEM_SLOTS) >= 8
        self.tell(SET_OWNER)
        return features

    def set_protocol_features(self, bits):
        self.send(SET_PROTOCOL_FEATURES, u64(bits))
        self.protocol_features = bits

    def get_config(self, offset, size):
        data = self.ask(GET_CONFIG, config(offset, size))
        assert data[:8] == struct.pack('<II', offset, size)
        return data[12:]

    def get_vring_base(self, index):
        answered, base = struct.unpack('<II', self.ask(GET_VRING_BASE, vring_state(index, 0)))
        assert answered == index
        return base


@contextlib.contextmanager
def connected(path):
    front_end = FrontEnd(path)
    try:
        yield front_end
    finally:
        front_end.close()
