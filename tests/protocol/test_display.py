# SPDX-License-Identifier: MIT
"""Display information, EDID, scan-outs and cursor, with a display and without one."""

import random
import struct

import pytest
from raw import display as dp
from raw import virtio_gpu as vg
from raw.display import Display
from raw.virtio_gpu import modes

RENDERER = {'args': ['--scanouts', '3', '--size', '1440x900']}


@pytest.fixture
def three(session):
    """A guest whose display has three monitors."""
    guest = session.guest(display=Display(modes=((1024, 768), (800, 600), (640, 480))))
    guest.wait(lambda: guest.display.of(dp.SET_PROTOCOL_FEATURES))
    return guest


def check_edid(block, width=None, height=None):
    """Header, version, checksum and preferred mode of an EDID."""
    assert len(block) >= 128 and len(block) % 128 == 0
    for at in range(0, len(block), 128):
        assert sum(block[at:at + 128]) & 0xFF == 0, 'checksum'
    assert block[:8] == b'\0\xff\xff\xff\xff\xff\xff\0'
    assert block[18] == 1 and block[19] in (3, 4)
    if width:
        timing = block[54:72]
        assert struct.unpack_from('<H', timing)[0] > 0, 'pixel clock'
        assert timing[2] | (timing[4] & 0xF0) << 4 == width
        assert timing[5] | (timing[7] & 0xF0) << 4 == height


# ---- without a display: the renderer's own tables


def test_own_display_info(guest):
    info = modes(guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info()))
    first, *others = info
    assert (first.x, first.y, first.width, first.height, first.enabled) == (0, 0, 1440, 900, 1)
    assert all(mode.enabled == 0 for mode in others)


@pytest.mark.parametrize('scanout', [0, 1, 2])
def test_own_edid(guest, scanout):
    answer = guest.expect(vg.OK_EDID, vg.get_edid(scanout))
    assert len(answer.raw) == vg.EDID_RESPONSE_BYTES
    check_edid(vg.edid(answer), *((1440, 900) if scanout == 0 else ()))


def test_own_edids_differ(guest):
    edids = [vg.edid(guest.expect(vg.OK_EDID, vg.get_edid(i))) for i in range(3)]
    assert len(set(edids)) == 3


@pytest.mark.parametrize('scanout', [3, 15, 16, 99, 0xFFFFFFFF])
def test_edid_of_a_scanout_that_is_not_there(guest, scanout):
    guest.expect((vg.ERR_INVALID_SCANOUT_ID, vg.ERR_INVALID_PARAMETER), vg.get_edid(scanout))


def test_config_tells_the_scanouts(guest):
    assert struct.unpack('<I', guest.front_end.get_config(8, 4)) == (3,)


# ---- with a display


def test_features_of_the_display_are_negotiated(three):
    chosen, = struct.unpack('<Q', three.display.of(dp.SET_PROTOCOL_FEATURES)[0].payload)
    assert chosen & ~three.display.features == 0
    assert chosen & 1  # EDID


def test_display_info_is_the_displays(three):
    info = modes(three.expect(vg.OK_DISPLAY_INFO, vg.get_display_info()))
    assert [(m.width, m.height) for m in info[:3]] == [(1024, 768), (800, 600), (640, 480)]
    assert [m.enabled for m in info] == [1, 1, 1] + [0] * 13


@pytest.mark.parametrize('scanout', [0, 1, 2])
def test_edid_is_the_displays(three, scanout):
    answer = three.expect(vg.OK_EDID, vg.get_edid(scanout))
    assert vg.edid(answer) == dp.edid_of(scanout)
    assert three.display.of(dp.GET_EDID)[0].ints(1) == (scanout,)


def test_display_that_has_no_edid(session):
    """The renderer makes one of its own."""
    guest = session.guest(display=Display(features=0))
    guest.wait(lambda: guest.display.of(dp.SET_PROTOCOL_FEATURES))
    check_edid(vg.edid(guest.expect(vg.OK_EDID, vg.get_edid(0))))
    assert not guest.display.of(dp.GET_EDID)


def test_fenced_questions(three):
    answer = three.ctrl(vg.fenced(vg.get_display_info(), 77))
    assert (answer.kind, answer.flags, answer.fence_id) == (vg.OK_DISPLAY_INFO, 1, 77)


def test_commands_behind_a_question_stay_in_order(three):
    pending = [three.submit(command, kick=False) for command in (
        vg.create_2d(1, 4, 4), vg.get_display_info(), vg.unref(1), vg.get_edid(1),
        vg.create_2d(1, 8, 8), vg.get_display_info())]
    three.rings[0].kick()
    answers = [three.finish(p).kind for p in pending]
    assert answers == [vg.OK_NODATA, vg.OK_DISPLAY_INFO, vg.OK_NODATA, vg.OK_EDID, vg.OK_NODATA,
                       vg.OK_DISPLAY_INFO]


def test_several_scanouts(three):
    """Each shows its own resource, or all parts of one."""
    rng = random.Random(1)
    for i, (w, h) in enumerate(((100, 50), (60, 70), (33, 44))):
        gpa, _ = three.make_2d(i + 1, w, h)[0]
        data = rng.randbytes(w * h * 4)
        three.memory.write(gpa, data)
        three.ok(vg.transfer_2d(i + 1, 0, 0, w, h))
        three.ok(vg.set_scanout(i, i + 1, 0, 0, w, h))
        three.wait(lambda i=i: [m for m in three.display.of(dp.SCANOUT) if m.ints(1) == (i,)])
        three.display.forget()
        three.ok(vg.flush(i + 1, 0, 0, w, h))
        three.wait(lambda: three.display.updates())
        update, = three.display.updates()
        assert (update.scanout, update.rect) == (i, (0, 0, w, h))
        assert masked(update.pixels) == masked(data)
    for i in range(3):
        three.ok(vg.set_scanout(i, 1, 20 * i, 10, 20, 30))
    three.display.forget()
    three.ok(vg.flush(1, 10, 15, 40, 10))
    three.wait(lambda: len(three.display.updates()) == 3)
    assert {(u.scanout, u.rect) for u in three.display.updates()} == {
        (0, (10, 5, 10, 10)), (1, (0, 5, 20, 10)), (2, (0, 5, 10, 10))}


def test_a_new_display_is_told_what_is_shown(three):
    three.make_2d(1, 64, 64)
    three.ok(vg.set_scanout(1, 1, 0, 0, 64, 64))
    three.display.close()
    three.display = Display(modes=((1024, 768),) * 3)
    three.display.hand_over(three.front_end)
    three.wait(lambda: three.display.of(dp.SCANOUT) and three.display.updates())
    assert [m.ints(3) for m in three.display.of(dp.SCANOUT)] == [(1, 64, 64)]
    assert three.display.updates()[0].rect == (0, 0, 64, 64)


def masked(pixels):
    result = bytearray(pixels)
    result[3::4] = bytes(len(result) // 4)
    return bytes(result)


# ---- the cursor


@pytest.fixture
def pointer(three):
    """64 × 64 pixels with alpha in resource 9; returns (guest, the pixels)."""
    gpa, size = three.make_2d(9, 64, 64, fmt=vg.B8G8R8A8)[0]
    data = random.Random(5).randbytes(size)
    three.memory.write(gpa, data)
    three.ok(vg.transfer_2d(9, 0, 0, 64, 64))
    return three, data


def wait_for(guest, request):
    guest.wait(lambda: guest.display.of(request))
    message = guest.display.of(request)[-1]
    guest.display.forget()
    return message


def test_cursor_image_position_and_hot_spot(pointer):
    guest, data = pointer
    guest.cursor(vg.update_cursor(1, 9, x=100, y=200, hot_x=3, hot_y=4), into=0)
    message = wait_for(guest, dp.CURSOR_UPDATE)
    assert message.ints(5) == (1, 100, 200, 3, 4)
    assert message.payload[20:] == data


def test_cursor_moves(pointer):
    guest, _ = pointer
    guest.cursor(vg.update_cursor(0, 9), into=0)
    wait_for(guest, dp.CURSOR_UPDATE)
    for x, y in (1, 2), (0, 0), (4000, 3000), (0xFFFFFFF0, 5):
        guest.cursor(vg.move_cursor(0, x, y, resource=9), into=0)
        assert wait_for(guest, dp.CURSOR_POS).ints(3) == (0, x, y)


def test_cursor_is_hidden(pointer):
    guest, _ = pointer
    guest.cursor(vg.update_cursor(0, 9), into=0)
    wait_for(guest, dp.CURSOR_UPDATE)
    guest.cursor(vg.update_cursor(0, 0), into=0)
    assert wait_for(guest, dp.CURSOR_POS_HIDE).ints(1) == (0,)


@pytest.mark.parametrize('width,height', [(32, 32), (64, 63), (65, 64), (1, 1), (512, 512)])
def test_cursor_of_another_size(three, width, height):
    """The protocol has 64 × 64 only: nothing outside the resource is read."""
    three.make_2d(5, width, height)
    three.cursor(vg.update_cursor(0, 5), into=0)
    three.ok(vg.flush(5, 0, 0, 1, 1))
    for message in three.display.of(dp.CURSOR_UPDATE):
        assert len(message.payload) == 20 + 64 * 64 * 4


@pytest.mark.parametrize('resource', [1, 77, 0xFFFFFFFF])
def test_cursor_resource_that_is_not_there(three, resource):
    three.cursor(vg.update_cursor(0, resource), into=0)
    three.ok(vg.create_2d(3, 4, 4))
    assert not three.display.of(dp.CURSOR_UPDATE)


def test_cursor_resource_is_destroyed_while_shown(pointer):
    guest, _ = pointer
    guest.cursor(vg.update_cursor(0, 9), into=0)
    wait_for(guest, dp.CURSOR_UPDATE)
    guest.ok(vg.unref(9))
    guest.cursor(vg.move_cursor(0, 5, 5, resource=9), into=0)
    guest.cursor(vg.update_cursor(0, 9), into=0)
    guest.ok(vg.create_2d(9, 4, 4))


def test_cursor_updates_without_end(pointer):
    """A guest that moves faster than the display reads: the last position arrives."""
    guest, _ = pointer
    guest.cursor(vg.update_cursor(0, 9), into=0)
    wait_for(guest, dp.CURSOR_UPDATE)
    for i in range(500):
        guest.cursor(vg.move_cursor(0, i, i), into=0)
    guest.wait(lambda: any(m.ints(3) == (0, 499, 499) for m in guest.display.of(dp.CURSOR_POS)))
