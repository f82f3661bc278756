# SPDX-License-Identifier: MIT
"""The same renderer with virglrenderer behind it, on software GL: pixels are right, and what only
the GPU's side can find wrong is answered with an error too."""

import random
import struct

import pytest
from raw import virtio_gpu as vg
from raw.virtio_gpu import (ERR_INVALID_CONTEXT_ID, ERR_INVALID_PARAMETER, ERR_OUT_OF_MEMORY,
                            ERR_UNSPEC)
from test_2d import (test_backing_is_attached_anew, test_backing_is_read_at_the_transfer_only,
                     test_page_flips, test_part_of_a_resource_as_scanout,
                     test_random_transfers_and_flushes, test_single_bytes_of_backing,
                     test_transfer_with_another_offset, test_whole_resource)
from test_death import (test_death_with_all_kinds_of_objects,
                        test_death_with_commands_in_flight)

__all__ = ['test_backing_is_attached_anew', 'test_backing_is_read_at_the_transfer_only',
           'test_page_flips', 'test_part_of_a_resource_as_scanout',
           'test_random_transfers_and_flushes', 'test_single_bytes_of_backing',
           'test_transfer_with_another_offset', 'test_whole_resource',
           'test_death_with_all_kinds_of_objects', 'test_death_with_commands_in_flight']

# What Vulkan starts when it is first asked for would look like a leak.
RENDERER = {'backend': 'virgl', 'args': ['--gpu', 'software', '--vulkan', 'off']}
MAX = 0xFFFFFFFF
WRONG = (ERR_UNSPEC, ERR_INVALID_PARAMETER, ERR_OUT_OF_MEMORY)
CREATE_OBJECT, DRAW_VBO, CLEAR, INLINE_WRITE, SET_SUB_CTX = 1, 8, 7, 9, 28
BLIT, END_QUERY, GET_QUERY_RESULT, QUERY, TIMESTAMP = 16, 20, 21, 9, 2


def command(kind, *words, obj=0, length=None):
    """A virgl command: length in words, object type, command; then its words."""
    length = len(words) if length is None else length
    return struct.pack(f'<{1 + len(words)}I', length << 16 | obj << 8 | kind,
                       *(w & MAX for w in words))


@pytest.fixture
def drawing(guest):
    """Context 1 (virgl2) with a backed render target 1 of 64 × 48."""
    guest.ok(vg.ctx_create(1, context_init=2))
    guest.ok(vg.create_3d(1, 64, 48))
    guest.ok(vg.attach_backing(1, [(guest.memory.alloc(64 * 48 * 4), 64 * 48 * 4)]))
    guest.ok(vg.ctx_attach(1, 1))
    return guest


def recovers(guest):
    """Another context is not touched by what happened in the first."""
    guest.ok(vg.ctx_create(2, context_init=2))
    guest.ok(vg.submit_3d(2, command(0)))
    assert guest.ctrl(vg.fenced(vg.submit_3d(2, command(0)), 5)).fence_id == 5
    guest.ok(vg.ctx_destroy(2))


def test_capsets_of_virgl(guest):
    count, = struct.unpack('<I', guest.front_end.get_config(12, 4))
    found = {}
    for index in range(count):
        info = guest.expect(vg.OK_CAPSET_INFO, vg.get_capset_info(index))
        capset, version, size, _ = struct.unpack('<IIII', info.body)
        answer = guest.finish(guest.submit(vg.get_capset(capset, version), into=24 + size))
        assert (answer.kind, len(answer.body)) == (vg.OK_CAPSET, size)
        found[capset] = answer.body
    assert {1, 2} <= set(found)
    assert any(found[2])


def test_context_of_the_default_capset(guest):
    """The kernel's console creates its context with context_init 0."""
    guest.ok(vg.ctx_create(1, context_init=0))
    guest.ok(vg.submit_3d(1, command(0)))


def test_round_trip_of_pixels(drawing):
    """To the GPU and back through other guest memory."""
    size = 64 * 48 * 4
    data = random.Random(1).randbytes(size)
    gpa = drawing.memory.alloc(size)
    drawing.memory.write(gpa, data)
    drawing.ok(vg.create_3d(2, 64, 48))
    drawing.ok(vg.attach_backing(2, [(gpa, 1000), (gpa + 1000, size - 1000)]))
    drawing.ok(vg.ctx_attach(1, 2))
    box = 0, 0, 0, 64, 48, 1
    drawing.ok(vg.transfer_3d(1, 2, box))
    drawing.memory.write(gpa, bytes(size))
    response = drawing.ctrl(vg.fenced(vg.transfer_3d(1, 2, box, to_host=False), 1))
    assert response.kind == vg.OK_NODATA
    assert drawing.memory.read(gpa, size) == data


def test_fences_complete(drawing):
    pending = [drawing.submit(vg.fenced(vg.submit_3d(1, command(0)), i)) for i in range(30)]
    for i, p in enumerate(pending):
        assert drawing.finish(p).fence_id == i


def test_fences_of_a_context_complete(drawing):
    response = drawing.ctrl(vg.fenced(vg.submit_3d(1, command(0)), 9, ring_idx=0))
    assert (response.kind, response.fence_id, response.ring_idx) == (vg.OK_NODATA, 9, 0)


# ---- queries: their results are fetched by the renderer's main loop, and fences wait for them

QUERY_BUFFER, BIG, BIG_SIDE = 200, (100, 101), 2048


def blit(dst, src):
    """Stretches src over dst: milliseconds of work for a software GPU."""
    def side(resource, shrink):
        return resource, 0, vg.B8G8R8A8, 0, 0, 0, BIG_SIDE - shrink, BIG_SIDE - shrink, 1
    return command(BLIT, 0x10F, 0, 0, *side(dst, 0), *side(src, 3))


def query_behind_work(guest):
    """A stream whose query has no result before the GPU has done its work; where the result goes."""
    for resource in BIG:
        guest.ok(vg.create_3d(resource, BIG_SIDE, BIG_SIDE))
        guest.ok(vg.ctx_attach(1, resource))
    guest.ok(vg.create_3d(QUERY_BUFFER, 32, 1, target=0, fmt=64, bind=1 << 17))
    gpa = guest.memory.alloc(32)
    guest.memory.write(gpa, bytes(32))
    guest.ok(vg.attach_backing(QUERY_BUFFER, [(gpa, 32)]))
    guest.ok(vg.ctx_attach(1, QUERY_BUFFER))
    stream = b''.join(blit(*(BIG if i % 2 else BIG[::-1])) for i in range(8))
    stream += command(CREATE_OBJECT, 1, TIMESTAMP, 0, QUERY_BUFFER, obj=QUERY)
    return stream + command(END_QUERY, 1) + command(GET_QUERY_RESULT, 1, 0), gpa


def test_fence_behind_a_query(drawing):
    stream, gpa = query_behind_work(drawing)
    assert drawing.ctrl(vg.fenced(vg.submit_3d(1, stream), 1)).fence_id == 1
    assert struct.unpack('<I', drawing.memory.read(gpa, 4)) == (1,)  # done


def test_stop_with_a_query_pending(drawing):
    """The stop waits for the GPU without the main loop, which the query needs."""
    stream, gpa = query_behind_work(drawing)
    pending = drawing.submit(vg.fenced(vg.submit_3d(1, stream), 1))
    drawing.front_end.get_vring_base(0)
    assert drawing.finish(pending).fence_id == 1
    assert struct.unpack('<I', drawing.memory.read(gpa, 4)) == (1,)


# ---- streams

STREAMS = {
    'unknown command': command(255, 1, 2, 3),
    'unknown object': command(CREATE_OBJECT, 1, 2, 3, obj=200),
    'longer than the stream': command(CLEAR, 1, length=0xFFFF),
    'one word longer': command(CLEAR, *range(8), length=9),
    'empty clear': command(CLEAR),
    'draw without anything': command(DRAW_VBO, *([MAX] * 12)),
    'draw of zeros': command(DRAW_VBO, *([0] * 12)),
    'write to an unknown resource': command(INLINE_WRITE, 77, *([0] * 10), MAX),
    'write of a huge box': command(INLINE_WRITE, 1, 0, 0, 4, 0, 0, 0, 0, MAX, MAX, MAX, 0),
    'unknown sub-context': command(SET_SUB_CTX, 4711),
    'handle 0': command(CREATE_OBJECT, 0, *([0] * 10), obj=1),
    'ones': b'\xff' * 4096,
    'count': bytes(range(256)) * 16,
}


@pytest.mark.parametrize('name', STREAMS)
def test_bad_stream(drawing, name):
    answer = drawing.ctrl(vg.submit_3d(1, STREAMS[name]))
    assert answer.kind in (vg.OK_NODATA, *WRONG)
    recovers(drawing)


def test_random_streams(drawing):
    """With lengths that fit, so that the arguments get looked at."""
    rng = random.Random(2)
    for i in range(150):
        stream = b''
        while len(stream) < 400:
            words = [rng.choice([0, 1, 2, 64, MAX, rng.getrandbits(32)])
                     for _ in range(rng.randrange(14))]
            stream += command(rng.randrange(1, 46), *words, obj=rng.randrange(12))
        drawing.expect((vg.OK_NODATA, *WRONG), vg.submit_3d(1, stream))
        if i % 10 == 9:
            drawing.ok(vg.ctx_destroy(1))
            drawing.ok(vg.ctx_create(1, context_init=2))
            drawing.ok(vg.ctx_attach(1, 1))
    recovers(drawing)


def test_bad_streams_without_end_do_not_fill_the_log(session, drawing):
    for ctx in range(10, 80):
        drawing.ok(vg.ctx_create(ctx, context_init=2))
        drawing.expect(WRONG, vg.submit_3d(ctx, STREAMS['empty clear']))
        drawing.ok(vg.ctx_destroy(ctx))
    assert len(session.renderer.new_lines()) <= 40


def test_submit_to_a_context_that_is_not_there(drawing):
    drawing.expect(ERR_INVALID_CONTEXT_ID, vg.submit_3d(3, command(0)))


# ---- resources


@pytest.mark.parametrize('change', [
    {'fmt': 0}, {'fmt': 4000}, {'fmt': MAX}, {'bind': MAX}, {'bind': 0}, {'nr_samples': 3},
    {'nr_samples': 255}, {'last_level': 30}, {'target': 0, 'height': 2}, {'target': 4},
    {'target': 1}, {'target': 8, 'array_size': 7}, {'flags': MAX}, {'depth': 2},
    {'array_size': 3}], ids=str)
def test_resource_that_gl_may_not_take(guest, change):
    """Made or refused; what was made can be used and destroyed."""
    answer = guest.ctrl(vg.create_3d(1, **{'width': 16, 'height': 16, **change}))
    assert answer.kind in (vg.OK_NODATA, *WRONG)
    if answer.kind == vg.OK_NODATA:
        guest.ok(vg.attach_backing(1, [(guest.memory.alloc(4096), 4096)]))
        for to_host in True, False:
            guest.ctrl(vg.transfer_3d(0, 1, (0, 0, 0, 16, 1, 1), to_host=to_host))
            guest.ctrl(vg.transfer_3d(0, 1, (0, 0, 0, 16, 16, 1), stride=1, to_host=to_host))
        guest.ctrl(vg.set_scanout(0, 1, 0, 0, 16, 16))
        guest.ctrl(vg.flush(1, 0, 0, 16, 16))
        guest.cursor(vg.update_cursor(0, 1), into=0)
        guest.ok(vg.unref(1))
    recovers(guest)


def test_largest_resource(guest):
    """A gigabyte, and given back."""
    guest.ok(vg.create_3d(1, 16384, 16384))
    guest.ok(vg.unref(1))
    guest.expect(ERR_OUT_OF_MEMORY, vg.create_3d(1, 16384, 16384, array_size=2, target=7))


@pytest.mark.parametrize('change', [
    {'stride': 1}, {'stride': MAX}, {'offset': 2**64 - 64},
    {'offset': 64 * 48 * 4 - 4}, {'level': 1}, {'level': MAX},
    {'stride': 1 << 31, 'layer_stride': 1 << 31, 'offset': 1 << 62}], ids=str)
@pytest.mark.parametrize('to_host', [True, False], ids=['to host', 'from host'])
def test_transfer_that_does_not_fit(drawing, change, to_host):
    drawing.expect(WRONG, vg.transfer_3d(1, 1, (0, 0, 0, 64, 48, 1), to_host=to_host, **change))
    recovers(drawing)


def test_backing_goes_while_commands_use_it(drawing):
    for i in range(20):
        for c in (vg.fenced(vg.transfer_3d(1, 1, (0, 0, 0, 64, 48, 1)), i), vg.detach_backing(1),
                  vg.transfer_3d(1, 1, (0, 0, 0, 64, 48, 1)),
                  vg.attach_backing(1, [(drawing.memory.gpa, 64 * 48 * 4)])):
            drawing.submit(c, kick=False)
        drawing.rings[0].kick()
        drawing.ok(vg.fenced(vg.submit_3d(1, command(0)), i))
    recovers(drawing)


# ---- memory that streams and contexts would take past the limits

def test_stream_that_makes_resources_itself(drawing):
    """Blobs are not offered, and nothing would charge what such a command allocates."""
    for kind in (48, 49):
        assert drawing.ctrl(vg.submit_3d(1, command(kind, *range(11)))).kind in WRONG
    recovers(drawing)


def test_sub_contexts_without_end(drawing):
    made = [drawing.ctrl(vg.submit_3d(1, command(29, i))).kind for i in range(1, 66)]
    assert made == [vg.OK_NODATA] * 64 + [ERR_OUT_OF_MEMORY]
    drawing.ok(vg.submit_3d(1, command(30, 64)))
    drawing.ok(vg.submit_3d(1, command(29, 65)))
