# SPDX-License-Identifier: MIT
"""vhost-user messages as such: lengths, flags, descriptors and order, the good and the bad."""

import contextlib
import os
import socket
import struct
import time

import pytest
from raw import vhost_user as vu
from raw import virtio_gpu as vg
from raw import vring
from raw.display import Display
from raw.vhost_user import MESSAGES, NEED_REPLY, REPLY, VERSION, Closed

KNOWN = {row[0] for row in MESSAGES.values()}
ALL = sorted(MESSAGES)


@contextlib.contextmanager
def descriptors(count):
    """count open descriptors that are nothing in particular."""
    fds = [os.eventfd(0, os.EFD_CLOEXEC) for _ in range(count)]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def send_refused(session, front_end, *args, **kwargs):
    """Sends a message (by send's arguments) that has to end the connection."""
    with contextlib.suppress(Closed):
        front_end.send(*args, **kwargs)
    session.refused(front_end)


def sample(name):
    """A payload of the smallest right size, all zeros."""
    return bytes(MESSAGES[name][1])


# ---- what is right


def test_answers_to_a_good_front_end(session):
    fe = session.connect()
    features = fe.ask_u64(vu.GET_FEATURES)
    for bit in (vu.F_PROTOCOL_FEATURES, vu.F_INDIRECT_DESC, vu.F_EVENT_IDX, vu.F_VERSION_1):
        assert features & (1 << bit), bit
    protocol = fe.ask_u64(vu.GET_PROTOCOL_FEATURES)
    for bit in (vu.P_MQ, vu.P_REPLY_ACK, vu.P_CONFIG, vu.P_MEM_SLOTS):
        assert protocol & (1 << bit), bit
    fe.set_protocol_features(protocol)
    assert fe.ask_u64(vu.GET_QUEUE_NUM) == 2
    assert 8 <= fe.ask_u64(vu.GET_MAX_MEM_SLOTS) <= 509  # QEMU aborts at its 513th
    fe.tell(vu.SET_OWNER)
    assert fe.ask_u64(vu.GET_FEATURES) == features


def test_features_that_were_not_offered_are_refused(session):
    fe = session.connect()
    offered = fe.negotiate()
    missing = next(bit for bit in range(41, 64) if not offered & (1 << bit))
    send_refused(session, fe, vu.SET_FEATURES, vu.u64(offered | 1 << missing))


def test_protocol_features_that_were_not_offered_are_refused(session):
    fe = session.connect()
    fe.ask_u64(vu.GET_FEATURES)
    offered = fe.ask_u64(vu.GET_PROTOCOL_FEATURES)
    assert not offered & (1 << 62)
    send_refused(session, fe, vu.SET_PROTOCOL_FEATURES, vu.u64(offered | 1 << 62))


@pytest.mark.parametrize('bit', [29, 40])
def test_qemu_acknowledges_these_even_if_they_are_not_offered(session, bit):
    """vhost-user-gpu-pci takes EVENT_IDX and RING_RESET even if they were not offered to it."""
    fe = session.connect()
    offered = fe.negotiate()
    fe.tell(vu.SET_FEATURES, vu.u64(offered | 1 << bit))
    fe.ask_u64(vu.GET_FEATURES)


def test_acknowledgements_only_where_asked(session):
    fe = session.connect()
    fe.negotiate()
    fe.send(vu.SET_OWNER)
    fe.send(vu.SET_OWNER, flags=VERSION | NEED_REPLY)
    assert fe.recv() == (vu.SET_OWNER, VERSION | REPLY, vu.u64(0))
    fe.ask_u64(vu.GET_FEATURES)
    assert not fe.readable()


def test_no_acknowledgement_before_it_is_negotiated(session):
    fe = session.connect()
    fe.send(vu.SET_OWNER, flags=VERSION | NEED_REPLY)
    fe.ask_u64(vu.GET_FEATURES)
    assert not fe.readable()


def test_a_request_with_an_answer_is_not_acknowledged_too(session):
    fe = session.connect()
    fe.negotiate()
    fe.send(vu.GET_FEATURES, flags=VERSION | NEED_REPLY)
    assert fe.recv()[0] == vu.GET_FEATURES
    fe.ask_u64(vu.GET_PROTOCOL_FEATURES)
    assert not fe.readable()


def test_messages_in_one_write_and_in_single_bytes(session):
    fe = session.connect()
    hello = struct.pack('<III', vu.GET_FEATURES, VERSION, 0)
    fe.send_raw(hello * 20)
    answers = [fe.recv() for _ in range(20)]
    assert len(set(answers)) == 1
    for byte in struct.pack('<III', vu.SET_FEATURES, VERSION, 8) + answers[0][2] + hello:
        fe.send_raw(bytes([byte]))
    assert fe.recv() == answers[0]


# ---- framing


def wrong_sizes():
    """(name, size) of payloads that are too short or too long."""
    for name, (_, low, high, _, _) in sorted(MESSAGES.items()):
        for size in sorted({0, low // 2, low - 1, high + 1, high + 8, 4096}):
            if size >= 0 and not low <= size <= high:
                yield name, size


@pytest.mark.parametrize('name,size', wrong_sizes())
def test_wrong_payload_size(session, name, size):
    request, _, _, fewest, _ = MESSAGES[name]
    fe = session.connect()
    with descriptors(fewest) as fds:
        send_refused(session, fe, request, bytes(size), fds)


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('size', [0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_huge_size_is_refused_before_the_payload(session, name, size):
    send_refused(session, session.connect(), MESSAGES[name][0], size=size)


@pytest.mark.parametrize('request_id', [
    0, 6, 7, 19, 20, 22, 23, 26, 30, 31, 32, 35, 39, 40, 41, 42, 43, 45, 255, 256, 257, 65537,
    0x7FFFFFFF, 0x80000001, 0xFFFFFFFF])
@pytest.mark.parametrize('payload', [b'', bytes(8)], ids=['empty', 'u64'])
def test_unknown_message(session, request_id, payload):
    assert request_id not in KNOWN
    send_refused(session, session.connect(), request_id, payload)


@pytest.mark.parametrize('flags', [0, 2, 3, REPLY, VERSION | REPLY, VERSION | 0x10,
                                   VERSION | 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize('name', ['GET_FEATURES', 'SET_FEATURES', 'SET_MEM_TABLE'])
def test_wrong_flags(session, name, flags):
    send_refused(session, session.connect(), MESSAGES[name][0], sample(name), flags=flags)


@pytest.mark.parametrize('broken', [{'flags': 3}, {'flags': VERSION | REPLY},
                                    {'size': 0xFFFFFFFF}], ids=str)
def test_descriptors_of_a_broken_message_are_closed(session, broken):
    with descriptors(8) as fds:
        send_refused(session, session.connect(), vu.SET_MEM_TABLE, fds=fds, **broken)


@pytest.mark.parametrize('size', range(1, 12))
def test_half_a_header_then_nothing_more(session, size):
    fe = session.connect()
    fe.send_raw(struct.pack('<III', vu.GET_FEATURES, VERSION, 0)[:size])
    fe.sock.shutdown(1)
    session.refused(fe)


@pytest.mark.parametrize('data', [bytes(4096), b'\xff' * 4096, b'GET / HTTP/1.1\r\n\r\n',
                                  bytes(range(256))], ids=['zeros', 'ones', 'http', 'count'])
def test_garbage(session, data):
    fe = session.connect()
    with contextlib.suppress(Closed):
        fe.send_raw(data)
    session.refused(fe)


# ---- descriptors


def wrong_counts():
    """(name, number of descriptors) that do not go together."""
    for name, (*_, fewest, most) in sorted(MESSAGES.items()):
        for count in 0, 1, 2, 9, 64, 200:
            if not fewest <= count <= most:
                yield name, count


@pytest.mark.parametrize('name,count', wrong_counts())
def test_wrong_number_of_descriptors(session, name, count):
    with descriptors(count) as fds:
        send_refused(session, session.connect(), MESSAGES[name][0], sample(name), fds)


def test_descriptors_on_a_later_byte_of_the_header(session):
    """They belong to the message in which they come, wherever in it: too many is too many."""
    fe = session.connect()
    head = struct.pack('<III', vu.GET_FEATURES, VERSION, 0)
    with descriptors(1) as fds, contextlib.suppress(Closed):
        fe.send_raw(head[:5])
        fe.send_raw(head[5:], fds)
    session.refused(fe)


def test_descriptors_in_the_payload(session):
    fe = session.connect()
    with descriptors(9) as fds, contextlib.suppress(Closed):
        fe.send(vu.SET_FEATURES, size=8)
        fe.send_raw(bytes(8), fds)
    session.refused(fe)


def test_descriptors_and_then_the_end(session):
    fe = session.connect()
    with descriptors(64) as fds:
        fe.send_raw(b'\x05', fds)
    fe.sock.shutdown(1)
    session.refused(fe)


# ---- messages that are well formed and make no sense now


@pytest.mark.parametrize('name', ['SET_VRING_NUM', 'SET_VRING_ADDR', 'SET_VRING_BASE',
                                  'GET_VRING_BASE', 'SET_VRING_ENABLE'])
@pytest.mark.parametrize('index', [2, 3, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_ring_index_outside(session, name, index):
    request, size, *_ = MESSAGES[name]
    fe = session.connect()
    fe.negotiate()
    send_refused(session, fe, request, struct.pack('<II', index, 0).ljust(size, b'\0'))


@pytest.mark.parametrize('name', ['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR'])
@pytest.mark.parametrize('value', [2, 255, 0x200, 0x10000, 1 << 32, 1 << 63])
def test_descriptor_of_a_ring_outside(session, name, value):
    """The index is the low byte, a flag the next bit; there are no others."""
    fe = session.connect()
    fe.negotiate()
    send_refused(session, fe, MESSAGES[name][0], vu.u64(value | vu.VRING_NOFD))


@pytest.mark.parametrize('num', [0, 3, 5, 1000, 1025, 2048, 32768, 65535, 65536, 0x80000000,
                                 0xFFFFFFFF])
def test_ring_size(session, num):
    fe = session.connect()
    fe.negotiate()
    send_refused(session, fe, vu.SET_VRING_NUM, vu.vring_state(0, num))


@pytest.mark.parametrize('base', [65536, 0x80000000, 0xFFFFFFFF])
def test_ring_base_that_is_no_index(session, base):
    fe = session.connect()
    fe.negotiate()
    send_refused(session, fe, vu.SET_VRING_BASE, vu.vring_state(0, base))


@pytest.mark.parametrize('value', [2, 0xFFFFFFFF])
def test_ring_enable_is_on_or_off(session, value):
    fe = session.connect()
    fe.negotiate()
    send_refused(session, fe, vu.SET_VRING_ENABLE, vu.vring_state(0, value))


@pytest.mark.parametrize('name', ['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR'])
def test_the_no_descriptor_flag_must_match(session, name):
    fe = session.connect()
    fe.negotiate()
    with descriptors(1) as fds:
        send_refused(session, fe, MESSAGES[name][0], vu.u64(vu.VRING_NOFD), fds)


@pytest.mark.parametrize('name', ['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR'])
@pytest.mark.parametrize('kind', ['file', 'directory', 'null', 'memfd', 'pipe', 'socket', 'timer'])
def test_what_is_no_eventfd(session, name, kind):
    """Writing to a file of a stranger's choice, or to a pipe that nobody reads, is not done."""
    opened = {'file': lambda: [os.open(__file__, os.O_RDONLY)],
              'directory': lambda: [os.open('/', os.O_RDONLY)],
              'null': lambda: [os.open('/dev/null', os.O_RDWR)],
              'memfd': lambda: [os.memfd_create('aliquot-test')],
              'pipe': lambda: list(reversed(os.pipe())),
              'socket': lambda: [s.detach() for s in socket.socketpair()],
              'timer': lambda: [os.timerfd_create(time.CLOCK_MONOTONIC)]}[kind]()
    fe = session.connect()
    fe.negotiate()
    try:
        send_refused(session, fe, MESSAGES[name][0], vu.u64(0), opened[:1])
    finally:
        for fd in opened:
            os.close(fd)


def test_call_eventfd_that_is_full_and_blocks(session):
    """Raising it must not hold the renderer up, whatever state the front-end left it in."""
    guest = session.guest()
    full = os.eventfd(0, os.EFD_CLOEXEC)
    try:
        guest.front_end.tell(vu.SET_VRING_CALL, vu.u64(0), [full])
        os.eventfd_write(full, 2**64 - 2)
        pending = guest.submit(vg.create_2d(1, 4, 4))
        guest.poll(pending)  # there is nothing to be woken by
    finally:
        os.close(full)


def test_ring_without_kick_is_refused(session):
    """It would have to be polled."""
    fe = session.connect()
    fe.negotiate()
    send_refused(session, fe, vu.SET_VRING_KICK, vu.u64(0 | vu.VRING_NOFD))


@pytest.mark.parametrize('name', ['SET_VRING_CALL', 'SET_VRING_ERR'])
def test_rings_without_call_and_err_are_fine(session, name):
    guest = session.guest()
    for queue in 0, 1:
        guest.front_end.tell(MESSAGES[name][0], vu.u64(queue | vu.VRING_NOFD))
    pending = guest.submit(vg.create_2d(1, 4, 4))
    guest.poll(pending)
    if name == 'SET_VRING_CALL':  # what was missed is made up for
        guest.front_end.tell(vu.SET_VRING_CALL, vu.u64(0), [guest.rings[0].call_fd])
        guest.wait(lambda: guest.calls[0] == 1)


@pytest.mark.parametrize('name', ['SET_BACKEND_REQ_FD', 'GPU_SET_SOCKET'])
@pytest.mark.parametrize('kind', ['null', 'pipe', 'datagram', 'seqpacket', 'inet'])
def test_side_channel_that_is_no_stream_socket(session, name, kind):
    opened = {'null': lambda: [os.open('/dev/null', os.O_RDWR)],
              'pipe': lambda: list(os.pipe()),
              'datagram': lambda: [s.detach() for s in socket.socketpair(
                  socket.AF_UNIX, socket.SOCK_DGRAM)],
              'seqpacket': lambda: [s.detach() for s in socket.socketpair(
                  socket.AF_UNIX, socket.SOCK_SEQPACKET)],
              'inet': lambda: [socket.socket(socket.AF_INET).detach()]}[kind]()
    fe = session.connect()
    fe.negotiate()
    try:
        send_refused(session, fe, MESSAGES[name][0], b'', opened[:1])
    finally:
        for fd in opened:
            os.close(fd)


def test_requests_of_the_back_end_go_to_a_socket_that_nobody_reads(session):
    ours, theirs = socket.socketpair()
    fe = session.connect()
    fe.negotiate()
    with ours, theirs:
        for _ in range(20):
            fe.tell(vu.SET_BACKEND_REQ_FD, fds=[theirs.fileno()])
    fe.ask_u64(vu.GET_FEATURES)


@pytest.mark.parametrize('request_id', [0, vu.SET_VRING_NUM, 99])
def test_refusal_is_said_where_an_answer_is_wanted(session, request_id):
    """With NEED_REPLY the front-end hears of what makes no sense, and the connection goes on."""
    fe = session.connect()
    fe.negotiate()
    payload = vu.vring_state(0, 3) if request_id == vu.SET_VRING_NUM else b''
    session.renderer.new_lines()
    assert fe.status_of(request_id, payload) != 0
    fe.ask_u64(vu.GET_FEATURES)
    line, = session.renderer.new_lines()
    assert 'refused' in line


def test_refusals_without_end_do_not_fill_the_log(session):
    fe = session.connect()
    fe.negotiate()
    for _ in range(300):
        assert fe.status_of(vu.SET_VRING_NUM, vu.vring_state(0, 3)) != 0
    lines = session.renderer.new_lines()
    assert 1 <= len(lines) <= 20


@pytest.mark.parametrize('name', ['SET_VRING_NUM', 'SET_VRING_BASE'])
def test_running_rings_are_not_changed(session, name):
    guest = session.guest()
    send_refused(session, guest.front_end, MESSAGES[name][0], vu.vring_state(0, 32))


def test_ring_messages_before_any_memory(session):
    guest = session.guest(start=False)
    for _, step in guest.connect_steps():
        step()
    uva = guest.memory.uva_of
    ring = guest.rings[0]
    guest.front_end.tell(vu.SET_VRING_NUM, vu.vring_state(0, ring.num))
    send_refused(session, guest.front_end, vu.SET_VRING_ADDR,
                 vu.vring_addr(0, uva(ring.desc_gpa), uva(ring.used_gpa), uva(ring.avail_gpa)))


def test_kick_of_a_ring_that_was_never_set_up(session):
    fe = session.connect()
    fe.negotiate()
    with descriptors(1) as fds:
        send_refused(session, fe, vu.SET_VRING_KICK, vu.u64(0), fds)


def test_enable_and_stop_of_a_ring_that_was_never_set_up(session):
    """QEMU's generic device does so: nothing to run, no harm."""
    fe = session.connect()
    fe.negotiate()
    fe.tell(vu.SET_VRING_ENABLE, vu.vring_state(0, 1))
    fe.tell(vu.SET_VRING_ENABLE, vu.vring_state(0, 0))
    assert fe.get_vring_base(0) == 0


def test_a_second_socket_for_the_display_replaces_the_first(session):
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    first, guest.display = session.keep(guest.display), Display()
    guest.display.hand_over(guest.front_end)
    guest.wait(lambda: guest.display.of(2))
    first.await_close()


def test_every_message_again_and_again(session):
    """Repeating a message leaks nothing: descriptors above all."""
    guest = session.guest()
    fe = guest.front_end
    before = session.renderer.measure()
    for _ in range(50):
        for queue, ring in enumerate(guest.rings):
            fe.tell(vu.SET_VRING_CALL, vu.u64(queue), [ring.call_fd])
            fe.tell(vu.SET_VRING_ERR, vu.u64(queue), [ring.err_fd])
            fe.tell(vu.SET_VRING_KICK, vu.u64(queue), [ring.kick_fd])
            fe.tell(vu.SET_VRING_ENABLE, vu.vring_state(queue, 1))
    assert session.renderer.measure().fds == before.fds
    assert vring.drain(guest.rings[0].err_fd) == 0


# ---- configuration space


def test_config_space(guest):
    fe = guest.front_end
    events_read, events_clear, scanouts, capsets = struct.unpack('<IIII', fe.get_config(0, 16))
    assert (events_read, events_clear, scanouts) == (0, 0, 1)
    assert capsets <= 16
    assert fe.get_config(8, 4) == struct.pack('<I', scanouts)
    assert fe.get_config(0, 20)[:16] == fe.get_config(0, 16)  # what vhost-user-gpu-pci asks


def test_config_write_clears_events_and_changes_nothing_else(guest):
    fe = guest.front_end
    before = fe.get_config(0, 16)
    fe.tell(vu.SET_CONFIG, vu.config(4, 4, data=struct.pack('<I', 1)))
    fe.tell(vu.SET_CONFIG, vu.config(4, 4, data=struct.pack('<I', 0xFFFFFFFF)))
    assert fe.get_config(0, 16) == before


OUTSIDE = [(20, 256), (0, 256), (256, 1), (0xFFFFFFFF, 1), (0xFFFFFFFC, 8), (0x80000000, 16)]


@pytest.mark.parametrize('offset,size', OUTSIDE)
def test_config_read_outside(session, offset, size):
    """An answer without payload is the protocol's way to say no."""
    fe = session.connect()
    fe.negotiate()
    assert fe.ask(vu.GET_CONFIG, vu.config(offset, size)) == b''
    fe.get_config(0, 16)


@pytest.mark.parametrize('offset,size', OUTSIDE)
def test_config_write_outside(session, offset, size):
    fe = session.connect()
    fe.negotiate()
    send_refused(session, fe, vu.SET_CONFIG, vu.config(offset, size))


@pytest.mark.parametrize('claimed,sent', [(4, 8), (8, 4), (0, 4), (4, 0), (257, 4),
                                          (0xFFFFFFFF, 4), (0xFFFFFFF4, 0)])
@pytest.mark.parametrize('name', ['GET_CONFIG', 'SET_CONFIG'])
def test_config_size_must_match_its_payload(session, name, claimed, sent):
    fe = session.connect()
    fe.negotiate()
    send_refused(session, fe, MESSAGES[name][0], vu.config(0, claimed, data=bytes(sent)))
