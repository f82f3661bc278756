# SPDX-License-Identifier: MIT
"""Descriptor rings that break the rules: the connection ends, with the error eventfd raised."""

import struct

import pytest
from raw import virtio_gpu as vg
from raw import vring
from raw.vring import DESC_INDIRECT, DESC_NEXT, DESC_WRITE

COMMAND = vg.get_display_info()


class Bad:
    """A guest whose next chain is broken; go() shows it to the renderer."""

    def __init__(self, session, queue=vg.CONTROL):
        self.session = session
        self.guest = session.guest()
        self.memory, self.ring = self.guest.memory, self.guest.rings[queue]
        self.request, self.response = self.memory.alloc(4096), self.memory.alloc(4096)
        self.memory.write(self.request, COMMAND)

    def go(self, head=0):
        self.ring.offer(head)
        self.refused()

    def refused(self):
        self.ring.kick()
        self.session.refused(self.guest.front_end)
        assert vring.drain(self.ring.err_fd) == 1, 'no error notification'


@pytest.fixture(params=[vg.CONTROL, vg.CURSOR], ids=['control', 'cursor'])
def bad(session, request):
    return Bad(session, request.param)


# ---- links


def test_descriptor_that_follows_itself(bad):
    bad.ring.desc(0, bad.request, 24, DESC_NEXT, 0)
    bad.go()


def test_loop_of_two(bad):
    bad.ring.desc(0, bad.request, 24, DESC_NEXT, 1)
    bad.ring.desc(1, bad.request, 24, DESC_NEXT, 0)
    bad.go()


def test_loop_over_the_whole_table(bad):
    for i in range(64):
        bad.ring.desc(i, bad.request, 24, DESC_NEXT, (i + 1) % 64)
    bad.go()


def test_loop_that_does_not_contain_the_head(bad):
    bad.ring.desc(0, bad.request, 24, DESC_NEXT, 1)
    bad.ring.desc(1, bad.response, 24, DESC_NEXT | DESC_WRITE, 2)
    bad.ring.desc(2, bad.response, 24, DESC_NEXT | DESC_WRITE, 1)
    bad.go()


@pytest.mark.parametrize('following', [64, 65, 1024, 0x7FFF, 0xFFFF])
def test_next_outside_the_table(bad, following):
    bad.ring.desc(0, bad.request, 24, DESC_NEXT, following)
    bad.go()


@pytest.mark.parametrize('head', [64, 65, 1024, 0x7FFF, 0xFFFF])
def test_head_outside_the_table(bad, head):
    bad.go(head)


@pytest.mark.parametrize('ahead', [65, 66, 1000, 0x7FFF, 0xFFFF])
def test_available_index_jumps(bad, ahead):
    bad.ring.desc(0, bad.request, 24, 0)
    bad.ring.set_avail_idx(bad.ring.avail_idx + ahead)
    bad.refused()


def test_available_index_goes_back(bad):
    guest = bad.guest
    queue = guest.rings.index(bad.ring)
    for _ in range(3):
        guest.finish(guest.submit(COMMAND, queue))
    bad.ring.set_avail_idx(bad.ring.avail_idx - 1)
    bad.refused()


# ---- lengths and addresses


@pytest.mark.parametrize('flags', [0, DESC_WRITE], ids=['readable', 'writable'])
def test_zero_length(bad, flags):
    bad.ring.desc(0, bad.request, 24, DESC_NEXT, 1)
    bad.ring.desc(1, bad.response, 0, flags)
    bad.go()


def test_zero_length_head(bad):
    bad.ring.desc(0, bad.request, 0)
    bad.go()


@pytest.mark.parametrize('flags', [0, DESC_WRITE], ids=['readable', 'writable'])
@pytest.mark.parametrize('length', [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF])
def test_huge_length(bad, flags, length):
    bad.ring.desc(0, bad.request, length, flags)
    bad.go()


def test_huge_lengths_add_up(bad):
    """Each fits in memory, all together are more than 4 GiB."""
    size = bad.memory.size
    heads = 60
    for i in range(heads):
        bad.ring.desc(i, bad.memory.gpa, size, DESC_NEXT if i + 1 < heads else 0, i + 1)
    # 60 × 8 MiB are fine as a request, if nothing copies them: an unknown or cut command.
    bad.ring.offer(0)
    bad.ring.kick()
    bad.guest.wait(lambda: bad.ring.used_idx() == 1)


def test_4_gib_in_an_indirect_table(session):
    """1024 × 8 MiB: more than a chain may hold."""
    bad = Bad(session)
    table = bad.memory.alloc(1024 * 16)
    entry = struct.pack('<QIH', bad.memory.gpa, bad.memory.size, DESC_NEXT)
    entries = b''.join(entry + struct.pack('<H', (i + 1) % 1024) for i in range(1024))
    bad.memory.write(table, entries[:-4] + bytes(4))
    bad.ring.desc(0, table, 1024 * 16, DESC_INDIRECT)
    bad.go()


@pytest.mark.parametrize('flags', [0, DESC_WRITE], ids=['readable', 'writable'])
@pytest.mark.parametrize('where', ['null', 'below', 'above', 'end', 'top', 'wraps', 'uva'])
def test_address_outside_memory(bad, flags, where):
    memory = bad.memory
    address = {'null': 0, 'below': memory.gpa - 24, 'above': memory.gpa + memory.size,
               'end': memory.gpa + memory.size - 23, 'top': 2**64 - 24, 'wraps': 2**64 - 8,
               'uva': memory.uva}[where]
    bad.ring.desc(0, bad.request, 24, DESC_NEXT, 1)
    bad.ring.desc(1, address, 24, flags)
    bad.go()


def test_last_bytes_of_memory_are_fine(session):
    bad = Bad(session)
    end = bad.memory.gpa + bad.memory.size
    bad.memory.write(end - 24, COMMAND)
    bad.ring.add([(end - 24, 24)], [(end - 4096, 4000)])
    bad.ring.kick()
    bad.guest.wait(lambda: bad.guest.finished_chains)
    assert vg.Response(bad.memory.read(end - 4096, 408)).kind == vg.OK_DISPLAY_INFO


# ---- direction


def test_readable_behind_writable(bad):
    bad.ring.desc(0, bad.response, 512, DESC_WRITE | DESC_NEXT, 1)
    bad.ring.desc(1, bad.request, 24)
    bad.go()


def test_request_in_a_writable_descriptor(session):
    """Write-only where a request should be: there is no request to read."""
    bad = Bad(session)
    bad.memory.write(bad.response, COMMAND.ljust(4096, b'\xee'))
    bad.ring.add([], [(bad.response, 4096)])
    bad.ring.kick()
    bad.guest.wait(lambda: bad.guest.finished_chains)
    _, _, written = bad.guest.finished_chains.pop()
    assert written in (0, 24)
    if written:
        assert vg.Response(bad.memory.read(bad.response, 24)).kind == vg.ERR_UNSPEC
    assert bad.memory.read(bad.response + 24, 8) == b'\xee' * 8
    bad.guest.expect(vg.OK_DISPLAY_INFO, COMMAND)


# ---- indirect tables


def indirect(bad, table, length=None, flags=0):
    """Offers a chain of one indirect descriptor; table: descriptors as tuples."""
    data = b''.join(struct.pack('<QIHH', *entry) for entry in table)
    gpa = bad.memory.alloc(max(len(data), 16))
    bad.memory.write(gpa, data)
    bad.ring.desc(0, gpa, len(data) if length is None else length, DESC_INDIRECT | flags, 1)
    return gpa


def good_table(bad):
    return [(bad.request, 24, DESC_NEXT, 1), (bad.response, 4096, DESC_WRITE, 0)]


def test_indirect_is_fine(session):
    bad = Bad(session)
    table = bad.memory.alloc(4096)
    bad.ring.add_indirect(table, [(bad.request, 10), (bad.request + 10, 14)],
                          [(bad.response, 100), (bad.response + 100, 3996)])
    bad.ring.kick()
    bad.guest.wait(lambda: bad.guest.finished_chains)
    assert vg.Response(bad.memory.read(bad.response, 408)).kind == vg.OK_DISPLAY_INFO


def test_indirect_in_indirect(bad):
    gpa = indirect(bad, good_table(bad))
    indirect(bad, [(gpa, 32, DESC_INDIRECT, 0)])
    bad.go()


def test_indirect_with_a_next(bad):
    indirect(bad, good_table(bad), flags=DESC_NEXT)
    bad.ring.desc(1, bad.response, 24, DESC_WRITE)
    bad.go()


@pytest.mark.parametrize('length', [0, 1, 15, 17, 31, 0xFFFFFFFF, 0xFFFFFFF0, 16 * 8193, 1 << 30])
def test_indirect_of_a_wrong_length(bad, length):
    indirect(bad, good_table(bad), length)
    bad.go()


def test_indirect_loop(bad):
    indirect(bad, [(bad.request, 24, DESC_NEXT, 0)])
    bad.go()


@pytest.mark.parametrize('following', [2, 100, 0xFFFF])
def test_indirect_next_outside_the_table(bad, following):
    indirect(bad, [(bad.request, 24, DESC_NEXT, following), (bad.response, 24, DESC_WRITE, 0)])
    bad.go()


@pytest.mark.parametrize('where', ['null', 'end', 'top'])
def test_indirect_table_outside_memory(bad, where):
    address = {'null': 0, 'end': bad.memory.gpa + bad.memory.size - 16, 'top': 2**64 - 16}[where]
    bad.ring.desc(0, address, 32, DESC_INDIRECT)
    bad.go()


def test_indirect_that_was_not_negotiated(session):
    guest = session.guest(drop=[28])
    request = guest.memory.alloc(4096)
    guest.memory.write(request, COMMAND)
    guest.rings[0].add_indirect(guest.memory.alloc(4096), [(request, 24)], [(request + 1024, 1024)])
    guest.rings[0].kick()
    session.refused(guest.front_end)


# ---- what the response has to go into


@pytest.mark.parametrize('size', [0, 1, 8, 23])
def test_response_buffer_missing_or_too_small(guest, size):
    """Nothing to write an answer to: the chain comes back, and no byte too much is written."""
    before = guest.memory.alloc(4096)
    guest.memory.write(before, b'\x55' * 4096)
    request = guest.memory.alloc(4096)
    guest.memory.write(request, vg.create_2d(1, 4, 4))
    head = guest.rings[0].add([(request, 40)], [(before + 64, size)] if size else [])
    guest.rings[0].kick()
    guest.wait(lambda: guest.finished_chains)
    queue, done, written = guest.finished_chains.pop()
    assert (queue, done) == (0, head) and written <= size
    assert guest.memory.read(before, 64) == b'\x55' * 64
    assert guest.memory.read(before + 64 + size, 64) == b'\x55' * 64
    guest.expect(vg.OK_DISPLAY_INFO, COMMAND)


@pytest.mark.parametrize('command,size', [
    (vg.get_display_info(), vg.DISPLAY_INFO_BYTES), (vg.get_edid(0), vg.EDID_RESPONSE_BYTES)],
    ids=['display info', 'EDID'])
@pytest.mark.parametrize('missing', [1, 100, None])
def test_response_buffer_too_small_for_this_answer(guest, command, size, missing):
    """Nothing is written, or an error that fits; never a part of the answer."""
    room = 24 if missing is None else size - missing
    response = guest.ctrl(command, into=room)
    assert response.raw == b'' or (len(response.raw) == 24 and response.kind >= vg.ERR_UNSPEC)
    guest.ok(vg.create_2d(1, 4, 4))


def test_scattered_request_and_response(guest):
    """Single bytes: 64 descriptors are 40 for the request and 24 for the response."""
    request, response = guest.memory.alloc(4096), guest.memory.alloc(4096)
    guest.memory.write(request, vg.create_2d(1, 4, 4))
    guest.rings[0].add([(request + i, 1) for i in range(40)],
                       [(response + 2 * i, 1) for i in range(24)])
    guest.rings[0].kick()
    guest.wait(lambda: guest.finished_chains)
    raw = guest.memory.read(response, 48)[::2]
    assert vg.Response(raw).kind == vg.OK_NODATA
    guest.expect(vg.ERR_INVALID_RESOURCE_ID, vg.create_2d(1, 4, 4))


def test_full_ring_at_once(guest):
    """All 64 entries in one kick, answered in order."""
    pending = [guest.submit(vg.create_2d(i + 1, 4, 4), kick=False) for i in range(32)]
    guest.rings[0].kick()
    assert all(guest.finish(p).kind == vg.OK_NODATA for p in pending)


def test_used_ring_is_never_read_back(guest):
    """A driver that scribbles over the used index confuses itself only."""
    ring = guest.rings[0]
    guest.ok(vg.create_2d(1, 4, 4))
    guest.memory.write(ring.used_gpa + 2, struct.pack('<H', 40000))
    request, response = guest.memory.alloc(4096), guest.memory.alloc(4096)
    guest.memory.write(request, vg.create_2d(2, 4, 4))
    head = ring.add([(request, 40)], [(response, 24)])
    ring.kick()
    guest.wait(lambda: ring.used_idx() == 2)
    assert ring.used_elem(1) == (head, 24)
    ring.last_used = 2


def test_the_other_queue_and_the_neighbour_go_on(session, neighbour):
    """A broken ring ends this vGPU's connection, and nothing else."""
    bad = Bad(session)
    bad.ring.desc(0, bad.request, 24, DESC_NEXT, 0)
    bad.go()
    neighbour.unharmed()
