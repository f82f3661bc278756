# SPDX-License-Identifier: MIT
"""Guest memory that another processor writes while the renderer reads it: whatever was checked
must be what is used. The sanitizers are the judge; answers are chance."""

import contextlib
import struct
import subprocess
import sys

import pytest
from raw import vhost_user as vu
from raw import virtio_gpu as vg
from raw.vhost_user import Closed

ROUNDS = 150
CONNECTIONS = 8

# Writes two values by turns, as fast as it can, until it is killed.
FLIPPER = '''
import mmap, sys
fd, size, at = (int(arg) for arg in sys.argv[1:4])
first, second = (bytes.fromhex(arg) for arg in sys.argv[4:6])
memory = mmap.mmap(fd, size)
end = at + len(first)
print(flush=True)
while True:
    memory[at:end] = first
    memory[at:end] = second
'''


@contextlib.contextmanager
def flipping(memory, gpa, first, second):
    """Another process writes first and second to gpa by turns."""
    process = subprocess.Popen(
        [sys.executable, '-c', FLIPPER, str(memory.fd), str(memory.size), str(gpa - memory.gpa),
         first.hex(), second.hex()], pass_fds=[memory.fd], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def u32(value):
    return struct.pack('<I', value)


BIG = 0xFFFFFFFF

# name → (command, offset in it, one value, the other)
COMMANDS = {
    'number of entries': (vg.attach_backing(2, [(0x40000000, 64)] * 8), 28, u32(8), u32(BIG)),
    'address of an entry': (vg.attach_backing(2, [(0x40000000, 64)] * 8), 32 + 7 * 16,
                            struct.pack('<QI', 0x40000000, 64), struct.pack('<QI', 0, BIG)),
    'type': (vg.transfer_2d(1, 0, 0, 16, 16), 0, u32(vg.TRANSFER_TO_HOST_2D), u32(BIG)),
    'resource': (vg.transfer_2d(1, 0, 0, 16, 16), 48, u32(1), u32(7)),
    'rectangle': (vg.transfer_2d(1, 0, 0, 16, 16), 32, u32(16) * 2, u32(BIG) * 2),
    'offset': (vg.transfer_2d(1, 0, 0, 16, 16), 40, bytes(8), b'\xff' * 8),
    'size of a resource': (vg.create_2d(3, 4, 4), 32, u32(4), u32(BIG)),
    'length of a stream': (vg.submit_3d(1, bytes(256)), 24, u32(256), u32(BIG - 3)),
    'fence': (vg.submit_3d(1, bytes(256)), 4, u32(0), u32(3)),
}

# name → (offset in the descriptor, one value, the other)
DESCRIPTORS = {
    'address': (0, struct.pack('<Q', 0x40000000), b'\xff' * 8),
    'length': (8, u32(24), u32(BIG)),
    'flags': (12, struct.pack('<H', 0), struct.pack('<H', 4)),
    'next': (12, struct.pack('<HH', 1, 1), struct.pack('<HH', 1, 0xFFFF)),
}


def ready(session):
    guest = session.guest()
    guest.make_2d(1, 16, 16)
    guest.ok(vg.create_2d(2, 16, 16))
    guest.ok(vg.ctx_create(1))
    return guest


@pytest.mark.parametrize('name', COMMANDS)
def test_command_changes(session, name):
    command, at, first, second = COMMANDS[name]
    guest = ready(session)
    request, response = guest.memory.alloc(4096), guest.memory.alloc(4096)
    guest.memory.write(request, command)
    with flipping(guest.memory, request + at, first, second):
        for i in range(ROUNDS):
            guest.rings[0].add([(request, len(command))], [(response, 24)])
            guest.rings[0].kick()
            guest.wait(lambda i=i: len(guest.finished_chains) == i + 1)
            guest.ctrl(vg.detach_backing(2))
            guest.ctrl(vg.unref(3))
    assert all(written == 24 for _, _, written in guest.finished_chains)
    guest.ok(vg.transfer_2d(1, 0, 0, 16, 16))


@pytest.mark.parametrize('name', DESCRIPTORS)
@pytest.mark.parametrize('indirect', [False, True], ids=['direct', 'indirect'])
def test_descriptor_changes(session, name, indirect):
    """Some connections end because the renderer saw the bad value."""
    at, first, second = DESCRIPTORS[name]
    session.any_lines()
    for _ in range(CONNECTIONS):
        guest = ready(session)
        ring, memory = guest.rings[0], guest.memory
        table, response = memory.alloc(4096), memory.alloc(4096)
        head = ring.free[0]
        base = table if indirect else ring.desc_gpa + 16 * head
        with contextlib.suppress(Closed), flipping(memory, base + at, first, second):
            for i in range(ROUNDS // CONNECTIONS):
                ring.free.sort(key=lambda index: index != head)  # the same one each time
                if indirect:
                    ring.add_indirect(table, [(memory.gpa, 24)], [(response, 4096)])
                else:
                    ring.add([(memory.gpa, 24)], [(response, 4096)])
                ring.kick()
                guest.wait(lambda i=i: len(guest.finished_chains) == i + 1)
        guest.close()


def test_available_index_changes(session):
    session.any_lines()
    for _ in range(CONNECTIONS):
        guest = ready(session)
        ring = guest.rings[0]
        now = ring.avail_idx
        with contextlib.suppress(Closed), flipping(
                guest.memory, ring.avail_gpa + 2, struct.pack('<H', now),
                struct.pack('<H', now + 60)):
            for _ in range(ROUNDS):
                ring.kick()
                guest.front_end.ask_u64(vu.GET_FEATURES)
        guest.close()
