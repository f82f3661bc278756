# SPDX-License-Identifier: MIT
"""virtio-gpu commands that are wrong: each gets the response that the specification has for it,
and changes nothing."""

import struct

import pytest
from raw import virtio_gpu as vg
from raw.virtio_gpu import (ERR_INVALID_PARAMETER, ERR_INVALID_RESOURCE_ID,
                            ERR_INVALID_SCANOUT_ID, ERR_OUT_OF_MEMORY, ERR_UNSPEC)

MAX = 0xFFFFFFFF
# For what the specification leaves open between the two.
TOO_MUCH = (ERR_OUT_OF_MEMORY, ERR_INVALID_PARAMETER)
WRONG = (ERR_UNSPEC, ERR_INVALID_PARAMETER)

# Rectangles that are not inside 64 × 48.
OUTSIDE = {
    'right': (64, 0, 1, 1), 'below': (0, 48, 1, 1), 'too wide': (1, 0, 64, 1),
    'too high': (0, 1, 1, 48), 'wide': (0, 0, 65, 48), 'high': (0, 0, 64, 49),
    'x wraps': (MAX, 0, 2, 1), 'y wraps': (0, MAX, 1, 2), 'huge': (0, 0, MAX, MAX),
    'all ones': (MAX, MAX, MAX, MAX), 'width wraps': (32, 0, MAX - 30, 1),
    'height wraps': (0, 32, 1, MAX - 30), 'half': (0x80000000, 0, 0x80000000, 1),
}


@pytest.fixture
def ready(guest):
    """A guest with a backed resource 1 of 64 × 48."""
    guest.make_2d(1, 64, 48)
    return guest


def still_good(guest):
    """Resource 1 was not harmed."""
    guest.ok(vg.transfer_2d(1, 0, 0, 64, 48))
    guest.ok(vg.flush(1, 0, 0, 64, 48))


# ---- ids


def test_create_with_id_0(guest):
    guest.expect(ERR_INVALID_RESOURCE_ID, vg.create_2d(0, 4, 4))
    guest.expect(ERR_INVALID_RESOURCE_ID, vg.create_3d(0, 4, 4))


@pytest.mark.parametrize('resource', [1, 0x7FFFFFFF, 0x80000000, MAX])
def test_create_twice(guest, resource):
    guest.ok(vg.create_2d(resource, 4, 4))
    guest.expect(ERR_INVALID_RESOURCE_ID, vg.create_2d(resource, 4, 4))
    guest.expect(ERR_INVALID_RESOURCE_ID, vg.create_3d(resource, 8, 8))
    guest.ok(vg.unref(resource))
    guest.expect(ERR_INVALID_RESOURCE_ID, vg.unref(resource))
    guest.ok(vg.create_2d(resource, 4, 4))


@pytest.mark.parametrize('resource', [0, 2, MAX])
@pytest.mark.parametrize('command', [
    vg.unref, vg.detach_backing, vg.assign_uuid,
    lambda r: vg.attach_backing(r, [(0x40000000, 4096)]),
    lambda r: vg.transfer_2d(r, 0, 0, 1, 1), lambda r: vg.flush(r, 0, 0, 1, 1)],
    ids=['unref', 'detach', 'uuid', 'attach', 'transfer', 'flush'])
def test_resource_that_is_not_there(ready, command, resource):
    ready.expect(ERR_INVALID_RESOURCE_ID, command(resource))
    still_good(ready)


def test_scanout_of_a_resource_that_is_not_there(ready):
    ready.expect(ERR_INVALID_RESOURCE_ID, vg.set_scanout(0, 2, 0, 0, 1, 1))


@pytest.mark.parametrize('scanout', [1, 15, 16, 99, 0x80000000, MAX])
def test_bad_scanout(ready, scanout):
    ready.expect(ERR_INVALID_SCANOUT_ID, vg.set_scanout(scanout, 1, 0, 0, 64, 48))
    ready.expect(ERR_INVALID_SCANOUT_ID, vg.set_scanout(scanout, 0, 0, 0, 0, 0))
    ready.expect((ERR_INVALID_SCANOUT_ID, ERR_INVALID_PARAMETER), vg.get_edid(scanout))
    for command in vg.update_cursor(scanout, 1), vg.move_cursor(scanout, 3, 3):
        ready.cursor(command, into=0)
    still_good(ready)


# ---- sizes and formats


@pytest.mark.parametrize('width,height', [(0, 0), (0, 4), (4, 0)])
def test_resource_without_pixels(guest, width, height):
    guest.expect(ERR_INVALID_PARAMETER, vg.create_2d(1, width, height))
    guest.ok(vg.create_2d(1, 4, 4))


@pytest.mark.parametrize('width,height', [
    (MAX, 1), (1, MAX), (MAX, MAX), (65536, 65536), (32768, 32768), (0x40000001, 4),
    (0x10000, 0x4000), (0x80000000, 2)])
def test_resource_that_is_too_large(guest, width, height):
    guest.expect(TOO_MUCH, vg.create_2d(1, width, height))
    guest.ok(vg.create_2d(1, 4, 4))


@pytest.mark.parametrize('fmt', [0, 5, 17, 66, 69, 120, 122, 135, 500, 0x7FFFFFFF, MAX])
def test_format_that_is_none_of_2d(guest, fmt):
    guest.expect(ERR_INVALID_PARAMETER, vg.create_2d(1, 4, 4, fmt))


# ---- backing


@pytest.mark.parametrize('count', [2, 3, 1000, 0x10000000, 0x10000001, 0x80000000, MAX])
def test_backing_that_claims_more_entries_than_it_has(guest, count):
    guest.ok(vg.create_2d(1, 4, 4))
    command = vg.attach_backing(1, [(guest.memory.alloc(4096), 4096)], count)
    guest.expect((*TOO_MUCH, ERR_UNSPEC), command)
    guest.make_2d(2, 4, 4)


@pytest.mark.parametrize('entry', [
    (0, 4096), (0x40000000 - 1, 2), (0x40000000 + (8 << 20) - 1, 2), (0x40000000 + (8 << 20), 1),
    (0x40000000, MAX), (2**64 - 4096, 4096), (2**64 - 1, 1), (0x7F1200000000, 64)],
    ids=lambda e: f'{e[0]:#x}+{e[1]:#x}')
@pytest.mark.parametrize('position', ['only', 'first', 'last'])
def test_backing_outside_memory(guest, entry, position):
    guest.ok(vg.create_2d(1, 4, 4))
    good = [(guest.memory.alloc(4096), 4096)] * 10
    entries = {'only': [entry], 'first': [entry, *good], 'last': [*good, entry]}[position]
    guest.expect(WRONG, vg.attach_backing(1, entries))
    guest.ok(vg.attach_backing(1, good))  # nothing of the first is left


def test_backing_twice(ready):
    ready.expect(WRONG, vg.attach_backing(1, [(ready.memory.alloc(4096), 4096)]))
    still_good(ready)


def test_detaching_what_is_not_attached(guest):
    guest.ok(vg.create_2d(1, 4, 4))
    answer = guest.ctrl(vg.detach_backing(1))
    assert answer.kind in (vg.OK_NODATA, ERR_INVALID_RESOURCE_ID, *WRONG)
    guest.expect(WRONG, vg.transfer_2d(1, 0, 0, 4, 4))


def test_backing_of_100_000_entries(session):
    """A megabyte and a half of command, in one descriptor; entries may repeat."""
    guest = session.guest(memory_size=32 << 20)
    guest.ok(vg.create_2d(1, 1000, 400))
    page = guest.memory.alloc(4096)
    guest.memory.write(page, bytes(range(256)) * 16)
    guest.ok(vg.attach_backing(1, [(page + 16 * (i % 200), 16) for i in range(100_000)]))
    guest.ok(vg.transfer_2d(1, 0, 0, 1000, 400))
    guest.ok(vg.unref(1))


def test_backing_with_empty_entries(guest):
    """The specification does not forbid them."""
    guest.ok(vg.create_2d(1, 4, 4))
    page = guest.memory.alloc(4096)
    response = guest.ctrl(vg.attach_backing(1, [(page, 0), (page, 64), (page, 0)]))
    if response.kind == vg.OK_NODATA:
        guest.ok(vg.transfer_2d(1, 0, 0, 4, 4))
    else:
        assert response.kind in WRONG
        guest.ok(vg.attach_backing(1, [(page, 64)]))


def test_backing_that_is_too_short(guest):
    """Not even a byte behind its end is read."""
    guest.ok(vg.create_2d(1, 16, 16))
    end = guest.memory.gpa + guest.memory.size
    guest.ok(vg.attach_backing(1, [(end - 512, 512)]))
    guest.ok(vg.transfer_2d(1, 0, 0, 16, 8))
    guest.expect(WRONG, vg.transfer_2d(1, 0, 0, 16, 9))
    guest.expect(WRONG, vg.transfer_2d(1, 0, 8, 16, 8, 512))
    guest.expect(WRONG, vg.transfer_2d(1, 0, 0, 1, 1, 509))


# ---- boxes and offsets


@pytest.mark.parametrize('name', OUTSIDE)
def test_rectangle_outside(ready, name):
    rect = OUTSIDE[name]
    ready.expect(ERR_INVALID_PARAMETER, vg.transfer_2d(1, *rect))
    ready.expect(ERR_INVALID_PARAMETER, vg.flush(1, *rect))
    ready.expect(ERR_INVALID_PARAMETER, vg.set_scanout(0, 1, *rect))
    still_good(ready)


def test_empty_rectangles(ready):
    """Accepted or refused, but harmless."""
    for rect in (0, 0, 0, 0), (10, 10, 0, 5), (64, 48, 0, 0):
        for command in vg.transfer_2d(1, *rect), vg.flush(1, *rect):
            assert ready.ctrl(command).kind in (vg.OK_NODATA, ERR_INVALID_PARAMETER)
    still_good(ready)


@pytest.mark.parametrize('offset', [
    64 * 48 * 4, 64 * 48 * 4 - 3, 64 * 47 * 4 + 1, 1 << 31, (1 << 32) - 4, 1 << 32, 1 << 63,
    2**64 - 4, 2**64 - 1, 2**64 - 64 * 4])
def test_transfer_from_behind_the_backing(ready, offset):
    ready.expect(WRONG, vg.transfer_2d(1, 0, 0, 64, 1, offset))
    ready.expect(WRONG, vg.transfer_2d(1, 0, 0, 64, 48, offset))
    still_good(ready)


# ---- what kind of command


@pytest.mark.parametrize('kind', [
    0, 1, 0xFF, 0x010E, 0x01FF, 0x020A, 0x02FF, 0x0302, 0x0400, vg.OK_NODATA, ERR_UNSPEC, 0x10100,
    0x01000100, MAX])
def test_unknown_command(guest, kind):
    guest.expect(ERR_UNSPEC, vg.hdr(kind) + bytes(64))
    guest.expect(ERR_UNSPEC, vg.hdr(kind))
    response = guest.cursor(vg.hdr(kind) + bytes(64))
    assert response.raw == b'' or response.kind == ERR_UNSPEC


@pytest.mark.parametrize('kind', [vg.RESOURCE_CREATE_BLOB, vg.SET_SCANOUT_BLOB,
                                  vg.RESOURCE_MAP_BLOB, vg.RESOURCE_UNMAP_BLOB])
def test_blob_commands_without_the_feature(session, kind):
    guest = session.guest(drop=[vg.F_RESOURCE_BLOB])
    guest.expect(ERR_UNSPEC, vg.hdr(kind) + struct.pack('<I', 1) + bytes(84))


@pytest.mark.parametrize('name', vg.EXAMPLES)
def test_command_on_the_other_queue(ready, name):
    queue, command = vg.EXAMPLES[name]
    response = ready.finish(ready.submit(command, 1 - queue))
    assert response.raw == b'' or response.kind == ERR_UNSPEC
    if name == 'RESOURCE_CREATE_2D':
        ready.ok(command)  # it was not done


def test_features_that_were_not_taken(session):
    """A driver without EDID, UUID and 3D must not use them."""
    guest = session.guest(drop=[vg.F_VIRGL, vg.F_EDID, vg.F_RESOURCE_UUID])
    guest.make_2d(1, 4, 4)
    for command in (vg.get_edid(0), vg.assign_uuid(1), vg.ctx_create(1), vg.create_3d(2, 4, 4),
                    vg.get_capset_info(0), vg.submit_3d(1, bytes(4))):
        guest.expect(ERR_UNSPEC, command)


# ---- cut short


@pytest.mark.parametrize('name', vg.EXAMPLES)
def test_cut_at_every_byte(session, name):
    """Each prefix of a command is refused, in one descriptor or with its last byte in another."""
    guest = session.guest()
    guest.make_2d(1, 64, 48)
    guest.ok(vg.create_2d(902, 4, 4))
    if guest.has(vg.F_VIRGL):
        guest.ok(vg.ctx_create(1))
    queue, command = vg.EXAMPLES[name]
    for size in range(len(command)):
        response = guest.finish(guest.submit(command[:size], queue, into=2048))
        assert response.raw == b'' or response.kind in (*WRONG, ERR_OUT_OF_MEMORY), \
            f'{size} bytes: {response}'
        if size > vg.HDR_BYTES and queue == vg.CONTROL:
            assert response.raw, f'{size} bytes were not answered'
    still_good(guest)


@pytest.mark.parametrize('name', vg.EXAMPLES)
def test_more_than_the_command_needs(session, name):
    """What follows is not looked at: a driver may put commands into larger buffers."""
    guest = session.guest()
    guest.make_2d(1, 64, 48)
    queue, command = vg.EXAMPLES[name]
    short = guest.finish(guest.submit(command, queue))
    guest.ctrl(vg.unref(900))
    guest.ctrl(vg.unref(903))
    guest.ctrl(vg.unref(904))
    guest.ctrl(vg.ctx_destroy(900))
    long = guest.finish(guest.submit(command + b'\xff' * 1000, queue))
    assert long.kind == short.kind


# ---- fences


def test_errors_carry_their_fence(guest):
    """A driver waits for it in any case."""
    response = guest.ctrl(vg.fenced(vg.unref(77), 0x1122334455667788))
    assert response.kind == ERR_INVALID_RESOURCE_ID
    assert response.flags & vg.FLAG_FENCE
    assert response.fence_id == 0x1122334455667788


@pytest.mark.parametrize('fence_id', [0, 1, 0x7FFFFFFF, 0x80000000, 2**32, 2**63, 2**64 - 1])
def test_fence_ids_are_the_drivers_own(guest, fence_id):
    response = guest.ctrl(vg.fenced(vg.create_2d(1, 4, 4), fence_id))
    assert (response.kind, response.flags, response.fence_id) == (vg.OK_NODATA, 1, fence_id)


def test_duplicate_and_falling_fence_ids(guest):
    pending = []
    for i, fence_id in enumerate([5, 5, 5, 4, 3, 9, 9, 1]):
        pending.append((fence_id, guest.submit(vg.fenced(vg.create_2d(i + 1, 4, 4), fence_id))))
    for fence_id, command in pending:
        response = guest.finish(command)
        assert (response.kind, response.fence_id) == (vg.OK_NODATA, fence_id)


def test_unknown_flags(guest):
    kind, _, _, _, _ = vg.HDR.unpack_from(vg.create_2d(1, 4, 4))
    command = vg.hdr(kind, flags=0xFFFFFFFE) + vg.create_2d(1, 4, 4)[vg.HDR_BYTES:]
    response = guest.ctrl(command)
    assert response.kind in (vg.OK_NODATA, *WRONG)
    assert not response.flags & vg.FLAG_FENCE
