# SPDX-License-Identifier: MIT
"""A vtest client made of plain bytes: what Mesa's virpipe sends, and what it never would."""

import array
import mmap
import os
import socket
import struct

from . import WAIT

GET_CAPS, RESOURCE_CREATE, RESOURCE_UNREF, TRANSFER_GET, TRANSFER_PUT, SUBMIT_CMD, \
    RESOURCE_BUSY_WAIT, CREATE_RENDERER, GET_CAPS2, PING_PROTOCOL_VERSION, PROTOCOL_VERSION, \
    RESOURCE_CREATE2, TRANSFER_GET2, TRANSFER_PUT2, GET_PARAM, GET_CAPSET, CONTEXT_INIT, \
    RESOURCE_CREATE_BLOB, SYNC_CREATE, SYNC_UNREF, SYNC_READ, SYNC_WRITE, SYNC_WAIT, SUBMIT_CMD2 = \
    range(1, 25)
DRM_SYNC_CREATE, DRM_SYNC_TRANSFER, RESOURCE_EXPORT_FD = 25, 37, 38

BUFFER, TEXTURE_2D = 0, 2
B8G8R8A8, R8 = 1, 64
BIND_RENDER_TARGET, BIND_CUSTOM = 1 << 1, 1 << 17


def words(*values):
    return struct.pack(f'<{len(values)}I', *values)


def message(command, body=b'', length=None):
    """length: of the header, where it is not that of the body."""
    return words(len(body) // 4 if length is None else length, command) + body


def create_renderer(name=b'test\0'):
    return message(CREATE_RENDERER, name, len(name))


def texture(handle, width=16, height=16, **other):
    """The words of RESOURCE_CREATE."""
    fields = dict(handle=handle, target=TEXTURE_2D, format=B8G8R8A8, bind=BIND_RENDER_TARGET,
                  width=width, height=height, depth=1, array_size=1, last_level=0, nr_samples=0)
    assert other.keys() <= fields.keys()
    return list((fields | other).values())


def box(x=0, y=0, z=0, w=16, h=16, d=1):
    return [x, y, z, w, h, d]


def inline(command, handle, data, size=None, level=0, stride=0, layer_stride=0, where=None,
           length=None):
    """TRANSFER_GET or _PUT; data is what PUT sends, size the claim about it."""
    size = len(data) if size is None else size
    fields = words(handle, level, stride, layer_stride, *(where or box()), size)
    if length is None:
        length = 11 + ((size + 3) // 4 if command == TRANSFER_PUT else 0)
    return message(command, fields + data, length)


def shared(command, handle, size=1024, level=0, offset=0, where=None):
    """TRANSFER_GET2 or _PUT2. The latter claims, as Mesa does, that data follows."""
    fields = words(handle, level, *(where or box()), size, offset)
    return message(command, fields, 10 + ((size + 3) // 4 if command == TRANSFER_PUT2 else 0))


BLOB_GUEST, BLOB_HOST3D, BLOB_HOST3D_GUEST = 1, 2, 3
MAPPABLE = 1
WAIT_ANY, FOREVER = 1, 0xffffffff
RING_IDX = 1


def wide(value):
    return [value & 0xffffffff, value >> 32]


def create_blob(mem, size, blob_id=0, flags=MAPPABLE):
    return message(RESOURCE_CREATE_BLOB, words(mem, flags, *wide(size), *wide(blob_id)))


def points(*pairs):
    return [word for sync, value in pairs for word in (sync, *wide(value))]


def sync_wait(*pairs, flags=0, timeout=FOREVER):
    return message(SYNC_WAIT, words(flags, timeout, *points(*pairs)))


def submit2(version, *batches):
    """Each batch is (commands, points, ring or None)."""
    stride = 8 if version >= 4 else 6
    at = 1 + stride * len(batches)
    head, body = [len(batches)], b''
    for commands, pairs, ring in batches:
        raised = words(*points(*pairs))
        head += [0 if ring is None else RING_IDX, at, len(commands) // 4,
                 at + len(commands) // 4, len(pairs), ring or 0, 0, 0][:stride]
        body += commands + raised
        at += (len(commands) + len(raised)) // 4
    return message(SUBMIT_CMD2, words(*head) + body)


def busy_wait(handle, wait):
    return message(RESOURCE_BUSY_WAIT, words(handle, int(wait)))


class Client:
    """hello: say who we are at once; version: negotiate one."""

    def __init__(self, path, hello=True, version=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT)
        self.socket.connect(str(path))
        self.version = 0
        if hello:
            self.send(create_renderer())
        if version is not None:
            self.version = self.negotiate(version)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        data = b''
        while len(data) < size:
            chunk = self.socket.recv(min(size - len(data), 1 << 20))
            if not chunk:
                raise ConnectionError(f'closed after {len(data)} of {size} bytes')
            data += chunk
        return data

    def read_words(self, count):
        return list(struct.unpack(f'<{count}I', self.read(4 * count)))

    def read_fd(self):
        """The byte that carries a descriptor, or -1 if it came alone."""
        data, ancillary, _, _ = self.socket.recvmsg(1, socket.CMSG_SPACE(16))
        assert data == b'\0', data
        if not ancillary:
            return -1
        (_, kind, payload), = ancillary
        assert kind == socket.SCM_RIGHTS
        fds = array.array('i', payload)
        assert len(fds) == 1
        return fds[0]

    def closed(self):
        """Waits until the renderer has hung up."""
        try:
            return self.socket.recv(1) == b''
        except ConnectionResetError:
            return True

    # ---- what a client does that behaves

    def negotiate(self, version):
        self.send(message(PROTOCOL_VERSION, words(version)))
        length, command, answer = self.read_words(3)
        assert (length, command) == (1, PROTOCOL_VERSION)
        return answer

    def create(self, handle, size, *args, **fields):
        """RESOURCE_CREATE2; returns the handle and the shared memory's descriptor."""
        by_server = self.version >= 3
        self.send(message(RESOURCE_CREATE2,
                          words(*texture(0 if by_server else handle, *args, **fields), size)))
        if by_server:
            length, command, handle = self.read_words(3)
            assert (length, command) == (1, RESOURCE_CREATE2)
        return handle, self.read_fd() if size else -1

    def create_mapped(self, handle=1, size=1024, *args, **fields):
        handle, fd = self.create(handle, size, *args, **fields)
        assert handle and fd >= 0
        try:
            return handle, mmap.mmap(fd, size)
        finally:
            os.close(fd)

    def blob(self, *args, **options):
        """Its handle and descriptor."""
        self.send(create_blob(*args, **options))
        length, command, handle = self.read_words(3)
        assert (length, command) == (1, RESOURCE_CREATE_BLOB) and handle
        return handle, self.read_fd()

    def sync(self, value=0):
        self.send(message(SYNC_CREATE, words(*wide(value))))
        length, command, sync = self.read_words(3)
        assert (length, command) == (1, SYNC_CREATE) and sync
        return sync

    def sync_value(self, sync):
        self.send(message(SYNC_READ, words(sync)))
        length, command, low, high = self.read_words(4)
        assert (length, command) == (2, SYNC_READ)
        return low | high << 32

    def sync_fd(self, *pairs, **options):
        self.send(sync_wait(*pairs, **options))
        assert self.read_words(2) == [0, SYNC_WAIT]
        return self.read_fd()

    def busy(self, handle=0, wait=True):
        self.send(busy_wait(handle, wait))
        length, command, answer = self.read_words(3)
        assert (length, command) == (1, RESOURCE_BUSY_WAIT)
        return answer

    def settle(self):
        """Returns when all that was sent is handled."""
        assert self.busy() == 0
