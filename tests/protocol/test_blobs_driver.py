# SPDX-License-Identifier: MIT
"""The host-visible region of a front-end that is the driver of the rings too, as our guest library
is: it is shown blobs and asked for no answer."""

import select

from raw import vhost_user as vu
from raw import virtio_gpu as vg
from raw.shmem import Shmem, answer_to
from raw.vhost_user import BACKEND_SHMEM_MAP, BACKEND_SHMEM_UNMAP
from raw.virtio_gpu import (ERR_INVALID_PARAMETER, ERR_OUT_OF_MEMORY, ERR_UNSPEC, OK_MAP_INFO,
                            OK_NODATA)
from test_blobs import PAGE, SLOTS, goes_on, host_blob, map_blob, start


def start_driver(session, **options):
    guest = start(session, Shmem(driver=True, lists=False, serves=False), **options)
    assert guest.front_end.protocol_features & (1 << vu.P_DRIVER)
    return guest


def waits(guest):
    """Whether there is a request for the front-end."""
    return bool(select.select([guest.shmem.sock], [], [], 0)[0])


def test_driver_has_the_blob_before_the_answer(session):
    guest = start_driver(session)
    host_blob(guest, 1, 3 * PAGE)
    host_blob(guest, 2)
    response = guest.expect(OK_MAP_INFO, vg.map_blob(1, PAGE))
    assert response.body == vg.MAP_CACHED.to_bytes(8, 'little')
    assert waits(guest)
    guest.shmem.serve()
    shown = guest.shmem.shown[PAGE]
    assert shown.size == 3 * PAGE and shown.map[:] == bytes(3 * PAGE)
    guest.expect(ERR_UNSPEC, vg.map_blob(1, 0))
    guest.expect(ERR_INVALID_PARAMETER, vg.map_blob(2, 2 * PAGE))  # the place is taken
    guest.expect(ERR_UNSPEC, vg.unref(1))
    guest.ok(vg.unmap_blob(1))
    guest.expect(ERR_UNSPEC, vg.unmap_blob(1))
    guest.ok(vg.unref(1))
    assert not waits(guest)
    guest.shmem.hide(PAGE)
    guest.expect(OK_MAP_INFO, vg.map_blob(2, 2 * PAGE))
    guest.shmem.serve()
    assert guest.shmem.shown[2 * PAGE].size == PAGE
    assert not waits(guest)


def test_driver_that_maps_without_waiting(session):
    guest = start_driver(session)
    for resource in range(1, 11):
        host_blob(guest, resource)
    pending = []
    for resource in range(1, 11):
        pending.append((OK_MAP_INFO, guest.submit(vg.map_blob(resource, 0))))
        pending.append((OK_NODATA, guest.submit(vg.unmap_blob(resource))))
        pending.append((OK_NODATA, guest.submit(vg.unref(resource))))
    assert all(guest.finish(p).kind == kind for kind, p in pending)
    for _ in range(10):
        guest.shmem.serve()
        guest.shmem.hide(0)
    assert not waits(guest)


def test_driver_that_takes_no_blobs(session):
    """What it is shown and does not take is bounded; later there is room again."""
    guest = start_driver(session)
    before = session.renderer.measure().fds
    host_blob(guest, 1)
    shown = 0
    while guest.expect((OK_MAP_INFO, ERR_OUT_OF_MEMORY), vg.map_blob(1, 0)).kind == OK_MAP_INFO:
        guest.ok(vg.unmap_blob(1))
        shown += 1
        assert shown < 5000
    assert shown > 128  # more than our own driver has on their way
    goes_on(guest)
    for _ in range(shown):
        guest.shmem.serve()
        guest.shmem.hide(0)
    guest.expect(OK_MAP_INFO, vg.map_blob(1, 0))
    guest.shmem.serve()
    guest.ok(vg.unmap_blob(1))
    guest.ok(vg.unref(1))
    assert session.renderer.measure().fds == before


def test_driver_without_a_channel(session):
    guest = start_driver(session)
    host_blob(guest, 1)
    host_blob(guest, 2)
    guest.expect(OK_MAP_INFO, vg.map_blob(1, 0))
    guest.shmem.sock.close()
    guest.shmem.open = False
    goes_on(guest)
    guest.expect((ERR_UNSPEC, ERR_OUT_OF_MEMORY), vg.map_blob(2, PAGE))
    guest.ok(vg.unmap_blob(1))
    guest.ok(vg.unref(1))
    goes_on(guest)


def test_driver_that_answers(session):
    """Nobody has asked it."""
    guest = start_driver(session)
    host_blob(guest, 1)
    guest.expect(OK_MAP_INFO, vg.map_blob(1, 0))
    guest.shmem.sock.sendall(answer_to(BACKEND_SHMEM_MAP, 0))
    session.expect_lines()
    goes_on(guest)
    guest.ok(vg.unmap_blob(1))
    guest.expect(ERR_UNSPEC, vg.map_blob(1, 0))


def test_driver_on_second_thoughts(session):
    """A map is taken back in the way in which it was made."""
    guest = start_driver(session)
    as_driver = guest.front_end.protocol_features
    as_vm = as_driver & ~(1 << vu.P_DRIVER | 1 << vu.P_MEM_SLOTS)
    for resource in 1, 2:
        host_blob(guest, resource)
    guest.expect(OK_MAP_INFO, vg.map_blob(1, 0))
    guest.shmem.serve()
    guest.front_end.set_protocol_features(as_vm)
    guest.front_end.ask_u64(vu.GET_FEATURES)  # before the next request
    guest.shmem.serves = True
    map_blob(guest, 2, PAGE)
    guest.expect(ERR_UNSPEC, vg.unmap_blob(1))
    guest.front_end.set_protocol_features(as_driver)
    guest.front_end.ask_u64(vu.GET_FEATURES)
    guest.ok(vg.unmap_blob(2))
    assert [(r.kind, r.needs_reply) for r in guest.shmem.requests] == [
        (BACKEND_SHMEM_MAP, False), (BACKEND_SHMEM_MAP, True), (BACKEND_SHMEM_UNMAP, True)]
    for resource in 1, 2:
        guest.ok(vg.unref(resource))
    goes_on(guest)


def test_no_driver_without_a_region(session):
    """The bit alone gives nothing."""
    guest = session.guest(protocol=SLOTS | 1 << vu.P_DRIVER)
    guest.ok(vg.ctx_create(1))
    host_blob(guest, 1)
    guest.expect(ERR_UNSPEC, vg.map_blob(1, 0))
    goes_on(guest)
