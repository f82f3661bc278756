# SPDX-License-Identifier: MIT
"""Blobs, and the host-visible region: what the renderer asks of a front-end, and what it makes of
the answers of a bad one."""

import os
import select
import time

import pytest
from raw import WAIT
from raw import vhost_user as vu
from raw import virtio_gpu as vg
from raw.guest import Guest
from raw.renderer import Renderer
from raw.shmem import Shmem, answer_to
from raw.vhost_user import BACKEND_SHMEM_MAP, BACKEND_SHMEM_UNMAP
from raw.virtio_gpu import (ERR_INVALID_CONTEXT_ID, ERR_INVALID_PARAMETER,
                            ERR_INVALID_RESOURCE_ID, ERR_OUT_OF_MEMORY, ERR_UNSPEC, OK_MAP_INFO,
                            OK_NODATA)

PAGE = 4096
REGION = 1 << 30  # the default
MOST_MAPPED = 480
MAX = 0xFFFFFFFF
SLOTS = 1 << vu.P_MQ | 1 << vu.P_REPLY_ACK | 1 << vu.P_CONFIG | 1 << vu.P_MEM_SLOTS


def start(session, shmem=None, **options):
    """A guest with context 1, whose front-end shows blobs."""
    guest = session.guest(shmem=shmem or Shmem(), **options)
    guest.ok(vg.ctx_create(1))
    return guest


def host_blob(guest, resource, size=PAGE, **options):
    guest.ok(vg.create_blob(1, resource, size, blob_id=options.pop('blob_id', resource), **options))


def map_blob(guest, resource, offset):
    response = guest.expect(OK_MAP_INFO, vg.map_blob(resource, offset))
    assert response.body == vg.MAP_CACHED.to_bytes(8, 'little')
    return guest.shmem.shown[offset]


def serve(guest, requests):
    """Has the front-end serve so many requests, and nothing else."""
    end = time.monotonic() + WAIT
    while requests > 0:
        assert select.select([guest.shmem.sock], [], [], end - time.monotonic())[0], 'no request'
        guest.shmem.serve()
        requests -= 1


def goes_on(guest):
    """The guest and its connection are served."""
    guest.front_end.ask_u64(vu.GET_FEATURES)
    guest.make_2d(900, 8, 8)
    guest.ok(vg.unref(900))


@pytest.fixture(params=['slots', 'table'])
def protocol(request):
    bits = SLOTS | Shmem.PROTOCOL
    return bits if request.param == 'slots' else bits & ~(1 << vu.P_MEM_SLOTS)


# ---- mapping


def test_region(session):
    guest = start(session)
    assert guest.shmem.size == REGION
    assert guest.has(vg.F_RESOURCE_BLOB) and guest.has(vg.F_CONTEXT_INIT)


def test_map_and_map_again(session, protocol):
    """The same memory each time, wherever it is."""
    guest = start(session, protocol=protocol)
    host_blob(guest, 1, 3 * PAGE)
    shown = map_blob(guest, 1, PAGE)
    assert shown.size == 3 * PAGE and shown.map[:] == bytes(3 * PAGE)
    shown.map[PAGE:PAGE + 5] = b'hello'
    guest.ok(vg.unmap_blob(1))
    assert not guest.shmem.shown
    for offset in 0, REGION - 3 * PAGE:
        assert map_blob(guest, 1, offset).map[PAGE:PAGE + 5] == b'hello'
        guest.ok(vg.unmap_blob(1))
    guest.ok(vg.unref(1))
    assert [r.kind for r in guest.shmem.requests] == [BACKEND_SHMEM_MAP, BACKEND_SHMEM_UNMAP] * 3


def test_two_blobs_are_two_memories(session, protocol):
    guest = start(session, protocol=protocol)
    for resource in 1, 2:
        host_blob(guest, resource)
        map_blob(guest, resource, resource * PAGE).map[:4] = bytes([resource] * 4)
    assert guest.shmem.shown[PAGE].map[:4] == b'\1\1\1\1'
    guest.ok(vg.unmap_blob(1))
    guest.ok(vg.unref(1))
    assert guest.shmem.shown[2 * PAGE].map[:4] == b'\2\2\2\2'


def test_blob_with_guest_memory_too(session):
    guest = start(session)
    memory = guest.memory.alloc(PAGE)
    host_blob(guest, 1, mem=vg.BLOB_HOST3D_GUEST, entries=[(memory, PAGE)])
    map_blob(guest, 1, 0)


def test_answered_when_the_memory_table_has_it(session):
    """A front-end with memory slots says yes before the guest can see the memory."""
    guest = start(session)
    host_blob(guest, 1)
    map_blob(guest, 1, 0)  # one that does, so it is waited for
    guest.shmem.lists = False
    host_blob(guest, 2)
    pending = guest.submit(vg.map_blob(2, PAGE))
    serve(guest, 1)
    goes_on(guest)
    assert not guest.finished(pending)
    guest.shmem.lists = True
    guest.shmem.list_blob(PAGE)
    assert guest.finish(pending).kind == OK_MAP_INFO


def test_front_end_that_lists_no_blobs(session):
    """It has memory slots and does not use them for this: its word counts, at last at once."""
    guest = start(session, Shmem(lists=False))
    host_blob(guest, 1)
    map_blob(guest, 1, 0)
    host_blob(guest, 2)
    map_blob(guest, 2, PAGE)


def test_map_that_is_never_listed(session):
    """The guest has switched the region off, say."""
    guest = start(session)
    host_blob(guest, 1)
    map_blob(guest, 1, 0)
    guest.shmem.lists = False
    host_blob(guest, 2)
    guest.expect(ERR_UNSPEC, vg.map_blob(2, PAGE))
    guest.wait(lambda: PAGE not in guest.shmem.shown)  # taken back
    guest.shmem.lists = True
    map_blob(guest, 2, PAGE)


def test_others_are_served_while_a_map_is_pending(session, protocol):
    guest = start(session, protocol=protocol)
    guest.shmem.serves = False
    host_blob(guest, 1)
    pending = guest.submit(vg.map_blob(1, 0))
    fe = guest.front_end
    for _ in range(3):
        goes_on(guest)
    if protocol & (1 << vu.P_MEM_SLOTS):
        region = (0x80000000, 1 << 20, 0x7F5500000000, 0)
        fe.tell(vu.ADD_MEM_REG, vu.mem_reg(region), [guest.memory.fd])
        fe.tell(vu.REM_MEM_REG, vu.mem_reg(region))
    else:
        fe.tell(vu.SET_MEM_TABLE, vu.mem_table([guest.memory.region()]), [guest.memory.fd])
    # The blob itself is neither mapped nor free, and its place is taken.
    guest.expect(ERR_UNSPEC, vg.map_blob(1, PAGE))
    guest.expect(ERR_UNSPEC, vg.unmap_blob(1))
    guest.expect(ERR_UNSPEC, vg.unref(1))
    host_blob(guest, 2)
    guest.expect(ERR_INVALID_PARAMETER, vg.map_blob(2, 0))
    assert not guest.finished(pending)
    guest.shmem.serves = True
    assert guest.finish(pending).kind == OK_MAP_INFO


def test_whole_table_with_blobs_in_it(session):
    """Without memory slots QEMU sends all regions each time, blobs too."""
    guest = start(session, protocol=(SLOTS | Shmem.PROTOCOL) & ~(1 << vu.P_MEM_SLOTS))
    host_blob(guest, 1)
    shown = map_blob(guest, 1, 0)
    regions = [guest.memory.region(), guest.shmem.region(0)]
    for _ in range(2):
        guest.front_end.tell(vu.SET_MEM_TABLE, vu.mem_table(regions), [guest.memory.fd, shown.fd])
        goes_on(guest)
    # A blob is no RAM: nothing can be put there for the renderer to use.
    guest.ok(vg.create_2d(2, 8, 8))
    guest.expect(ERR_INVALID_PARAMETER, vg.attach_backing(2, [(regions[1][0], 256)]))
    guest.ok(vg.unmap_blob(1))
    guest.front_end.tell(vu.SET_MEM_TABLE, vu.mem_table(regions[:1]), [guest.memory.fd])
    goes_on(guest)


def test_unmap_unref_and_map_without_waiting(session):
    """Drivers do not wait for an unmap; what comes after it may use the place."""
    guest = start(session)
    guest.shmem.serves = False
    for resource in range(1, 41):
        host_blob(guest, resource)
    pending = [guest.submit(vg.map_blob(1, 0))]
    guest.shmem.serves = True
    assert guest.finish(pending.pop()).kind == OK_MAP_INFO
    guest.shmem.serves = False
    unmap = guest.submit(vg.unmap_blob(1))
    guest.ok(vg.unref(1))
    again = guest.submit(vg.map_blob(2, 0))
    goes_on(guest)
    assert not guest.finished(unmap) and not guest.finished(again)
    guest.shmem.serves = True
    assert guest.finish(unmap).kind == OK_NODATA
    assert guest.finish(again).kind == OK_MAP_INFO


def test_as_many_as_qemu_can_bear(session):
    """QEMU aborts at its 513th region: one map too many is refused, until one is gone."""
    guest = start(session)
    for resource in range(1, MOST_MAPPED + 2):
        host_blob(guest, resource)
    for resource in range(1, MOST_MAPPED + 1):
        map_blob(guest, resource, resource * PAGE)
    guest.expect(ERR_OUT_OF_MEMORY, vg.map_blob(MOST_MAPPED + 1, 0))
    guest.ok(vg.unmap_blob(7))
    map_blob(guest, MOST_MAPPED + 1, 0)
    guest.expect(ERR_OUT_OF_MEMORY, vg.map_blob(7, 7 * PAGE))


def test_many_requests_at_a_time(session):
    """They are sent one by one, and done in order."""
    guest = start(session, num=1024, memory_size=32 << 20)
    for resource in range(1, MOST_MAPPED + 1):
        host_blob(guest, resource)
    guest.shmem.serves = False
    pending = [guest.submit(vg.map_blob(r, r * PAGE)) for r in range(1, MOST_MAPPED + 1)]
    goes_on(guest)
    assert not any(guest.finished(p) for p in pending)
    for _ in range(3):
        assert len(guest.shmem.sock.recv(4096, vu.socket.MSG_PEEK)) == 52
        serve(guest, 1)
    guest.shmem.serves = True
    assert {guest.finish(p).kind for p in pending} == {OK_MAP_INFO}
    assert [r.offset for r in guest.shmem.requests] == [
        r * PAGE for r in range(1, MOST_MAPPED + 1)]


# ---- front-ends that can't, or won't


@pytest.mark.parametrize('missing', [vu.P_SHMEM, vu.P_BACKEND_REQ, vu.P_REPLY_ACK])
def test_front_end_without_it(session, missing):
    """Blobs are there; mapping them is an error."""
    bits = (SLOTS | Shmem.PROTOCOL) & ~(1 << missing)
    guest = session.guest(protocol=bits)
    if missing != vu.P_SHMEM:
        shmem = session.keep(Shmem())
        assert shmem.ask_size(guest.front_end) == 0
    guest.ok(vg.ctx_create(1))
    host_blob(guest, 1)
    guest.expect(ERR_UNSPEC, vg.map_blob(1, 0))
    guest.expect(ERR_UNSPEC, vg.unmap_blob(1))
    goes_on(guest)


def test_front_end_that_asks_unasked(session):
    guest = session.guest()
    guest.front_end.send(vu.GET_SHMEM_CONFIG)
    session.refused(guest.front_end)


def test_refused_maps(session, protocol):
    no = answer_to(BACKEND_SHMEM_MAP, 1)
    guest = start(session, Shmem(answers=[no, answer_to(BACKEND_SHMEM_MAP, (1 << 64) - 1)]),
                  protocol=protocol)
    host_blob(guest, 1)
    for _ in range(2):
        guest.expect(ERR_UNSPEC, vg.map_blob(1, 0))
    guest.expect(ERR_UNSPEC, vg.unmap_blob(1))
    map_blob(guest, 1, 0)


def test_refused_unmap(session, protocol):
    guest = start(session, protocol=protocol)
    host_blob(guest, 1)
    map_blob(guest, 1, 0)
    guest.shmem.answers = [answer_to(BACKEND_SHMEM_UNMAP, 1)]
    guest.expect(ERR_UNSPEC, vg.unmap_blob(1))
    guest.expect(ERR_UNSPEC, vg.unmap_blob(1))  # to the device it is not mapped
    guest.expect(ERR_UNSPEC, vg.map_blob(1, 0))  # the front-end still has something there
    map_blob(guest, 1, PAGE)


def test_no_answer(session):
    """The guest gets an error after a while, and is served all the time."""
    guest = start(session, Shmem(answers=[None] * 3))
    for resource in 1, 2, 3:
        host_blob(guest, resource)
    pending = [guest.submit(vg.map_blob(r, r * PAGE)) for r in (1, 2, 3)]
    goes_on(guest)
    assert not any(guest.finished(p) for p in pending)
    session.expect_lines()
    assert {guest.finish(p).kind for p in pending} == {ERR_UNSPEC}
    guest.expect(ERR_UNSPEC, vg.map_blob(1, 0))
    guest.ok(vg.unref(1))
    goes_on(guest)


GARBAGE = {
    'another request': answer_to(BACKEND_SHMEM_UNMAP, 0),
    'no request': answer_to(0, 0),
    'no reply': answer_to(BACKEND_SHMEM_MAP, 0, flags=vu.VERSION),
    'unknown flags': answer_to(BACKEND_SHMEM_MAP, 0, flags=vu.VERSION | vu.REPLY | 0x100),
    'another version': answer_to(BACKEND_SHMEM_MAP, 0, flags=2 | vu.REPLY),
    'too short': answer_to(BACKEND_SHMEM_MAP, 0, size=4),
    'too long': answer_to(BACKEND_SHMEM_MAP, 0, size=MAX),
    'ones': b'\xff' * 20,
    'zeros': bytes(20),
    'twice': answer_to(BACKEND_SHMEM_MAP, 1) * 2,
    'much': os.urandom(4096),
}


@pytest.mark.parametrize('garbage', GARBAGE.values(), ids=GARBAGE)
def test_garbage_for_an_answer(session, garbage):
    """The front-end is asked no more; guest and connection go on."""
    guest = start(session)
    host_blob(guest, 1)
    map_blob(guest, 1, 0)
    guest.shmem.answers = [garbage]
    host_blob(guest, 2)
    session.expect_lines()
    guest.expect(ERR_UNSPEC, vg.map_blob(2, PAGE))
    guest.wait(lambda: not guest.shmem.open)
    guest.expect(ERR_UNSPEC, vg.map_blob(2, PAGE))
    goes_on(guest)
    # What is mapped can be given up, if not taken back.
    guest.expect(ERR_UNSPEC, vg.unref(1))
    guest.expect(ERR_UNSPEC, vg.unmap_blob(1))
    guest.ok(vg.unref(1))


def test_an_answer_in_pieces(session):
    guest = start(session, Shmem(answers=[b'']), protocol=SLOTS & ~(1 << vu.P_MEM_SLOTS)
                  | Shmem.PROTOCOL)
    host_blob(guest, 1)
    pending = guest.submit(vg.map_blob(1, 0))
    serve(guest, 1)
    for byte in answer_to(BACKEND_SHMEM_MAP, 0):
        assert not guest.finished(pending)
        guest.shmem.sock.sendall(bytes([byte]))
        goes_on(guest)
    assert guest.finish(pending).kind == OK_MAP_INFO


def test_answers_with_descriptors(session):
    """Nobody asked for them; they are not kept."""
    guest = start(session, Shmem(answers=[b'']), protocol=SLOTS & ~(1 << vu.P_MEM_SLOTS)
                  | Shmem.PROTOCOL)
    host_blob(guest, 1)
    pending = guest.submit(vg.map_blob(1, 0))
    serve(guest, 1)
    fds = [guest.memory.fd] * 8
    vu.socket.send_fds(guest.shmem.sock, [answer_to(BACKEND_SHMEM_MAP, 0)], fds)
    assert guest.finish(pending).kind == OK_MAP_INFO


@pytest.mark.parametrize('after', [0, 7, 20])
def test_front_end_closes(session, after):
    """With a map on its way, after so many bytes of an answer (20: of another one)."""
    guest = start(session, Shmem(answers=[b'']))
    host_blob(guest, 1)
    host_blob(guest, 2)
    pending = [guest.submit(vg.map_blob(r, r * PAGE)) for r in (1, 2)]
    serve(guest, 1)
    guest.shmem.sock.sendall(answer_to(BACKEND_SHMEM_MAP, 1)[:after])
    guest.shmem.sock.close()
    guest.shmem.open = False
    assert {guest.finish(p).kind for p in pending} == {ERR_UNSPEC}
    guest.expect(ERR_UNSPEC, vg.map_blob(1, 0))
    goes_on(guest)
    # Another socket, and all is well.
    guest.shmem.answers = []
    guest.shmem.hand_over(guest.front_end)
    map_blob(guest, 1, 0)


def test_another_socket_while_a_map_is_pending(session):
    guest = start(session)
    guest.shmem.serves = False
    host_blob(guest, 1)
    pending = guest.submit(vg.map_blob(1, 0))
    goes_on(guest)
    guest.shmem.hand_over(guest.front_end)
    guest.shmem.serves = True
    assert guest.finish(pending).kind == ERR_UNSPEC
    map_blob(guest, 1, 0)


def test_connection_ends_while_a_map_is_pending(session):
    guest = start(session)
    guest.shmem.serves = False
    for resource in 1, 2:
        host_blob(guest, resource)
        guest.submit(vg.map_blob(resource, resource * PAGE))
    goes_on(guest)
    guest.close()


def test_table_entries_of_a_liar(session):
    """A front-end that lists blobs twice, under other addresses, before and after their time."""
    guest = start(session)
    fe = guest.front_end
    host_blob(guest, 1)
    shown = map_blob(guest, 1, 0)
    gpa, size, uva, offset = guest.shmem.region(0)
    other = (gpa + (1 << 30), size, uva + (1 << 30), offset)
    fe.tell(vu.ADD_MEM_REG, vu.mem_reg(other), [shown.fd])
    assert fe.status_of(vu.REM_MEM_REG, vu.mem_reg((gpa, size, uva + PAGE, offset))) != 0
    fe.tell(vu.REM_MEM_REG, vu.mem_reg((gpa, size, uva, offset)))
    assert fe.status_of(vu.REM_MEM_REG, vu.mem_reg((gpa, size, uva, offset))) != 0
    fe.tell(vu.REM_MEM_REG, vu.mem_reg(other))
    fe.tell(vu.ADD_MEM_REG, vu.mem_reg((gpa, size, uva, offset)), [shown.fd])
    guest.ok(vg.unmap_blob(1))
    goes_on(guest)


# ---- stop and start


def test_paused_machine_keeps_its_mappings(session):
    guest = start(session)
    host_blob(guest, 1)
    map_blob(guest, 1, 0)
    guest.restart(guest.stop())
    guest.expect(ERR_UNSPEC, vg.map_blob(1, PAGE))
    guest.ok(vg.unmap_blob(1))


def test_stop_while_a_map_is_pending(session, protocol):
    """The front-end waits for us and answers nothing: the command fails, and the map is taken
    back."""
    guest = start(session, protocol=protocol)
    guest.shmem.serves = False
    for resource in 1, 2:
        host_blob(guest, resource)
    map_pending = guest.submit(vg.map_blob(1, 0))
    goes_on(guest)
    bases = guest.stop()
    assert guest.finished(map_pending)
    assert guest.finish(map_pending).kind == ERR_UNSPEC
    guest.restart(bases)
    guest.shmem.serves = True
    map_blob(guest, 2, 0)
    assert [r.kind for r in guest.shmem.requests] == [BACKEND_SHMEM_MAP, BACKEND_SHMEM_UNMAP,
                                                      BACKEND_SHMEM_MAP]


def test_nothing_is_sent_while_stopped(session, protocol):
    """QEMU would fall over it."""
    guest = start(session, protocol=protocol)
    host_blob(guest, 9)
    map_blob(guest, 9, 9 * PAGE)
    guest.shmem.serves = False
    for resource in 1, 2, 3:
        host_blob(guest, resource)
    pending = [guest.submit(vg.map_blob(r, r * PAGE)) for r in (1, 2)]
    unmap = guest.submit(vg.unmap_blob(9))
    pending.append(guest.submit(vg.map_blob(3, 3 * PAGE)))
    goes_on(guest)
    told = len(guest.shmem.requests)
    bases = guest.stop()
    assert {guest.finish(p).kind for p in pending} == {ERR_UNSPEC}
    assert guest.finish(unmap).kind == OK_NODATA
    guest.shmem.lists = False
    serve(guest, 1)  # the one that was on its way
    guest.front_end.ask_u64(vu.GET_FEATURES)
    assert not select.select([guest.shmem.sock], [], [], 0)[0]
    guest.restart(bases)
    serve(guest, 2)
    assert [r.kind for r in guest.shmem.requests[told:]] == [
        BACKEND_SHMEM_MAP, BACKEND_SHMEM_UNMAP, BACKEND_SHMEM_UNMAP]
    assert not guest.shmem.shown


def test_stop_while_an_unmap_is_pending(session):
    guest = start(session)
    host_blob(guest, 1)
    map_blob(guest, 1, 0)
    guest.shmem.serves = False
    pending = guest.submit(vg.unmap_blob(1))
    goes_on(guest)
    bases = guest.stop()
    assert guest.finish(pending).kind == OK_NODATA
    guest.restart(bases)
    guest.shmem.serves = True
    map_blob(guest, 1, 0)


def test_machine_reset(session, protocol):
    """The front-end hides all by itself, and the new driver finds an empty region."""
    guest = start(session, protocol=protocol)
    for resource in 1, 2:
        host_blob(guest, resource)
        map_blob(guest, resource, resource * PAGE)
    told = len(guest.shmem.requests)
    guest.stop()
    guest.shmem.reset()
    guest.restart()
    guest.ok(vg.ctx_create(1))
    for resource in 1, 2:
        host_blob(guest, resource)
        map_blob(guest, resource, resource * PAGE)
    more = [r.kind for r in guest.shmem.requests[told:]]
    if protocol & (1 << vu.P_MEM_SLOTS):  # else there is no telling
        assert more == [BACKEND_SHMEM_MAP] * 2


def test_new_driver_without_a_reset(session, protocol):
    """What the old one has left mapped is taken away."""
    guest = start(session, protocol=protocol)
    for resource in 1, 2, 3:
        host_blob(guest, resource)
    for resource in 1, 2:
        map_blob(guest, resource, resource * PAGE)
    guest.shmem.serves = False
    guest.submit(vg.map_blob(3, 3 * PAGE))
    guest.stop()
    guest.restart()
    guest.shmem.serves = True
    guest.ok(vg.ctx_create(1))
    host_blob(guest, 1, 4 * PAGE)
    map_blob(guest, 1, 0)
    assert list(guest.shmem.shown) == [0]


# ---- bad input

BAD_BLOBS = {
    'no resource': (ERR_INVALID_RESOURCE_ID, vg.create_blob(1, 0, PAGE, 9)),
    'taken resource': (ERR_INVALID_RESOURCE_ID, vg.create_blob(1, 1, PAGE, 9)),
    'unknown blob': (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, PAGE, 0)),
    'doubled blob': (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, PAGE, 1)),
    'no context': (ERR_INVALID_CONTEXT_ID, vg.create_blob(0, 9, PAGE, 9)),
    'unknown context': (ERR_INVALID_CONTEXT_ID, vg.create_blob(2, 9, PAGE, 9)),
    'guest memory of an unknown context':
        (ERR_INVALID_CONTEXT_ID, vg.create_blob(2, 9, PAGE, 0, vg.BLOB_GUEST)),
    'empty': (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, 0, 9)),
    'unaligned': (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, PAGE + 8, 9)),
    'a byte': (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, 1, 9)),
    'huge': (ERR_OUT_OF_MEMORY, vg.create_blob(1, 9, 1 << 63, 9)),
    'largest': (ERR_OUT_OF_MEMORY, vg.create_blob(1, 9, (1 << 64) - PAGE, 9)),
    'mem 0': (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, PAGE, 9, 0)),
    'mem 4': (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, PAGE, 9, 4)),
    'unknown flags': (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, PAGE, 9, flags=8)),
    'entries for host memory':
        (ERR_INVALID_PARAMETER, vg.create_blob(1, 9, PAGE, 9, entries=[(0x40000000, PAGE)])),
    'no entries': (ERR_INVALID_PARAMETER, vg.create_blob(0, 9, PAGE, 0, vg.BLOB_GUEST)),
    'entries that are not there':
        (ERR_INVALID_PARAMETER, vg.create_blob(0, 9, PAGE, 0, vg.BLOB_GUEST, count=1)),
    'many entries that are not there':
        (ERR_INVALID_PARAMETER, vg.create_blob(0, 9, PAGE, 0, vg.BLOB_GUEST, count=MAX)),
    'entries for less':
        (ERR_INVALID_PARAMETER, vg.create_blob(0, 9, 2 * PAGE, 0, vg.BLOB_GUEST,
                                               entries=[(0x40000000, PAGE)])),
    'memory that is not there':
        (ERR_INVALID_PARAMETER, vg.create_blob(0, 9, PAGE, 0, vg.BLOB_GUEST,
                                               entries=[(0x1000, PAGE)])),
    'a blob of guest memory with an id':
        (ERR_INVALID_PARAMETER, vg.create_blob(0, 9, PAGE, 9, vg.BLOB_GUEST,
                                               entries=[(0x40000000, PAGE)])),
}


@pytest.mark.parametrize('name', BAD_BLOBS)
def test_bad_blobs(session, name):
    guest = start(session)
    host_blob(guest, 1)
    kind, command = BAD_BLOBS[name]
    for _ in range(3):
        guest.expect(kind, command)
    host_blob(guest, 9)
    map_blob(guest, 9, 0)


@pytest.mark.parametrize('offset', [
    1, PAGE - 1, REGION - PAGE, REGION, 1 << 31, 1 << 63, (1 << 64) - PAGE, (1 << 64) - 2 * PAGE,
    (1 << 64) - 1], ids=hex)
def test_places_outside(session, offset):
    guest = start(session)
    host_blob(guest, 1, 2 * PAGE)
    guest.expect(ERR_INVALID_PARAMETER, vg.map_blob(1, offset))
    assert not guest.shmem.requests
    map_blob(guest, 1, 0)


def test_places_that_overlap(session):
    guest = start(session)
    host_blob(guest, 1, 2 * PAGE)
    host_blob(guest, 2, 2 * PAGE)
    map_blob(guest, 1, 8 * PAGE)
    for page in 7, 8, 9:
        guest.expect(ERR_INVALID_PARAMETER, vg.map_blob(2, page * PAGE))
    map_blob(guest, 2, 6 * PAGE)


def test_what_can_not_be_mapped(session):
    guest = start(session)
    memory = guest.memory.alloc(PAGE)
    guest.ok(vg.create_blob(0, 1, PAGE, mem=vg.BLOB_GUEST, entries=[(memory, PAGE)]))
    guest.expect(ERR_INVALID_PARAMETER, vg.map_blob(1, 0))
    host_blob(guest, 2, flags=vg.BLOB_SHAREABLE)
    guest.expect(ERR_INVALID_PARAMETER, vg.map_blob(2, 0))
    guest.make_2d(3, 8, 8)
    for resource in 0, 3, 4, MAX:
        guest.expect(ERR_INVALID_RESOURCE_ID, vg.map_blob(resource, 0))
        guest.expect(ERR_INVALID_RESOURCE_ID, vg.unmap_blob(resource))
    guest.expect(ERR_UNSPEC, vg.unmap_blob(2))
    host_blob(guest, 5)
    map_blob(guest, 5, 0)
    guest.expect(ERR_UNSPEC, vg.map_blob(5, PAGE))
    guest.expect(ERR_UNSPEC, vg.unref(5))


def test_transfers_of_blobs(session):
    """They are memory, with nothing to be transferred to or from."""
    guest = start(session)
    memory = guest.memory.alloc(PAGE)
    guest.ok(vg.create_blob(0, 1, PAGE, mem=vg.BLOB_GUEST, entries=[(memory, PAGE)]))
    host_blob(guest, 2)
    host_blob(guest, 3, mem=vg.BLOB_HOST3D_GUEST, entries=[(memory, PAGE)])
    for box in (0, 0, 0, 1, 1, 1), (MAX, MAX, MAX, MAX, MAX, MAX):
        guest.ctrl(vg.transfer_3d(1, 3, box))  # the backend's question
    for resource in 1, 2:
        guest.ok(vg.ctx_attach(1, resource))
        for command in (vg.transfer_2d(resource, 0, 0, 1, 1),
                        vg.transfer_3d(1, resource, (0, 0, 0, 1, 1, 1)),
                        vg.set_scanout(0, resource, 0, 0, 1, 1)):
            response = guest.ctrl(command)
            assert response.kind in (ERR_INVALID_PARAMETER, ERR_UNSPEC)


def test_contexts(session):
    guest = start(session)
    for init in 3, 4, 99, 255, 0x100, 0x102, MAX:
        guest.expect(ERR_INVALID_PARAMETER, vg.ctx_create(2, context_init=init))
    for ctx, init in (2, 0), (3, 1), (4, 2):
        guest.ok(vg.ctx_create(ctx, context_init=init))


@pytest.mark.parametrize('ring', [64, 128, 255])
def test_rings_that_are_not_there(session, ring):
    guest = start(session)
    guest.expect(ERR_INVALID_PARAMETER, vg.fenced(vg.submit_3d(1, bytes(16)), 5, ring_idx=ring))
    response = guest.expect(OK_NODATA, vg.fenced(vg.submit_3d(1, bytes(16)), 6, ring_idx=63))
    assert vg.HDR.unpack_from(response.raw)[1:] == (vg.FLAG_FENCE | vg.FLAG_INFO_RING_IDX, 6, 1, 63)


def test_fences_on_dead_contexts(session):
    guest = start(session)
    guest.ok(vg.ctx_create(2))
    guest.ok(vg.fenced(vg.ctx_destroy(2), 5, ring_idx=1))
    for command in vg.submit_3d(2, bytes(16)), vg.hdr(vg.GET_DISPLAY_INFO, ctx_id=2):
        guest.expect(ERR_INVALID_CONTEXT_ID, vg.fenced(command, 6, ring_idx=1))
    goes_on(guest)


# ---- options


def test_no_region(tmp_path):
    """--hostmem 0"""
    renderer = Renderer(tmp_path, args=['--hostmem', '0'])
    with Guest(renderer.path) as guest:
        offered = guest.front_end.ask_u64(vu.GET_PROTOCOL_FEATURES)
        assert not offered & (1 << vu.P_SHMEM)
        assert guest.has(vg.F_RESOURCE_BLOB)
        guest.ok(vg.ctx_create(1))
        host_blob(guest, 1)
        guest.expect((ERR_UNSPEC, ERR_INVALID_PARAMETER), vg.map_blob(1, 0))
    renderer.stop()


def test_small_region(tmp_path):
    renderer = Renderer(tmp_path, args=['--hostmem', '16M'])
    with Guest(renderer.path, shmem=Shmem()) as guest:
        assert guest.shmem.size == 16 << 20
        guest.ok(vg.ctx_create(1))
        host_blob(guest, 1, 16 << 20)
        map_blob(guest, 1, 0)
        host_blob(guest, 2, 32 << 20)
        guest.expect(ERR_INVALID_PARAMETER, vg.map_blob(2, 0))
    renderer.stop()
