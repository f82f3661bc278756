# SPDX-License-Identifier: MIT
"""Contexts, 3D resources, transfers, submits and fences through the null backend: all that is
virtio-gpu's and not the GPU's."""

import struct

import pytest
from raw import virtio_gpu as vg
from raw.virtio_gpu import (ERR_INVALID_CONTEXT_ID, ERR_INVALID_PARAMETER,
                            ERR_INVALID_RESOURCE_ID, ERR_OUT_OF_MEMORY, ERR_UNSPEC)

MAX = 0xFFFFFFFF
WRONG = (ERR_UNSPEC, ERR_INVALID_PARAMETER)
TOO_MUCH = (ERR_OUT_OF_MEMORY, ERR_INVALID_PARAMETER)


@pytest.fixture
def guest3d(guest):
    assert guest.has(vg.F_VIRGL) and guest.has(vg.F_CONTEXT_INIT)
    return guest


@pytest.fixture
def drawing(guest3d):
    """Context 1 with a backed texture 1 of 64 × 48."""
    guest3d.ok(vg.ctx_create(1))
    guest3d.ok(vg.create_3d(1, 64, 48))
    guest3d.ok(vg.attach_backing(1, [(guest3d.memory.alloc(64 * 48 * 4), 64 * 48 * 4)]))
    guest3d.ok(vg.ctx_attach(1, 1))
    return guest3d


# ---- contexts


def test_life_of_a_context(guest3d):
    guest3d.ok(vg.ctx_create(1))
    guest3d.expect(ERR_INVALID_CONTEXT_ID, vg.ctx_create(1))
    guest3d.ok(vg.submit_3d(1, bytes(16)))
    guest3d.ok(vg.ctx_destroy(1))
    guest3d.expect(ERR_INVALID_CONTEXT_ID, vg.ctx_destroy(1))
    guest3d.expect(ERR_INVALID_CONTEXT_ID, vg.submit_3d(1, bytes(16)))
    guest3d.ok(vg.ctx_create(1))


@pytest.mark.parametrize('ctx', [0, 2, 0x80000000, MAX])
def test_context_that_is_not_there(drawing, ctx):
    for command in (vg.ctx_destroy(ctx), vg.ctx_attach(ctx, 1), vg.ctx_detach(ctx, 1),
                    vg.submit_3d(ctx, bytes(16))):
        drawing.expect(ERR_INVALID_CONTEXT_ID, command)
    if ctx:  # 0 means none: the kernel's own transfers
        drawing.expect(ERR_INVALID_CONTEXT_ID, vg.transfer_3d(ctx, 1, (0, 0, 0, 1, 1, 1)))


def test_context_0_can_not_be_made(guest3d):
    guest3d.expect(ERR_INVALID_CONTEXT_ID, vg.ctx_create(0))


@pytest.mark.parametrize('length', [0, 1, 63, 64])
def test_context_names(guest3d, length):
    guest3d.ok(vg.ctx_create(1, b'\xff' * 64, name_len=length))


@pytest.mark.parametrize('length', [65, 4096, MAX])
def test_context_name_that_is_longer_than_its_field(guest3d, length):
    response = guest3d.ctrl(vg.ctx_create(1, b'x' * 64, name_len=length))
    assert response.kind in (vg.OK_NODATA, ERR_INVALID_PARAMETER)


@pytest.mark.parametrize('init', [3, 5, 63, 255])
def test_capset_that_is_unknown(guest3d, init):
    """context_init names the capset; 0 is the default."""
    guest3d.expect(WRONG, vg.ctx_create(1, context_init=init))
    guest3d.ok(vg.ctx_create(1, context_init=0))


@pytest.mark.parametrize('resource', [0, 2, MAX])
def test_attaching_a_resource_that_is_not_there(drawing, resource):
    drawing.expect(ERR_INVALID_RESOURCE_ID, vg.ctx_attach(1, resource))
    drawing.expect(ERR_INVALID_RESOURCE_ID, vg.ctx_detach(1, resource))


def test_attaching_and_destroying_in_any_order(drawing):
    drawing.ok(vg.ctx_create(2))
    for ctx in 1, 2, 2:
        assert drawing.ctrl(vg.ctx_attach(ctx, 1)).kind in (vg.OK_NODATA, *WRONG)
    drawing.ok(vg.unref(1))
    drawing.expect(ERR_INVALID_RESOURCE_ID, vg.ctx_detach(1, 1))
    drawing.ok(vg.ctx_destroy(1))
    drawing.ok(vg.create_3d(1, 8, 8))
    drawing.ok(vg.ctx_attach(2, 1))
    drawing.ok(vg.ctx_destroy(2))
    drawing.ok(vg.unref(1))


# ---- capsets


def test_capsets(guest3d):
    count, = struct.unpack('<I', guest3d.front_end.get_config(12, 4))
    assert count > 0
    for index in range(count):
        info = guest3d.expect(vg.OK_CAPSET_INFO, vg.get_capset_info(index))
        capset, version, size, _ = struct.unpack('<IIII', info.body)
        assert 0 < size <= 65536
        answer = guest3d.finish(guest3d.submit(vg.get_capset(capset, version), into=24 + size))
        assert (answer.kind, len(answer.body)) == (vg.OK_CAPSET, size)
        guest3d.expect(WRONG, vg.get_capset(capset, version + 1))
        short = guest3d.finish(guest3d.submit(vg.get_capset(capset, version), into=24 + size - 1))
        assert short.raw == b'' or short.kind in (*WRONG, ERR_OUT_OF_MEMORY)


@pytest.mark.parametrize('index', [16, 99, 0x80000000, MAX])
def test_capset_index_outside(guest3d, index):
    guest3d.expect(WRONG, vg.get_capset_info(index))


@pytest.mark.parametrize('capset,version', [(0, 0), (3, 0), (77, 0), (MAX, 0), (2, MAX), (1, 99)])
def test_capset_that_is_not_there(guest3d, capset, version):
    guest3d.expect(WRONG, vg.get_capset(capset, version))


# ---- submits


@pytest.mark.parametrize('size', [4, 8, 1024, 65536])
def test_submit(drawing, size):
    drawing.ok(vg.submit_3d(1, b'\xa5' * size))


@pytest.mark.parametrize('size', [1, 2, 3, 5, 1023])
def test_submit_that_is_no_multiple_of_4(drawing, size):
    drawing.expect(ERR_INVALID_PARAMETER, vg.submit_3d(1, bytes(size)))


@pytest.mark.parametrize('claimed', [20, 4096, 1 << 24, 1 << 31, MAX - 3])
def test_submit_of_more_than_is_there(drawing, claimed):
    drawing.expect((*TOO_MUCH, ERR_UNSPEC), vg.submit_3d(1, bytes(16), size=claimed))


def test_submit_of_nothing(drawing):
    assert drawing.ctrl(vg.submit_3d(1, b'')).kind in (vg.OK_NODATA, *WRONG)
    drawing.ok(vg.submit_3d(1, bytes(100), size=16))


def test_submit_scattered_over_the_ring(drawing):
    """The command in pieces that split words; the copy has to put them together."""
    command = vg.submit_3d(1, bytes(range(200)))
    request, response = drawing.memory.alloc(4096), drawing.memory.alloc(4096)
    drawing.memory.write(request, command)
    cuts = [0, 1, 23, 24, 31, 33, 34, 37, 100, 101, len(command)]
    drawing.rings[0].add([(request + a, b - a) for a, b in zip(cuts, cuts[1:])], [(response, 24)])
    drawing.rings[0].kick()
    drawing.wait(lambda: drawing.finished_chains)
    assert vg.Response(drawing.memory.read(response, 24)).kind == vg.OK_NODATA


# ---- fences


def test_fences_of_the_device(drawing):
    pending = [drawing.submit(vg.fenced(vg.submit_3d(1, bytes(8)), 100 + i)) for i in range(20)]
    for i, p in enumerate(pending):
        response = drawing.finish(p)
        assert (response.kind, response.flags, response.fence_id) == (vg.OK_NODATA, 1, 100 + i)


@pytest.mark.parametrize('ring', [0, 1, 63, 64, 255])
def test_fence_on_a_context_timeline(drawing, ring):
    response = drawing.ctrl(vg.fenced(vg.submit_3d(1, bytes(8)), 7, ring_idx=ring))
    if response.kind == vg.OK_NODATA:
        assert response.flags == vg.FLAG_FENCE | vg.FLAG_INFO_RING_IDX
        assert (response.fence_id, response.ctx_id, response.ring_idx) == (7, 1, ring)
    else:
        assert ring >= 64 and response.kind in WRONG


def test_fences_with_the_same_id_on_several_timelines(drawing):
    drawing.ok(vg.ctx_create(2))
    pending = [drawing.submit(vg.fenced(vg.submit_3d(ctx, bytes(8)), 1, ring_idx=ring))
               for ctx in (1, 2) for ring in (0, 1, None)]
    for p in pending:
        assert drawing.finish(p).fence_id == 1


def test_context_is_destroyed_with_fences_in_flight(drawing):
    pending = [drawing.submit(vg.fenced(vg.submit_3d(1, bytes(8)), i, ring_idx=1), kick=False)
               for i in range(8)]
    pending.append(drawing.submit(vg.fenced(vg.ctx_destroy(1), 99), kick=False))
    drawing.rings[0].kick()
    for p in pending:
        assert drawing.finish(p).kind == vg.OK_NODATA


def test_fence_on_a_context_that_is_not_there(drawing):
    response = drawing.ctrl(vg.fenced(vg.submit_3d(5, bytes(8)), 3, ring_idx=0))
    assert (response.kind, response.fence_id) == (ERR_INVALID_CONTEXT_ID, 3)


# ---- resources and transfers


@pytest.mark.parametrize('change', [
    {'width': 0}, {'height': 0}, {'depth': 0}, {'width': MAX}, {'height': MAX},
    {'depth': MAX}, {'array_size': MAX}, {'width': 16385}, {'target': 9}, {'target': MAX},
    {'last_level': 32}, {'last_level': MAX}, {'nr_samples': MAX}, {'nr_samples': 1 << 31},
    {'width': 16384, 'height': 16384, 'array_size': 16384}, {'target': 0, 'width': MAX},
    {'target': 3, 'depth': 16384, 'width': 16384, 'height': 16384}], ids=str)
def test_resource_that_makes_no_sense(guest3d, change):
    """Refused by the limits; what only a GPU can know (formats, binds) the null backend takes."""
    args = {'width': 16, 'height': 16, **change}
    guest3d.expect((*TOO_MUCH, ERR_UNSPEC), vg.create_3d(1, **args))
    guest3d.ok(vg.create_3d(1, 16, 16))


@pytest.mark.parametrize('box', [
    (64, 0, 0, 1, 1, 1), (0, 48, 0, 1, 1, 1), (0, 0, 1, 1, 1, 1), (0, 0, 0, 65, 1, 1),
    (0, 0, 0, 1, 49, 1), (0, 0, 0, 1, 1, 2), (MAX, 0, 0, 2, 1, 1), (0, MAX, 0, 1, 2, 1),
    (0, 0, MAX, 1, 1, 2), (MAX,) * 6, (1 << 31, 0, 0, 1 << 31, 1, 1)], ids=str)
@pytest.mark.parametrize('to_host', [True, False], ids=['to host', 'from host'])
def test_box_outside(drawing, box, to_host):
    drawing.expect(ERR_INVALID_PARAMETER, vg.transfer_3d(1, 1, box, to_host=to_host))


@pytest.mark.parametrize('change', [
    {'level': 1}, {'level': 32}, {'level': MAX}, {'stride': MAX}, {'stride': 1},
    {'layer_stride': MAX, 'stride': MAX}, {'offset': 64 * 48 * 4}, {'offset': 2**64 - 1},
    {'offset': 2**64 - 64}, {'offset': 1 << 63, 'stride': 1 << 31},
    {'stride': 64 * 4 + 4}, {'stride': 0x80000000}], ids=str)
@pytest.mark.parametrize('to_host', [True, False], ids=['to host', 'from host'])
def test_transfer_that_does_not_fit_the_backing(drawing, change, to_host):
    """Strides and offsets that overflow or run past the end of the backing."""
    command = vg.transfer_3d(1, 1, (0, 0, 0, 64, 48, 1), to_host=to_host, **change)
    drawing.expect(WRONG, command)


@pytest.mark.parametrize('to_host', [True, False], ids=['to host', 'from host'])
def test_transfer(drawing, to_host):
    drawing.ok(vg.transfer_3d(1, 1, (0, 0, 0, 64, 48, 1), to_host=to_host))
    drawing.ok(vg.transfer_3d(0, 1, (3, 4, 0, 5, 6, 1), to_host=to_host))
    drawing.ok(vg.transfer_3d(1, 1, (0, 0, 0, 64, 48, 1), stride=256, to_host=to_host))


@pytest.mark.parametrize('to_host', [True, False], ids=['to host', 'from host'])
def test_transfer_without_backing_or_resource(drawing, to_host):
    box = 0, 0, 0, 1, 1, 1
    drawing.expect(ERR_INVALID_RESOURCE_ID, vg.transfer_3d(1, 2, box, to_host=to_host))
    drawing.expect(ERR_INVALID_RESOURCE_ID, vg.transfer_3d(1, 0, box, to_host=to_host))
    drawing.ok(vg.create_3d(2, 8, 8))
    drawing.ok(vg.ctx_attach(1, 2))
    drawing.expect(WRONG, vg.transfer_3d(1, 2, box, to_host=to_host))


def test_buffers(drawing):
    """Their width is bytes."""
    drawing.ok(vg.create_3d(2, 1000, 1, target=vg.TARGET_BUFFER, fmt=64,
                            bind=vg.BIND_VERTEX_BUFFER))
    drawing.ok(vg.attach_backing(2, [(drawing.memory.alloc(4096), 1000)]))
    drawing.ok(vg.ctx_attach(1, 2))
    drawing.ok(vg.transfer_3d(1, 2, (0, 0, 0, 1000, 1, 1)))
    drawing.expect(ERR_INVALID_PARAMETER, vg.transfer_3d(1, 2, (1, 0, 0, 1000, 1, 1)))
    drawing.expect(ERR_INVALID_PARAMETER, vg.transfer_3d(1, 2, (0, 0, 0, 10, 2, 1)))


def test_2d_commands_on_a_3d_resource(drawing):
    for command in (vg.transfer_2d(1, 0, 0, 64, 48), vg.flush(1, 0, 0, 64, 48),
                    vg.set_scanout(0, 1, 0, 0, 64, 48)):
        assert drawing.ctrl(command).kind in (vg.OK_NODATA, *WRONG)
    drawing.ok(vg.create_3d(2, 64, 1, target=vg.TARGET_BUFFER, fmt=64))
    for command in (vg.transfer_2d(2, 0, 0, 16, 1), vg.set_scanout(0, 2, 0, 0, 16, 1)):
        assert drawing.ctrl(command).kind in (vg.OK_NODATA, *WRONG)
    drawing.ctrl(vg.flush(2, 0, 0, 16, 1))
    drawing.cursor(vg.update_cursor(0, 2), into=0)


# ---- UUIDs


def test_uuids(guest):
    """Stable for a resource's life and unlike each other's."""
    uuids = []
    for resource in 1, 2, 3:
        guest.ok(vg.create_2d(resource, 4, 4))
        answer = guest.expect(vg.OK_RESOURCE_UUID, vg.assign_uuid(resource))
        assert len(answer.body) == 16 and any(answer.body)
        uuids.append(answer.body)
        again = guest.ctrl(vg.assign_uuid(resource))
        assert again.kind != vg.OK_RESOURCE_UUID or again.body == answer.body
    guest.ok(vg.unref(1))
    guest.ok(vg.create_2d(1, 4, 4))
    uuids.append(guest.expect(vg.OK_RESOURCE_UUID, vg.assign_uuid(1)).body)
    assert len(set(uuids)) == 4
