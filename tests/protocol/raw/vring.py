# SPDX-License-Identifier: MIT
"""Guest memory in a memfd, and split virtqueues written into it by hand.

Ring.add() is the driver that behaves; desc(), offer() and the raw fields below it are for those
that do not.
"""

import mmap
import os
import struct

DESC_NEXT, DESC_WRITE, DESC_INDIRECT = 1, 2, 4
AVAIL_NO_INTERRUPT, USED_NO_NOTIFY = 1, 1
PAGE = 4096


class Memory:
    """Guest RAM: one memfd, seen by the guest at gpa and by the front-end at uva.

    The two addresses have nothing to do with where this process maps it, so that a renderer which
    mixes them up fails."""

    def __init__(self, size=8 << 20, gpa=0x40000000, uva=0x7F1200000000, name='aliquot-test'):
        self.size, self.gpa, self.uva = size, gpa, uva
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        self._next = 0

    def close(self):
        if self.fd >= 0:
            self.map.close()
            os.close(self.fd)
            self.fd = -1

    def alloc(self, size, align=PAGE):
        """Guest-physical address of size fresh bytes; never given back."""
        start = -(-self._next // align) * align
        assert start + size <= self.size, 'test memory is too small'
        self._next = start + size
        return self.gpa + start

    def uva_of(self, gpa):
        return gpa - self.gpa + self.uva

    def write(self, gpa, data):
        start = gpa - self.gpa
        self.map[start:start + len(data)] = bytes(data)

    def read(self, gpa, size):
        start = gpa - self.gpa
        assert 0 <= start and start + size <= self.size
        return self.map[start:start + size]

    def region(self, offset=0, size=None):
        """(gpa, size, uva, mmap_offset) of a part, as memory messages want it."""
        size = self.size - offset if size is None else size
        return self.gpa + offset, size, self.uva + offset, offset


class Ring:
    """The driver's side of one split virtqueue."""

    def __init__(self, memory, num=64):
        self.memory, self.num = memory, num
        self.desc_gpa = memory.alloc(16 * num)
        self.avail_gpa = memory.alloc(6 + 2 * num)
        self.used_gpa = memory.alloc(6 + 8 * num)
        self.avail_idx = 0
        self.last_used = 0
        self.free = list(range(num))
        self.chains = {}  # head → its descriptors
        self.kick_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.call_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.err_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def close(self):
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            if fd >= 0:
                os.close(fd)
        self.kick_fd = self.call_fd = self.err_fd = -1

    # ---- raw fields

    def desc(self, index, addr, length, flags=0, following=0):
        self.memory.write(self.desc_gpa + 16 * index,
                          struct.pack('<QIHH', addr, length, flags, following))

    def set_avail_idx(self, value):
        self.avail_idx = value & 0xFFFF
        self.memory.write(self.avail_gpa + 2, struct.pack('<H', self.avail_idx))

    def offer(self, head):
        """Makes the chain that starts at head available, whatever is there."""
        slot = self.avail_idx % self.num
        self.memory.write(self.avail_gpa + 4 + 2 * slot, struct.pack('<H', head))
        self.set_avail_idx(self.avail_idx + 1)

    def set_avail_flags(self, flags):
        self.memory.write(self.avail_gpa, struct.pack('<H', flags))

    def set_used_event(self, value):
        """EVENT_IDX: notify when the used index passes this one."""
        self.memory.write(self.avail_gpa + 4 + 2 * self.num, struct.pack('<H', value & 0xFFFF))

    def used_flags(self):
        return struct.unpack('<H', self.memory.read(self.used_gpa, 2))[0]

    def used_idx(self):
        return struct.unpack('<H', self.memory.read(self.used_gpa + 2, 2))[0]

    def avail_event(self):
        return struct.unpack('<H', self.memory.read(self.used_gpa + 4 + 8 * self.num, 2))[0]

    def used_elem(self, index):
        return struct.unpack('<II', self.memory.read(self.used_gpa + 4 + 8 * (index % self.num), 8))

    def kick(self):
        os.eventfd_write(self.kick_fd, 1)

    def take_calls(self):
        """Notifications since the last time; 0 if none."""
        return drain(self.call_fd)

    # ---- a driver that behaves

    def add(self, out=(), into=()):
        """Makes a chain of (gpa, length) parts available, readable ones first; returns its head."""
        parts = [(a, n, 0) for a, n in out] + [(a, n, DESC_WRITE) for a, n in into]
        assert parts and len(parts) <= len(self.free)
        taken = [self.free.pop(0) for _ in parts]
        for i, (addr, length, flags) in enumerate(parts):
            last = i + 1 == len(parts)
            self.desc(taken[i], addr, length, flags | (0 if last else DESC_NEXT),
                      0 if last else taken[i + 1])
        self.chains[taken[0]] = taken
        self.offer(taken[0])
        return taken[0]

    def add_indirect(self, table_gpa, out=(), into=()):
        parts = [(a, n, 0) for a, n in out] + [(a, n, DESC_WRITE) for a, n in into]
        table = b''
        for i, (addr, length, flags) in enumerate(parts):
            last = i + 1 == len(parts)
            table += struct.pack('<QIHH', addr, length, flags | (0 if last else DESC_NEXT),
                                 0 if last else i + 1)
        self.memory.write(table_gpa, table)
        head = self.free.pop(0)
        self.desc(head, table_gpa, len(table), DESC_INDIRECT)
        self.chains[head] = [head]
        self.offer(head)
        return head

    def take_used(self):
        """The next finished chain as (head, bytes written), or None."""
        if self.used_idx() == self.last_used:
            return None
        head, written = self.used_elem(self.last_used)
        self.last_used = (self.last_used + 1) & 0xFFFF
        self.free.extend(self.chains.pop(head, []))
        return head, written


def drain(eventfd):
    try:
        return os.eventfd_read(eventfd)
    except BlockingIOError:
        return 0
