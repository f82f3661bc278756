# SPDX-License-Identifier: MIT
"""A display socket whose other end breaks the rules, stalls or goes away: the vGPU goes on."""

import os
import socket

import pytest
from raw import vhost_user as vu
from raw import virtio_gpu as vg
from raw.display import Display, message
from raw.vhost_user import Closed

INFO = vg.hdr(vg.OK_DISPLAY_INFO) + bytes(vg.MAX_SCANOUTS * 24)
EDID = vg.hdr(vg.OK_EDID) + bytes(8 + 1024)

# Answers to GET_PROTOCOL_FEATURES, which is the first thing asked.
HELLO = {
    'garbage': b'\xa5' * 200,
    'zeros': bytes(200),
    'no payload': message(1, b''),
    'short payload': message(1, bytes(4)),
    'long payload': message(1, bytes(16)),
    'huge size': message(1, b'', size=0xFFFFFFFF),
    'size only a bit too large': message(1, bytes(8), size=9) + b'\0',
    'not a reply': message(1, bytes(8), flags=0),
    'another request': message(2, bytes(8)),
    'unknown request': message(99, bytes(8)),
    'half a header': message(1, b'')[:6],
    'half a payload': message(1, bytes(8))[:16],
}

# Answers to GET_DISPLAY_INFO.
ANSWER = {
    'garbage': b'\xa5' * 1000,
    'short': message(3, INFO[:-1]),
    'long': message(3, INFO + b'\0'),
    'empty': message(3, b''),
    'huge size': message(3, INFO, size=0x7FFFFFFF),
    'EDID instead': message(11, EDID),
    'error': message(3, vg.hdr(vg.ERR_UNSPEC) + bytes(vg.MAX_SCANOUTS * 24)),
    'not a reply': message(3, INFO, flags=0),
    'twice': message(3, INFO) * 2,
    'half': message(3, INFO)[:200],
}

# Not wrong so far when the display closes, which is logged as what it is. All others are one
# complaint.
UNFINISHED = ('half', 'half a header', 'half a payload', 'error')


def closing(data):
    """An answer of data and then the end."""
    def answer(display):
        if data:
            display.sock.sendall(data)
        display.sock.shutdown(1)
    return answer


def goes_on(guest):
    """Everything works, with or without this display."""
    guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info())
    guest.expect(vg.OK_EDID, vg.get_edid(0))
    guest.make_2d(500, 32, 32)
    guest.ok(vg.set_scanout(0, 500, 0, 0, 32, 32))
    guest.ok(vg.transfer_2d(500, 0, 0, 32, 32))
    guest.ok(vg.flush(500, 0, 0, 32, 32))
    guest.cursor(vg.move_cursor(0, 1, 1), into=0)


@pytest.mark.parametrize('name', HELLO)
def test_bad_answer_to_the_first_question(session, name):
    guest = session.guest(display=Display(answers={1: closing(HELLO[name])}))
    goes_on(guest)
    session.expect_lines(name not in UNFINISHED)


@pytest.mark.parametrize('name', ANSWER)
def test_bad_display_info(session, name):
    guest = session.guest(display=Display(answers={3: closing(ANSWER[name])}))
    goes_on(guest)
    session.expect_lines(name not in UNFINISHED)


@pytest.mark.parametrize('size', [0, 1, 1025, 4096, 0xFFFFFFFF])
def test_edid_that_claims_another_size(session, size):
    """The length inside the answer is not trusted further than the answer goes."""
    body = vg.hdr(vg.OK_EDID) + size.to_bytes(4, 'little') + bytes(4 + 1024)
    guest = session.guest(display=Display(answers={11: message(11, body)}))
    answer = guest.ctrl(vg.get_edid(0))
    if answer.kind == vg.OK_EDID:
        assert int.from_bytes(answer.body[:4], 'little') <= 1024
    else:
        assert answer.kind >= vg.ERR_UNSPEC
    goes_on(guest)


@pytest.mark.parametrize('request_id', [1, 3, 11])
def test_display_closes_instead_of_an_answer(session, request_id):
    guest = session.guest(display=Display(answers={request_id: lambda d: d.close()}))
    goes_on(guest)


def test_display_closes_at_once(session):
    display = Display()
    guest = session.guest(display=display, start=False)
    display.sock.close()
    display.open = False
    for _, step in guest.steps():
        step()
    goes_on(guest)


def test_answers_nobody_asked_for(session):
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    for data in message(3, INFO), message(11, EDID), b'\0' * 5000:
        try:
            guest.display.sock.sendall(data)
        except BrokenPipeError:
            guest.display.open = False
            break
        guest.ok(vg.create_2d(1, 4, 4))
        guest.ok(vg.unref(1))
    goes_on(guest)
    session.expect_lines()


def test_descriptors_from_the_display(session):
    """They are not wanted there, and must not pile up."""
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    before = session.renderer.measure()
    fds = [os.eventfd(0) for _ in range(20)]

    def answer(display):
        socket.send_fds(display.sock, [message(3, INFO)], fds)

    guest.display.answers[3] = answer
    try:
        for _ in range(5):
            guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info())
    finally:
        for fd in fds:
            os.close(fd)
    assert sum(session.renderer.measure().fds.values()) <= sum(before.fds.values())


# ---- never


def test_display_never_answers_the_first_question(session):
    """What else it is asked it may still answer."""
    guest = session.guest(display=Display(answers={1: None}))
    guest.wait(lambda: guest.display.of(1))
    guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info())
    guest.make_2d(1, 32, 32)
    guest.ok(vg.set_scanout(0, 1, 0, 0, 32, 32))
    guest.ok(vg.flush(1, 0, 0, 32, 32))


def test_display_never_answers(session):
    """Commands behind the question wait; the rest of the back-end does not."""
    guest = session.guest(display=Display(answers={3: None}))
    pending = guest.submit(vg.get_display_info())
    guest.wait(lambda: guest.display.of(3))
    assert guest.front_end.ask_u64(vu.GET_FEATURES)
    guest.cursor(vg.move_cursor(0, 1, 1), into=0)
    # The front-end stops the ring: the question is taken back, and asked again after the start.
    assert guest.stop() == (0, 1)
    assert not guest.finished(pending)
    del guest.display.answers[3]
    guest.restart(base=(0, 1))
    guest.display.reply(3, INFO)  # late: the answer to the first time
    assert guest.finish(pending).kind == vg.OK_DISPLAY_INFO
    guest.ok(vg.create_2d(1, 4, 4))


def test_display_never_answers_and_the_driver_waits(session):
    """For as long as the renderer waits; then its own tables are as good as any."""
    guest = session.guest(display=Display(answers={3: None}))
    guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info())
    guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info())
    session.expect_lines()


def test_display_answers_after_the_driver_has_started_anew(session):
    """What the old driver asked is nothing to the new one."""
    guest = session.guest(display=Display(answers={3: None}))
    guest.submit(vg.get_display_info())
    guest.wait(lambda: guest.display.of(3))
    guest.stop()
    guest.restart()
    guest.display.reply(3, INFO)
    del guest.display.answers[3]
    guest.ok(vg.create_2d(1, 4, 4))
    guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info())


def test_display_closes_while_a_command_waits(session):
    guest = session.guest(display=Display(answers={3: None}))
    pending = guest.submit(vg.get_display_info())
    guest.wait(lambda: guest.display.of(3))
    guest.display.close()
    assert guest.finish(pending).kind == vg.OK_DISPLAY_INFO
    goes_on(guest)


def test_front_end_dies_while_a_command_waits(session):
    guest = session.guest(display=Display(answers={3: None}))
    guest.submit(vg.get_display_info())
    guest.wait(lambda: guest.display.of(3))
    guest.front_end.close()
    guest.display.await_close()


# ---- slow


def test_display_that_never_reads(session):
    """Flushes are accepted, damage is merged, memory stays bounded, and in the end the picture is
    right."""
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    side = 512
    gpa, size = guest.make_2d(1, side, side)[0]
    guest.ok(vg.set_scanout(0, 1, 0, 0, side, side))
    slow, guest.display = guest.display, None  # nobody serves it
    data = b''
    for i in range(200):
        data = bytes([i, i + 1, i + 2, 0]) * (side * side)
        guest.memory.write(gpa, data)
        guest.ok(vg.transfer_2d(1, 0, 0, side, side))
        guest.ok(vg.flush(1, 0, 0, side, side))
        guest.cursor(vg.move_cursor(0, i, i), into=0)
    grown = session.renderer.measure().anon_kib - session.baseline.anon_kib
    assert grown <= 32 << 10
    guest.display = slow
    screen = bytearray(size)
    done = 0
    while bytes(screen) != data:
        guest.wait(lambda: len(slow.updates()) > done)
        updates = slow.updates()
        for u in updates[done:]:
            for row in range(u.height):
                at = 4 * (side * (u.y + row) + u.x)
                screen[at:at + 4 * u.width] = u.pixels[4 * u.width * row:][:4 * u.width]
        done = len(updates)
    assert done < 200


def test_display_that_never_reads_and_dies(session):
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    guest.make_2d(1, 1024, 512)
    guest.ok(vg.set_scanout(0, 1, 0, 0, 1024, 512))
    for _ in range(20):
        pending = guest.submit(vg.flush(1, 0, 0, 1024, 512))
        guest.poll(pending)
    guest.display.close()
    guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info())


def test_connection_ends_while_the_display_is_slow(session):
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    guest.make_2d(1, 1024, 512)
    guest.ok(vg.set_scanout(0, 1, 0, 0, 1024, 512))
    guest.submit(vg.flush(1, 0, 0, 1024, 512))
    guest.front_end.send(77)
    session.refused(guest.front_end)
    with pytest.raises(Closed):
        guest.pump(1)
