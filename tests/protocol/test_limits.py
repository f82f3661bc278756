# SPDX-License-Identifier: MIT
"""Bounds on what a guest can make the renderer allocate, one by one and in total."""

import pytest
from raw import virtio_gpu as vg
from raw.virtio_gpu import ERR_INVALID_PARAMETER, ERR_OUT_OF_MEMORY

RENDERER = {'args': ['--max-memory', '64M']}
LIMIT = 64 << 20
TOO_MUCH = (ERR_OUT_OF_MEMORY, ERR_INVALID_PARAMETER)
# Memory of the renderer's own, above what guests are charged with.
OVERHEAD_KIB = 64 << 10


def fill(guest, make, most):
    """Sends make(1), make(2)… until one is refused for want of memory; returns how many went."""
    pending = []
    for resource in range(1, most + 1):
        pending.append(guest.submit(make(resource)))
        if len(pending) == 16 or resource == most:
            answers = [guest.finish(p).kind for p in pending]
            pending = []
            if ERR_OUT_OF_MEMORY in answers:
                good = answers.index(ERR_OUT_OF_MEMORY)
                assert set(answers[good:]) == {ERR_OUT_OF_MEMORY}
                return resource - len(answers) + good
            assert set(answers) == {vg.OK_NODATA}
    raise AssertionError(f'{most} resources were not too many')


@pytest.mark.parametrize('side', [256, 1024, 2048])
def test_total_bytes(session, side):
    """Exactly as many as the limit has room for; freeing one makes room for one."""
    guest = session.guest()
    count = fill(guest, lambda r: vg.create_2d(r, side, side), LIMIT // (4 * side * side) + 16)
    assert 0.9 * LIMIT <= count * 4 * side * side <= LIMIT
    grown = session.renderer.measure().anon_kib - session.baseline.anon_kib
    assert grown <= (LIMIT >> 10) + OVERHEAD_KIB
    guest.expect(ERR_OUT_OF_MEMORY, vg.create_2d(count + 100, side, side))
    guest.ok(vg.unref(count))
    guest.ok(vg.create_2d(count + 100, side, side))
    guest.expect(ERR_OUT_OF_MEMORY, vg.create_2d(count + 101, side, side))
    for resource in range(1, count):
        guest.ok(vg.unref(resource))
    guest.make_2d(1, 64, 64)


def test_many_small_resources(session):
    """Not only their pixels cost memory: the number is bounded too."""
    guest = session.guest()
    for resource in range(1, 3001):
        guest.expect((vg.OK_NODATA, ERR_OUT_OF_MEMORY), vg.create_2d(resource, 1, 1))
    grown = session.renderer.measure().anon_kib - session.baseline.anon_kib
    assert grown <= (LIMIT >> 10) + OVERHEAD_KIB
    for resource in range(1, 3001):
        guest.ctrl(vg.unref(resource))
    guest.ok(vg.create_2d(1, 1, 1))


@pytest.mark.parametrize('width,height', [(4096, 4097), (16384, 1025), (8192, 8192)])
def test_one_resource_beyond_the_limit(guest, width, height):
    guest.expect(TOO_MUCH, vg.create_2d(1, width, height))
    guest.ok(vg.create_2d(1, 4096, 4096))  # all there is
    guest.expect(ERR_OUT_OF_MEMORY, vg.create_2d(2, 512, 512))


def test_a_new_driver_starts_from_nothing(session):
    """What an old driver held is free when the next one starts, on this connection or another."""
    for _ in range(3):
        guest = session.guest()
        guest.ok(vg.create_2d(1, 4096, 4000))
        guest.stop()
        guest.restart()
        guest.ok(vg.create_2d(1, 4096, 4000))
        guest.close()


def test_backing_is_charged(session):
    """Arrays of a quarter of a million entries for resources of one pixel: memory stays bounded."""
    guest = session.guest(memory_size=32 << 20)
    page = guest.memory.alloc(4096)
    entries = [(page + (i % 4) * 1024, 16) for i in range(200_000)]
    refused = 0
    for resource in range(1, 100):
        if guest.ctrl(vg.create_2d(resource, 1, 1)).kind != vg.OK_NODATA:
            refused += 1
            break
        command = vg.attach_backing(resource, entries)
        # One buffer for all: the next command is written when this one is done.
        mark = guest.memory._next
        answer = guest.ctrl(command).kind
        guest.memory._next = mark
        if answer != vg.OK_NODATA:
            assert answer == ERR_OUT_OF_MEMORY
            refused += 1
            break
    assert refused, '99 backings of 200 000 entries were accepted'
    grown = session.renderer.measure().anon_kib - session.baseline.anon_kib
    assert grown <= (LIMIT >> 10) + OVERHEAD_KIB


def test_backing_of_too_many_entries(session):
    """Above 262 144 the command is refused however complete it is."""
    guest = session.guest(memory_size=32 << 20)
    guest.ok(vg.create_2d(1, 1, 1))
    page = guest.memory.alloc(4096)
    guest.expect((*TOO_MUCH, vg.ERR_UNSPEC), vg.attach_backing(1, [(page, 16)] * 262_145))
    guest.ok(vg.attach_backing(1, [(page, 16)]))


def test_submit_that_is_too_long(session):
    """17 MiB of commands, really there: more than the 16 MiB that are copied."""
    guest = session.guest(memory_size=40 << 20)
    assert guest.has(vg.F_VIRGL)
    guest.ok(vg.ctx_create(1))
    guest.expect((*TOO_MUCH, vg.ERR_UNSPEC), vg.submit_3d(1, bytes(17 << 20)))
    guest.ok(vg.submit_3d(1, bytes(4)))


def test_contexts_without_end(session):
    guest = session.guest()
    assert guest.has(vg.F_VIRGL)
    count = fill(guest, vg.ctx_create, 2000)
    assert count == 1024
    guest.expect(ERR_OUT_OF_MEMORY, vg.ctx_create(5000))
    guest.ok(vg.ctx_destroy(7))
    guest.ok(vg.ctx_create(5000))
    for ctx in range(1, count + 1):
        guest.ctrl(vg.ctx_destroy(ctx))


def test_commands_in_flight_are_bounded_by_the_ring(session):
    """A full ring of fenced commands, over and over."""
    guest = session.guest(num=256)
    for _ in range(5):
        pending = [guest.submit(vg.fenced(vg.get_display_info(), i), kick=False)
                   for i in range(128)]
        guest.rings[0].kick()
        for i, command in enumerate(pending):
            assert guest.finish(command).fence_id == i
