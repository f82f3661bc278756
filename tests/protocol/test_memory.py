# SPDX-License-Identifier: MIT
"""The memory table and ring addresses: regions and rings that are not where they should be."""

import contextlib
import os
import socket

import pytest
from raw import vhost_user as vu
from raw import virtio_gpu as vg
from raw.vhost_user import Closed
from raw.vring import Memory

SLOTS = 1 << vu.P_MQ | 1 << vu.P_REPLY_ACK | 1 << vu.P_CONFIG | 1 << vu.P_MEM_SLOTS
TABLE = SLOTS & ~(1 << vu.P_MEM_SLOTS)
TOP = 1 << 64
BAD_BACKING = (vg.ERR_INVALID_PARAMETER, vg.ERR_UNSPEC)
MIB = 1 << 20


@pytest.fixture
def memory(session):
    return session.keep(Memory(4 * MIB))


def negotiated(session, protocol=SLOTS):
    fe = session.connect()
    fe.negotiate(protocol)
    return fe


def refuse(session, fe, *args):
    with contextlib.suppress(Closed):
        fe.send(*args)
    session.refused(fe)


def works(guest):
    """Commands and backing memory do what they should."""
    guest.make_2d(77, 8, 8)
    guest.ok(vg.transfer_2d(77, 0, 0, 8, 8))
    guest.ok(vg.unref(77))


# ---- what is right


@pytest.mark.parametrize('protocol', [SLOTS, TABLE], ids=['slots', 'table'])
def test_memory_in_several_regions(session, protocol):
    """One file in three pieces; a resource's backing goes across two of them."""
    guest = session.guest(start=False, protocol=protocol)
    memory = guest.memory
    cuts = [0, 1 * MIB, 3 * MIB, memory.size]
    regions = [memory.region(a, b - a) for a, b in zip(cuts, cuts[1:])]
    for _, step in guest.connect_steps() + guest.start_steps(regions=regions):
        step()
    across = memory.gpa + 3 * MIB - 128
    guest.ok(vg.create_2d(1, 8, 8))
    guest.ok(vg.attach_backing(1, [(across, 256)]))
    guest.ok(vg.transfer_2d(1, 0, 0, 8, 8))
    # and so does a request
    memory.write(across + 120, vg.transfer_2d(1, 0, 0, 8, 8))
    response = memory.alloc(4096)
    guest.rings[0].add([(across + 120, 56)], [(response, 24)])
    guest.rings[0].kick()
    guest.wait(lambda: guest.finished_chains)
    assert vg.Response(memory.read(response, 24)).kind == vg.OK_NODATA


def test_region_is_removed_and_comes_again(session):
    """QEMU splits and joins regions while the guest runs; backing stays usable."""
    guest = session.guest()
    fe, memory = guest.front_end, guest.memory
    guest.make_2d(1, 64, 64)
    for _ in range(20):
        fe.tell(vu.REM_MEM_REG, vu.mem_reg(memory.region()))
        half = memory.size // 2
        for region in memory.region(0, half), memory.region(half):
            fe.tell(vu.ADD_MEM_REG, vu.mem_reg(region), [memory.fd])
        guest.ok(vg.transfer_2d(1, 0, 0, 64, 64))
        for region in memory.region(half), memory.region(0, half):
            fe.tell(vu.REM_MEM_REG, vu.mem_reg(region))
        fe.tell(vu.ADD_MEM_REG, vu.mem_reg(memory.region()), [memory.fd])
        guest.ok(vg.transfer_2d(1, 0, 0, 64, 64))
    guest.ok(vg.unref(1))
    assert session.renderer.measure().memfds <= 2


def test_commands_wait_for_memory_that_is_away(session):
    """Between REM and ADD there is nothing to read requests from; nothing is lost."""
    guest = session.guest()
    fe, memory = guest.front_end, guest.memory
    fe.tell(vu.REM_MEM_REG, vu.mem_reg(memory.region()))
    pending = guest.submit(vg.create_2d(1, 4, 4))
    fe.ask_u64(vu.GET_FEATURES)
    assert not guest.finished(pending)
    fe.tell(vu.ADD_MEM_REG, vu.mem_reg(memory.region()), [memory.fd])
    assert guest.finish(pending).kind == vg.OK_NODATA


def test_whole_table_again_and_again(session):
    guest = session.guest(protocol=TABLE)
    memory = guest.memory
    guest.make_2d(1, 64, 64)
    for _ in range(50):
        guest.front_end.tell(vu.SET_MEM_TABLE, vu.mem_table([memory.region()]), [memory.fd])
        guest.ok(vg.transfer_2d(1, 0, 0, 64, 64))
    assert session.renderer.measure().memfds == 1


def test_as_many_slots_as_were_promised(session, memory):
    fe = negotiated(session)
    slots = fe.ask_u64(vu.GET_MAX_MEM_SLOTS)
    regions = [memory.region(i * 4096, 4096) for i in range(slots)]
    for region in regions:
        fe.tell(vu.ADD_MEM_REG, vu.mem_reg(region), [memory.fd])
    assert session.renderer.measure().memfds <= slots
    for region in reversed(regions[10:]):
        fe.tell(vu.REM_MEM_REG, vu.mem_reg(region))
    for region in regions[10:]:
        fe.tell(vu.ADD_MEM_REG, vu.mem_reg(region), [memory.fd])
    extra = memory.region(slots * 4096, 4096)
    refuse(session, fe, vu.ADD_MEM_REG, vu.mem_reg(extra), [memory.fd])


def test_a_table_with_eight_regions(session, memory):
    fe = negotiated(session, TABLE)
    regions = [memory.region(i * 8192, 4096) for i in range(8)]
    fe.tell(vu.SET_MEM_TABLE, vu.mem_table(regions), [memory.fd] * 8)
    assert session.renderer.measure().memfds == 8
    fe.tell(vu.SET_MEM_TABLE, vu.mem_table(regions[:1]), [memory.fd])
    assert session.renderer.measure().memfds == 1


# ---- single regions

# (gpa, size, uva, offset) with a file of 4 MiB
BAD_REGIONS = {
    'empty': (0, 0, 0, 0),
    'size 2^64-1': (0, TOP - 1, 0, 0),
    'size 2^63': (0, 1 << 63, 0, 0),
    'gpa wraps': (TOP - 4096, 8192, 0, 0),
    'gpa ends at 2^64': (TOP - 4096, 4096, 0, 0),
    'uva wraps': (0, 8192, TOP - 4096, 0),
    'uva ends at 2^64': (0, 4096, TOP - 4096, 0),
    'offset wraps': (0, 8192, 0, TOP - 4096),
    'offset negative': (0, 4096, 0, 1 << 63),
    'offset behind the file': (0, 4096, 0, 4 * MIB),
    'one page more than the file': (0, 4 * MIB + 4096, 0, 0),
    'one byte more than the file': (0, 4 * MIB + 1, 0, 0),
    'end one page behind the file': (0, 4 * MIB, 0, 4096),
    'a terabyte': (0, 1 << 40, 0, 0),
    'misaligned offset': (0, 4096, 0, 1),
    'misaligned gpa': (1, 4096, 0, 0),
    'misaligned uva': (0, 4096, 1, 0),
}


@pytest.mark.parametrize('name', BAD_REGIONS)
@pytest.mark.parametrize('how', ['add', 'table', 'table of two'])
def test_bad_region(session, memory, name, how):
    region = BAD_REGIONS[name]
    if how == 'add':
        refuse(session, negotiated(session), vu.ADD_MEM_REG, vu.mem_reg(region), [memory.fd])
        return
    regions = [region]
    if how == 'table of two':
        regions = [(1 << 40, 4096, 1 << 40, 0), region]
    refuse(session, negotiated(session, TABLE), vu.SET_MEM_TABLE, vu.mem_table(regions),
           [memory.fd] * len(regions))


OVERLAPS = {
    'same': (0x10000, 0x4000),
    'start inside': (0x13000, 0x4000),
    'end inside': (0xD000, 0x4000),
    'inside': (0x11000, 0x1000),
    'around': (0xF000, 0x6000),
    'last page': (0x13000, 0x1000),
}


@pytest.mark.parametrize('name', OVERLAPS)
@pytest.mark.parametrize('how', ['add', 'table'])
def test_overlap(session, memory, name, how):
    start, size = OVERLAPS[name]
    first, second = (0x10000, 0x4000, 1 << 40, 0), (start, size, 1 << 41, 0x8000)
    if how == 'add':
        fe = negotiated(session)
        fe.tell(vu.ADD_MEM_REG, vu.mem_reg(first), [memory.fd])
        refuse(session, fe, vu.ADD_MEM_REG, vu.mem_reg(second), [memory.fd])
    else:
        refuse(session, negotiated(session, TABLE), vu.SET_MEM_TABLE,
               vu.mem_table([first, second]), [memory.fd] * 2)


def test_the_same_memory_at_two_guest_addresses(session):
    """QEMU has such aliases: ranges of the front-end's address space may overlap."""
    guest = session.guest()
    memory = guest.memory
    alias = (memory.gpa << 4, memory.size, memory.uva, 0)
    guest.front_end.tell(vu.ADD_MEM_REG, vu.mem_reg(alias), [memory.fd])
    guest.ok(vg.create_2d(1, 16, 16))
    guest.ok(vg.attach_backing(1, [(memory.gpa << 4, 512), (memory.gpa, 512)]))
    guest.ok(vg.transfer_2d(1, 0, 0, 16, 16))
    guest.front_end.tell(vu.REM_MEM_REG, vu.mem_reg(alias))
    works(guest)


def test_neighbouring_regions_are_fine(session, memory):
    fe = negotiated(session)
    for start in 0x10000, 0x14000, 0xC000:
        fe.tell(vu.ADD_MEM_REG, vu.mem_reg((start, 0x4000, start, 0)), [memory.fd])


@pytest.mark.parametrize('change', ['gpa', 'size', 'uva'])
def test_removing_a_region_that_is_not_there(session, memory, change):
    region = {'gpa': (0x2000, 4096, 0x1000, 0), 'size': (0x1000, 8192, 0x1000, 0),
              'uva': (0x1000, 4096, 0x2000, 0)}[change]
    fe = negotiated(session)
    fe.tell(vu.ADD_MEM_REG, vu.mem_reg((0x1000, 4096, 0x1000, 0)), [memory.fd])
    refuse(session, fe, vu.REM_MEM_REG, vu.mem_reg(region))


def test_removing_twice(session, memory):
    fe = negotiated(session)
    region = vu.mem_reg((0x1000, 4096, 0x1000, 0))
    fe.tell(vu.ADD_MEM_REG, region, [memory.fd])
    fe.tell(vu.REM_MEM_REG, region)
    refuse(session, fe, vu.REM_MEM_REG, region)


def test_removing_with_a_descriptor(session, memory):
    """libvhost-user's peers send one; it has to be closed."""
    fe = negotiated(session)
    region = vu.mem_reg((0x1000, 4096, 0x1000, 0))
    before = session.renderer.measure()
    for _ in range(20):
        fe.tell(vu.ADD_MEM_REG, region, [memory.fd])
        fe.tell(vu.REM_MEM_REG, region, [memory.fd])
    fe.ask_u64(vu.GET_FEATURES)  # acknowledged first, closed then
    assert session.renderer.measure().fds == before.fds


# ---- tables


@pytest.mark.parametrize('count,fds', [(2, 1), (1, 2), (0, 1), (8, 7), (3, 8)])
def test_table_with_another_number_of_descriptors(session, memory, count, fds):
    regions = [memory.region(i * 8192, 4096) for i in range(count)]
    refuse(session, negotiated(session, TABLE), vu.SET_MEM_TABLE, vu.mem_table(regions),
           [memory.fd] * fds)


@pytest.mark.parametrize('claimed', [0, 2, 8, 9, 0x10000, 0x08000001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_table_that_claims_another_number_of_regions(session, memory, claimed):
    refuse(session, negotiated(session, TABLE), vu.SET_MEM_TABLE,
           vu.mem_table([memory.region(0, 4096)], nregions=claimed), [memory.fd])


@pytest.mark.parametrize('kind', ['pipe', 'socket', 'eventfd', 'directory', 'null', 'read only'])
@pytest.mark.parametrize('how', ['add', 'table'])
def test_memory_that_is_no_memory(session, kind, how):
    fds = []
    if kind == 'pipe':
        fds += os.pipe()
    elif kind == 'socket':
        fds += [s.detach() for s in socket.socketpair()]
    elif kind == 'eventfd':
        fds.append(os.eventfd(0))
    elif kind == 'directory':
        fds.append(os.open('/', os.O_RDONLY))
    elif kind == 'null':
        fds.append(os.open('/dev/null', os.O_RDWR))
    else:
        fds.append(os.open(__file__, os.O_RDONLY))
    region = (0, 4096, 0, 0)
    try:
        if how == 'add':
            refuse(session, negotiated(session), vu.ADD_MEM_REG, vu.mem_reg(region), fds[:1])
        else:
            refuse(session, negotiated(session, TABLE), vu.SET_MEM_TABLE, vu.mem_table([region]),
                   fds[:1])
    finally:
        for fd in fds:
            os.close(fd)


# ---- where rings may be


def ring_guest(session):
    """A guest right before its ring addresses."""
    guest = session.guest(start=False)
    for name, step in guest.steps():
        if name.startswith('SET_VRING_ADDR'):
            return guest
        step()
    raise AssertionError


def place(guest, desc=None, used=None, avail=None):
    """The good address message of ring 0, but for what is given."""
    uva, ring = guest.memory.uva_of, guest.rings[0]
    return vu.vring_addr(0, uva(ring.desc_gpa) if desc is None else desc,
                         uva(ring.used_gpa) if used is None else used,
                         uva(ring.avail_gpa) if avail is None else avail)


def start_ring(session, guest, payload):
    """Addresses, then the kick that makes them count. One of the two must be refused."""
    with contextlib.suppress(Closed):
        guest.front_end.send(vu.SET_VRING_ADDR, payload)
        guest.front_end.send(vu.SET_VRING_KICK, vu.u64(0), [guest.rings[0].kick_fd])
    session.refused(guest.front_end)


PARTS = {'desc': (16 * 64, 16), 'used': (6 + 8 * 64, 4), 'avail': (6 + 2 * 64, 2)}


@pytest.mark.parametrize('part', PARTS)
@pytest.mark.parametrize('where', ['null', 'before', 'behind', 'guest-physical', 'last byte',
                                   'one over the end', 'misaligned', 'wraps', 'top'])
def test_ring_outside(session, part, where):
    size, align = PARTS[part]
    guest = ring_guest(session)
    memory = guest.memory
    end = memory.uva + memory.size
    address = {'null': 0, 'before': memory.uva - align, 'behind': end,
               'guest-physical': memory.gpa, 'last byte': end - align,
               'one over the end': (end - size) // align * align + align,
               'misaligned': memory.uva_of(memory.alloc(8192)) + align // 2,
               'wraps': TOP - align, 'top': (TOP - size) // align * align}[where]
    start_ring(session, guest, place(guest, **{part: address}))


@pytest.mark.parametrize('part', PARTS)
def test_ring_at_the_very_end(session, part):
    """The last place where it fits is fine."""
    size, align = PARTS[part]
    guest = ring_guest(session)
    memory, ring = guest.memory, guest.rings[0]
    gpa = memory.gpa + (memory.size - size) // align * align
    setattr(ring, f'{part}_gpa', gpa)
    remaining = [step for name, step in guest.steps()[guest_index(guest, 'SET_VRING_ADDR 0'):]]
    for step in remaining:
        step()
    works(guest)


def guest_index(guest, wanted):
    return next(i for i, (name, _) in enumerate(guest.steps()) if name == wanted)


def test_ring_across_two_regions(session):
    """A ring has to be contiguous for us: two regions are two mappings."""
    guest = session.guest(start=False)
    memory = guest.memory
    regions = [memory.region(0, MIB), memory.region(MIB)]
    for name, step in guest.connect_steps() + guest.start_steps(regions=regions):
        if name.startswith('SET_VRING_ADDR'):
            break
        step()
    start_ring(session, guest, place(guest, desc=memory.uva + MIB - 16))


@pytest.mark.parametrize('flags', [1, 0xFFFFFFFF])
def test_ring_with_logging(session, flags):
    """It was not offered."""
    guest = ring_guest(session)
    payload = bytearray(place(guest))
    payload[4:8] = flags.to_bytes(4, 'little')
    start_ring(session, guest, bytes(payload))


def test_kick_before_the_addresses(session):
    guest = ring_guest(session)
    refuse(session, guest.front_end, vu.SET_VRING_KICK, vu.u64(0), [guest.rings[0].kick_fd])


def test_rings_that_lie_upon_each_other(session):
    """Nonsense, but all of it in guest memory: the guest only hurts itself."""
    guest = ring_guest(session)
    ring = guest.rings[0]
    fe = guest.front_end
    same = guest.memory.uva_of(ring.desc_gpa)
    fe.send(vu.SET_VRING_ADDR, place(guest, desc=same, used=same, avail=same))
    fe.send(vu.SET_VRING_KICK, vu.u64(0), [ring.kick_fd])
    fe.send(vu.SET_VRING_ENABLE, vu.vring_state(0, 1))
    guest.memory.write(ring.desc_gpa, b'\xff' * 1024)
    ring.kick()
    session.refused(fe)


def test_memory_goes_away_under_a_running_ring(session):
    """Backing and rings keep what they use; the next requests wait or the connection ends, and
    all is given back in the end."""
    guest = session.guest()
    guest.make_2d(1, 256, 256, parts=16)
    guest.front_end.tell(vu.REM_MEM_REG, vu.mem_reg(guest.memory.region()))
    guest.rings[0].kick()
    guest.front_end.ask_u64(vu.GET_FEATURES)


def test_every_region_has_another_file(session):
    """Two files at neighbouring addresses: what spans them comes from both."""
    guest = session.guest()
    other = session.keep(Memory(MIB, gpa=guest.memory.gpa + guest.memory.size,
                                uva=guest.memory.uva + guest.memory.size))
    guest.front_end.tell(vu.ADD_MEM_REG, vu.mem_reg(other.region()), [other.fd])
    guest.ok(vg.create_2d(1, 16, 16))
    guest.ok(vg.attach_backing(1, [(other.gpa - 512, 1024)]))
    guest.ok(vg.transfer_2d(1, 0, 0, 16, 16))
    guest.front_end.tell(vu.REM_MEM_REG, vu.mem_reg(other.region()))
    guest.ok(vg.transfer_2d(1, 0, 0, 16, 16))  # the backing holds on to it
    guest.ok(vg.create_2d(2, 16, 16))
    guest.expect(BAD_BACKING, vg.attach_backing(2, [(other.gpa, 1024)]))
    guest.ok(vg.unref(1))
    assert session.renderer.measure().memfds == 1
