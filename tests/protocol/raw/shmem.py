# SPDX-License-Identifier: MIT
"""The front-end's end of the socket for the back-end's requests: shows blobs as QEMU does.

It only acts when it is served (Guest.wait does), so what it does and when is up to the test."""

import array
import mmap
import os
import socket
import struct
from dataclasses import dataclass

from . import WAIT
from . import vhost_user as vu

HOST_VISIBLE = 1
MMAP = struct.Struct('<B7xQQQQ')
CONFIG_BYTES = 8 + 256 * 8


@dataclass
class Request:
    kind: int
    fd_offset: int
    offset: int
    size: int
    needs_reply: bool


@dataclass
class Shown:
    """What is in the region at one offset."""
    size: int
    fd: int
    fd_offset: int
    map: mmap.mmap


class Shmem:
    """answers: for each request in turn, what is sent back instead of the right answer: bytes, or
    None for nothing. lists: puts blobs into the memory table, if memory slots are negotiated.
    serves: whether Guest.wait serves it. driver: is the driver of the rings too, and says so: it is
    shown blobs without being asked for an answer."""

    PROTOCOL = 1 << vu.P_BACKEND_REQ | 1 << vu.P_BACKEND_SEND_FD | 1 << vu.P_SHMEM
    GPA, UVA = 0x100000000000, 0x7E0000000000

    def __init__(self, answers=(), lists=True, serves=True, driver=False):
        self.answers, self.lists, self.serves = list(answers), lists, serves
        if driver:
            self.PROTOCOL |= 1 << vu.P_DRIVER
        self.requests, self.shown, self.unlisted = [], {}, []
        self.size = None
        self.front_end = None
        self.open = False
        self.sock = self.theirs = None

    def close(self):
        for offset in list(self.shown):
            self._hide(offset)
        for sock in self.sock, self.theirs:
            if sock:
                sock.close()
        self.open = False

    def hand_over(self, front_end):
        """May be called again, for another socket."""
        if self.sock:
            self.sock.close()
        self.front_end = front_end
        self.sock, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WAIT)
        front_end.tell(vu.SET_BACKEND_REQ_FD, fds=[self.theirs.fileno()])
        self.theirs.close()
        self.theirs = None
        self.open = True

    def ask_size(self, front_end):
        data = front_end.ask(vu.GET_SHMEM_CONFIG)
        assert len(data) == CONFIG_BYTES
        count, _ = struct.unpack_from('<II', data)
        sizes = struct.unpack_from('<256Q', data, 8)
        assert count == sum(1 for size in sizes if size)
        assert not any(size for shmid, size in enumerate(sizes) if shmid != HOST_VISIBLE)
        self.size = sizes[HOST_VISIBLE]
        return self.size

    # ---- the protocol

    def serve(self):
        """Takes one request and does what it says, unless there is another answer to give."""
        request, fd = self._read()
        if request is None:
            self.open = False
            return
        self.requests.append(request)
        if not request.needs_reply:
            assert request.kind == vu.BACKEND_SHMEM_MAP
            assert self._show(request, fd)
        elif self.answers:
            answer = self.answers.pop(0)
            if fd is not None:
                os.close(fd)
            if answer is not None:
                self.sock.sendall(answer)
        elif request.kind == vu.BACKEND_SHMEM_MAP:
            self.answer(request, self._show(request, fd))
            self.list_blob(request.offset)
        else:
            shown = self.shown.get(request.offset)
            good = shown is not None and shown.size == request.size
            self.answer(request, good)
            if good:
                self.unlist_blob(request.offset)
                self._hide(request.offset)

    def _read(self):
        data, fds, received = b'', array.array('i'), 0
        while len(data) < 12 + MMAP.size:
            try:
                part, ancillary, _, _ = self.sock.recvmsg(12 + MMAP.size - len(data),
                                                          socket.CMSG_LEN(64))
            except ConnectionResetError:
                part, ancillary = b'', []
            for level, kind, payload in ancillary:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                fds.frombytes(payload)
            if not part:
                return None, None
            data += part
        kind, flags, size = struct.unpack_from('<III', data)
        assert kind in (vu.BACKEND_SHMEM_MAP, vu.BACKEND_SHMEM_UNMAP)
        driver = self.front_end.protocol_features & (1 << vu.P_DRIVER)
        assert flags in (vu.VERSION | vu.NEED_REPLY, vu.VERSION if driver else None)
        assert size == MMAP.size
        shmid, fd_offset, offset, length, how = MMAP.unpack_from(data, 12)
        assert (shmid, how) == (HOST_VISIBLE, 1)
        assert len(fds) == (1 if kind == vu.BACKEND_SHMEM_MAP else 0)
        request = Request(kind, fd_offset, offset, length, bool(flags & vu.NEED_REPLY))
        return request, fds[0] if fds else None

    def answer(self, request, good):
        self.sock.sendall(answer_to(request.kind, 0 if good else 1))

    def _show(self, request, fd):
        """As QEMU: True if it could be done."""
        inside = request.offset + request.size <= self.size
        free = all(request.offset + request.size <= at or at + shown.size <= request.offset
                   for at, shown in self.shown.items())
        whole = os.fstat(fd).st_size >= request.fd_offset + request.size
        if not (inside and free and whole):
            os.close(fd)
            return False
        shown = mmap.mmap(fd, request.size, offset=request.fd_offset)
        self.shown[request.offset] = Shown(request.size, fd, request.fd_offset, shown)
        return True

    def hide(self, offset):
        """Of its own will."""
        self._hide(offset)

    def _hide(self, offset):
        shown = self.shown.pop(offset)
        shown.map.close()
        os.close(shown.fd)

    # ---- the memory table

    def _slots(self):
        return self.lists and self.front_end.protocol_features & (1 << vu.P_MEM_SLOTS)

    def region(self, offset):
        shown = self.shown[offset]
        return self.GPA + offset, shown.size, self.UVA + offset, shown.fd_offset

    def list_blob(self, offset):
        if self._slots() and offset in self.shown:
            self.front_end.tell(vu.ADD_MEM_REG, vu.mem_reg(self.region(offset)),
                                [self.shown[offset].fd])

    def unlist_blob(self, offset):
        if self._slots():
            self.front_end.tell(vu.REM_MEM_REG, vu.mem_reg(self.region(offset)))

    def reset(self):
        """What QEMU does by itself when its machine is reset."""
        for offset in list(self.shown):
            self.unlist_blob(offset)
            self._hide(offset)


def answer_to(kind, value, flags=vu.VERSION | vu.REPLY, size=8):
    return struct.pack('<IIIQ', kind, flags, size, value)
