# SPDX-License-Identifier: MIT
"""The console's end of the vhost-user-gpu display socket: answers, and remembers what it is shown.

It only acts when it is served (Guest.wait does), so what it does and when is up to the test."""

import os
import socket
import struct
from dataclasses import dataclass

from . import WAIT
from . import vhost_user as vu
from . import virtio_gpu as vg

GET_PROTOCOL_FEATURES = 1
SET_PROTOCOL_FEATURES = 2
GET_DISPLAY_INFO = 3
CURSOR_POS = 4
CURSOR_POS_HIDE = 5
CURSOR_UPDATE = 6
SCANOUT = 7
UPDATE = 8
DMABUF_SCANOUT = 9
DMABUF_UPDATE = 10
GET_EDID = 11
DMABUF_SCANOUT2 = 12
REPLY = 4
LARGEST = 64 << 20  # bytes of a message that a test may ask for


@dataclass
class Message:
    request: int
    payload: bytes

    def ints(self, count):
        return struct.unpack_from(f'<{count}I', self.payload)


@dataclass
class Update:
    scanout: int
    x: int
    y: int
    width: int
    height: int
    pixels: bytes

    @property
    def rect(self):
        return self.x, self.y, self.width, self.height


class Display:
    """modes: (width, height) per scan-out. answers: per request, bytes that are sent back raw
    instead of the right answer; None for no answer at all."""

    def __init__(self, modes=((1024, 768),), features=1, answers=None):
        self.sock, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WAIT)
        self.modes, self.features = modes, features
        self.answers = answers or {}
        self.messages, self._updates = [], []
        self.handed_over = False
        self.open = True

    def close(self):
        self.sock.close()
        self.theirs.close()
        self.open = False

    def hand_over(self, front_end):
        front_end.send(vu.GPU_SET_SOCKET, fds=[self.theirs.fileno()])
        self.theirs.close()
        self.handed_over = True

    # ---- the protocol

    def serve(self):
        """Reads one message, remembers it, and answers it. Does not mind the end."""
        try:
            self._serve()
        except (BrokenPipeError, ConnectionResetError):
            self.open = False

    def _serve(self):
        head = self._read(12)
        if head is None:
            self.open = False
            return
        request, flags, size = struct.unpack('<III', head)
        assert flags & REPLY == 0 and size <= LARGEST
        payload = self._read(size)
        assert payload is not None, 'a display message cut short'
        self.messages.append(Message(request, payload))
        if request == UPDATE:
            self._updates.append(update_of(payload))
        if request in self.answers:
            answer = self.answers[request]
            answer = answer(self) if callable(answer) else answer
            if answer is not None:
                self.sock.sendall(answer)
        else:
            self._answer(request, payload)

    def _answer(self, request, payload):
        if request == GET_PROTOCOL_FEATURES:
            self.reply(request, vu.u64(self.features))
        elif request == GET_DISPLAY_INFO:
            body = b''.join(struct.pack('<6I', 0, 0, w, h, 1, 0) for w, h in self.modes)
            body = body.ljust(vg.MAX_SCANOUTS * 24, b'\0')
            self.reply(request, vg.hdr(vg.OK_DISPLAY_INFO) + body)
        elif request == GET_EDID:
            scanout, = struct.unpack('<I', payload)
            self.reply(request, vg.hdr(vg.OK_EDID) + struct.pack('<II', 128, 0)
                       + edid_of(scanout).ljust(1024, b'\0'))
        elif request == DMABUF_UPDATE:
            self.reply(request, b'')

    def reply(self, request, payload):
        self.sock.sendall(message(request, payload))

    def _read(self, size):
        data = bytearray()
        while len(data) < size:
            part, fds, _, _ = socket.recv_fds(self.sock, min(size - len(data), 1 << 20), 8)
            for fd in fds:
                os.close(fd)
            if not part:
                return None
            data += part
        return bytes(data)

    # ---- what was shown

    def of(self, *requests):
        return [m for m in self.messages if m.request in requests]

    def updates(self):
        """All UPDATEs so far."""
        return self._updates

    def forget(self):
        self.messages, self._updates = [], []

    def await_close(self):
        """Reads on, answering nothing, until the renderer closes."""
        try:
            while self.sock.recv(1 << 20):
                pass
        except ConnectionResetError:
            pass


def update_of(payload):
    scanout, x, y, width, height = struct.unpack_from('<5I', payload)
    assert len(payload) == 20 + width * height * 4, 'an UPDATE of the wrong size'
    return Update(scanout, x, y, width, height, payload[20:])


def message(request, payload, flags=REPLY, size=None):
    """A display message as bytes; size: what the header claims, if not the payload's length."""
    return struct.pack('<III', request, flags, len(payload) if size is None else size) + payload


def edid_of(scanout):
    """128 bytes that look like an EDID block and differ per scan-out, with the right checksum."""
    block = bytearray(128)
    block[:8] = b'\0\xff\xff\xff\xff\xff\xff\0'
    block[8:10] = b'\x06\xaf'
    block[18:20] = b'\x01\x04'
    block[12] = scanout
    block[127] = -sum(block) & 0xFF
    return bytes(block)
