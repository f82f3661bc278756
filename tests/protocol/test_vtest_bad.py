# SPDX-License-Identifier: MIT
"""vtest clients that break every rule: the connection is closed with one line in the log, and the
next client finds a renderer that holds nothing of it (session.finish())."""

import os
import random
import socket

import pytest
from raw import vtest as vt
from raw.renderer import LINE
from raw.vtest import Client, message, words
from test_vtest import PIXELS, a_session

HUGE = 0xffffffff
RENDERER = {'args': ['--max-memory', '256M']}

# Those with one length, and the words of it.
FIXED = {vt.GET_CAPS: 0, vt.RESOURCE_CREATE: 10, vt.RESOURCE_UNREF: 1, vt.TRANSFER_GET: 11,
         vt.RESOURCE_BUSY_WAIT: 2, vt.GET_CAPS2: 0, vt.PING_PROTOCOL_VERSION: 0,
         vt.PROTOCOL_VERSION: 1, vt.RESOURCE_CREATE2: 11, vt.TRANSFER_GET2: 10, vt.GET_PARAM: 1,
         vt.GET_CAPSET: 2, vt.CONTEXT_INIT: 1, vt.RESOURCE_CREATE_BLOB: 6, vt.SYNC_CREATE: 2,
         vt.SYNC_UNREF: 1, vt.SYNC_READ: 1, vt.SYNC_WRITE: 3}
NOT_OFFERED = range(vt.DRM_SYNC_CREATE, vt.RESOURCE_EXPORT_FD + 1)


@pytest.fixture
def client(session):
    return session.keep(Client(session.renderer.path, version=3))


@pytest.fixture
def refused(session, client):
    """Sends what must end the connection."""
    def send(*data, reason=''):
        try:
            client.send(b''.join(data))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have seen enough before it was all sent
        assert client.closed()
        session.expect_lines()
        assert reason in session.renderer.log()
    return send


@pytest.mark.parametrize('command', [0, vt.RESOURCE_EXPORT_FD + 1, 0x100, 1 << 31, HUGE])
@pytest.mark.parametrize('length', [0, 1, HUGE])
def test_unknown_command(refused, command, length):
    refused(words(length, command), reason=f'command {command} is not known')


@pytest.mark.parametrize('command', NOT_OFFERED)
def test_not_offered(refused, command):
    refused(message(command, bytes(24)), reason='is not offered')


@pytest.mark.parametrize('command', FIXED)
@pytest.mark.parametrize('change', [-1, 1, 100, 1 << 30, 1 << 31])
def test_wrong_length(refused, command, change):
    length = FIXED[command] + change
    if length < 0:
        length = HUGE
    refused(words(length, command), bytes(min(length, 100) * 4), reason=f'length {length}')


@pytest.mark.parametrize('command, length', [
    (vt.TRANSFER_PUT, 0), (vt.TRANSFER_PUT, 10), (vt.TRANSFER_PUT2, 0), (vt.TRANSFER_PUT2, 9),
    (vt.SUBMIT_CMD, (4 << 20) + 1), (vt.SUBMIT_CMD, HUGE // 4), (vt.SUBMIT_CMD, HUGE // 4 + 1),
    (vt.SUBMIT_CMD, 1 << 31), (vt.SUBMIT_CMD, HUGE)])
def test_variable_length(refused, command, length):
    refused(words(length, command), reason=f'length {length}')


@pytest.mark.parametrize('length', [4097, 1 << 20, HUGE])
def test_long_name(session, length):
    client = session.keep(Client(session.renderer.path, hello=False))
    client.send(words(length, vt.CREATE_RENDERER))
    assert client.closed()
    session.expect_lines()


def test_longest_name(session):
    client = session.keep(Client(session.renderer.path, hello=False))
    client.send(vt.create_renderer(b'\n\x1b[31m%s%n' * 400 + bytes(96)))
    client.settle()
    client.send(message(vt.SUBMIT_CMD))
    client.settle()


def test_second_renderer(refused):
    refused(vt.create_renderer(), reason='CREATE_RENDERER: a second time')


@pytest.mark.parametrize('first', [vt.GET_CAPS, vt.SUBMIT_CMD, vt.PING_PROTOCOL_VERSION, 0, HUGE])
def test_another_first_command(session, first):
    """That is no vtest, and no vhost-user either."""
    client = session.keep(Client(session.renderer.path, hello=False))
    client.send(words(0, first, 0))
    assert client.closed()
    session.expect_lines()


@pytest.mark.parametrize('size, claim', [(0, 1), (16, 17), (16, HUGE), (16, 15 << 26), (16, 11)])
def test_inline_length_and_size_disagree(refused, size, claim):
    refused(vt.inline(vt.TRANSFER_PUT, 1, bytes(size), claim, length=11 + size // 4),
            reason='bytes of data')


@pytest.mark.parametrize('size', [257 << 20, 1 << 31, HUGE])
def test_inline_put_of_too_much(refused, size):
    refused(vt.inline(vt.TRANSFER_PUT, 1, b'', size), reason='TRANSFER_PUT')


@pytest.mark.parametrize('size', [257 << 20, 1 << 31, HUGE])
def test_inline_get_of_too_much(refused, size):
    refused(vt.inline(vt.TRANSFER_GET, 1, b'', size), reason='no memory for')


def test_data_that_never_comes(session):
    """200 MiB that are announced each time, of the 256 that there are."""
    for _ in range(3):
        client = Client(session.renderer.path, version=0)
        client.send(message(vt.RESOURCE_CREATE, words(*vt.texture(1))))
        client.send(vt.inline(vt.TRANSFER_PUT, 1, b'', 200 << 20))
        client.close()


# ---- handles

@pytest.mark.parametrize('handle', [0, 2, 1 << 31, HUGE])
@pytest.mark.parametrize('make', [
    lambda handle: message(vt.RESOURCE_UNREF, words(handle)),
    lambda handle: vt.inline(vt.TRANSFER_GET, handle, b'', 1024),
    lambda handle: vt.inline(vt.TRANSFER_PUT, handle, PIXELS),
    lambda handle: vt.shared(vt.TRANSFER_GET2, handle),
    lambda handle: vt.shared(vt.TRANSFER_PUT2, handle),
    lambda handle: vt.busy_wait(handle or 3, False)],
    ids=['unref', 'get', 'put', 'get2', 'put2', 'busy'])
def test_bad_handle(client, refused, handle, make):
    client.create_mapped()
    refused(make(handle))


def test_unref_twice(client, refused):
    handle, _ = client.create_mapped()
    refused(message(vt.RESOURCE_UNREF, words(handle)) * 2, reason=f'no resource {handle}')


@pytest.mark.parametrize('use', [vt.TRANSFER_GET2, vt.TRANSFER_PUT2])
def test_use_after_unref(client, refused, use):
    handle, memory = client.create_mapped()
    memory[:] = PIXELS
    refused(message(vt.RESOURCE_UNREF, words(handle)), vt.shared(use, handle))


def test_inline_transfer_beside_shared_memory(client, refused):
    handle, _ = client.create_mapped()
    refused(vt.inline(vt.TRANSFER_PUT, handle, PIXELS), reason='shared memory')


@pytest.mark.parametrize('use', [vt.TRANSFER_GET2, vt.TRANSFER_PUT2])
def test_shared_transfer_without_shared_memory(client, refused, use):
    handle, _ = client.create(0, 0)
    refused(vt.shared(use, handle))


# ---- boxes

BOXES = [vt.box(x=1), vt.box(y=1), vt.box(z=1), vt.box(w=17), vt.box(h=17), vt.box(d=2),
         vt.box(x=16), vt.box(x=HUGE), vt.box(y=HUGE, h=1), vt.box(x=HUGE, w=1),
         vt.box(x=HUGE, w=2), vt.box(w=HUGE), vt.box(h=HUGE), vt.box(d=HUGE), vt.box(z=HUGE, d=1),
         [HUGE] * 6, [1 << 31] * 6]


@pytest.mark.parametrize('where', BOXES, ids=str)
@pytest.mark.parametrize('use', [vt.TRANSFER_GET2, vt.TRANSFER_PUT2])
def test_box_outside(client, refused, use, where):
    handle, _ = client.create_mapped()
    refused(vt.shared(use, handle, where=where))


@pytest.mark.parametrize('where', BOXES, ids=str)
def test_box_outside_inline(client, refused, where):
    handle, _ = client.create(0, 0)
    refused(vt.inline(vt.TRANSFER_PUT, handle, PIXELS, where=where))


@pytest.mark.parametrize('level', [1, 31, 32, HUGE])
def test_level_outside(client, refused, level):
    handle, _ = client.create_mapped()
    refused(vt.shared(vt.TRANSFER_PUT2, handle, level=level))


@pytest.mark.parametrize('offset', [4, 1020, 1024, 1025, 1 << 31, HUGE - 3])
@pytest.mark.parametrize('use', [vt.TRANSFER_GET2, vt.TRANSFER_PUT2])
def test_transfer_beyond_shared_memory(client, refused, use, offset):
    handle, _ = client.create_mapped()
    refused(vt.shared(use, handle, offset=offset))


@pytest.mark.parametrize('size', [1, 4, 1023])
def test_shared_memory_smaller_than_the_box(client, refused, size):
    handle, _ = client.create_mapped(0, size)
    refused(vt.shared(vt.TRANSFER_PUT2, handle))


@pytest.mark.parametrize('stride', [1, 60, HUGE, 1 << 31])
def test_strides(client, refused, stride):
    handle, _ = client.create(0, 0)
    refused(vt.inline(vt.TRANSFER_PUT, handle, PIXELS, stride=stride))


# ---- creation

BAD_RESOURCES = [
    dict(target=9), dict(target=HUGE), dict(width=0), dict(height=0), dict(depth=0),
    dict(width=16385), dict(width=HUGE), dict(height=HUGE), dict(depth=HUGE),
    dict(array_size=HUGE), dict(last_level=32), dict(last_level=HUGE), dict(nr_samples=33),
    dict(nr_samples=HUGE), dict(target=vt.BUFFER, height=2), dict(target=vt.BUFFER, width=1 << 31),
    dict(width=16384, height=16384)]


@pytest.mark.parametrize('fields', BAD_RESOURCES, ids=str)
@pytest.mark.parametrize('version', [2, 3, 4])
def test_what_can_not_be_made(session, version, fields):
    """The client hears of it, in a way that Mesa understands, and may go on."""
    client = session.keep(Client(session.renderer.path, version=version))
    handle, fd = client.create(1, 1024, **fields)
    assert fd == -1
    assert handle == (1 if version == 2 else 0)
    if version >= 3:
        assert client.create(0, 0, **fields) == (0, -1)
    client.create_mapped()
    client.settle()


@pytest.mark.parametrize('fields', BAD_RESOURCES, ids=str)
def test_what_can_not_be_made_and_nobody_would_hear(session, fields):
    client = session.keep(Client(session.renderer.path, version=0))
    client.send(message(vt.RESOURCE_CREATE, words(*vt.texture(1, **fields))))
    assert client.closed()
    session.expect_lines()


@pytest.mark.parametrize('size', [257 << 20, 1 << 31, HUGE])
def test_shared_memory_of_any_size(client, size):
    assert client.create(0, size) == (0, -1)
    client.settle()


@pytest.mark.parametrize('handle', [1, HUGE])
@pytest.mark.parametrize('command', [vt.RESOURCE_CREATE, vt.RESOURCE_CREATE2])
def test_own_choice_where_the_server_chooses(refused, command, handle):
    size = [0] if command == vt.RESOURCE_CREATE2 else []
    refused(message(command, words(*vt.texture(handle), *size)), reason='the server chooses')


@pytest.mark.parametrize('handle', [0, 1])
def test_handle_that_is_none_or_taken(session, handle):
    client = session.keep(Client(session.renderer.path, version=2))
    client.create_mapped(1)
    assert client.create(handle, 1024)[1] == -1
    client.settle()


def test_the_memory_limit(session, client):
    """256 MiB for all: for texels and for what is shared, and what is given back can be had again."""
    def fill():
        handles = []
        while True:
            handle, fd = client.create(0, 16 << 20, 2048, 2048)
            if not handle:
                return handles
            os.close(fd)
            handles.append(handle)
    first = fill()
    assert len(first) == 7  # of 32 MiB each, and the eighth with what is kept beside
    for handle in first:
        client.send(message(vt.RESOURCE_UNREF, words(handle)))
    assert len(fill()) == 7
    client.close()


def test_all_resources_there_can_be(session, client):
    """65 536 of them; shared memory ends earlier, where the kernel has no more mappings."""
    count = 65536
    make = message(vt.RESOURCE_CREATE2,
                   words(*vt.texture(0, 8, 1, target=vt.BUFFER, format=vt.R8), 0))
    made = 0
    for _ in range(count // 1024 + 1):
        client.send(make * 1024)
        answers = [client.read_words(3) for _ in range(1024)]
        made += sum(handle != 0 for _, _, handle in answers)
    assert made == count
    client.send(message(vt.RESOURCE_UNREF, words(1)) + make)
    assert client.read_words(3)[2] != 0


# ---- contexts and versions

@pytest.mark.parametrize('capset', [0, 3, 4, 6, 255, HUGE])
def test_context_of_no_kind(refused, capset):
    refused(message(vt.CONTEXT_INIT, words(capset)), reason='no capset')


def test_another_context(client, refused):
    client.send(message(vt.CONTEXT_INIT, words(1)))
    refused(message(vt.CONTEXT_INIT, words(2)), reason='a context already')


# ---- the stream

@pytest.mark.parametrize('version', [0, 3])
def test_cut_at_every_byte(session, version):
    """By closing, which is no fault, and by an end of the stream with the socket left open."""
    sent = b''.join(part for part, _ in a_session(version))
    parts = [message_ for message_, _ in a_session(version)]
    ends, total = set(), 0
    for part in parts:
        total += len(part)
        ends.add(total)
    for cut in [*range(len(parts[0]) + 100), *range(len(sent) - 200, len(sent) + 1)]:
        with Client(session.renderer.path, hello=False) as client:
            client.send(sent[:cut])
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(65536):
                pass
        if cut not in ends | {0}:
            session.expect_lines()
        with Client(session.renderer.path, hello=False) as client:
            client.send(sent[:cut])
    # A close inside the first eight bytes is a fault too: who it was is not known by then.
    session.expect_lines(7)


@pytest.mark.parametrize('seed', range(100))
def test_rubbish(session, seed):
    """Random words after a good beginning; half of them with commands and lengths that exist."""
    choice = random.Random(seed)
    client = session.keep(Client(session.renderer.path, version=choice.choice([0, 2, 3, 4])))
    for handle in (1, 2, 3):
        if client.version >= 2:
            client.create_mapped(handle)
    data = b''
    for _ in range(50):
        command = choice.choice([*FIXED, vt.SUBMIT_CMD, vt.TRANSFER_PUT2])
        length = FIXED.get(command, 10)
        data += words(length, command) + words(*(
            choice.choice([0, 1, 2, 3, 4, 16, 64, 1024, HUGE, choice.getrandbits(32)])
            for _ in range(length)))
    if seed % 2:
        data = choice.randbytes(1000)
    try:
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        while client.socket.recv(1 << 20):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    session.any_lines()


def test_descriptors_that_nobody_asked_for(session, client):
    for _ in range(20):
        socket.send_fds(client.socket, [message(vt.PING_PROTOCOL_VERSION)], [0] * 100)
        assert client.read_words(2) == [0, vt.PING_PROTOCOL_VERSION]


# ---- those who stand still

def assert_idle(renderer, client):
    """No processor time in half a second."""
    before = renderer.cpu_ticks()
    client.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)
    assert renderer.cpu_ticks() - before <= 2


@pytest.mark.parametrize('part', [
    words(2)[:3], words(0, vt.PING_PROTOCOL_VERSION)[:7], words(2, vt.RESOURCE_BUSY_WAIT),
    message(vt.SUBMIT_CMD, bytes(100000))[:-1],
    vt.inline(vt.TRANSFER_PUT, 1, b'', 100 << 20) + bytes(1000)],
    ids=['header', 'header-1', 'body', 'stream', 'data'])
def test_stall_in_the_middle(session, neighbour, part):
    client = Client(session.renderer.path, version=0)
    client.send(message(vt.RESOURCE_CREATE, words(*vt.texture(1))))
    client.settle()
    client.send(part)
    assert_idle(session.renderer, client)
    neighbour.unharmed()
    client.close()


def test_answers_that_nobody_reads(session, neighbour):
    """Neither memory nor time is spent on a client that asks and asks; and it gets all in the end."""
    client = session.keep(Client(session.renderer.path))
    before = session.renderer.measure().anon_kib
    client.socket.setblocking(False)
    asked = 0
    try:
        while True:
            asked += client.socket.send(message(vt.GET_CAPS2)) // 8
    except BlockingIOError:
        pass
    neighbour.unharmed()
    ticks = session.renderer.cpu_ticks()
    neighbour.unharmed(50)
    assert session.renderer.cpu_ticks() - ticks <= 2
    assert session.renderer.measure().anon_kib - before < 16 << 10
    client.socket.setblocking(True)
    client.socket.settimeout(30)
    assert len(client.read(asked * 1392)) == asked * 1392


def test_a_client_that_sends_while_it_is_to_wait(session):
    client = session.keep(Client(session.renderer.path))
    client.send((message(vt.SUBMIT_CMD, bytes(8)) + vt.busy_wait(0, True)) * 500)
    assert client.read(12 * 500) == words(1, vt.RESOURCE_BUSY_WAIT, 0) * 500


def test_the_log_is_not_flooded(session):
    """A client that asks for the impossible all the time."""
    client = session.keep(Client(session.renderer.path, version=3))
    session.renderer.new_lines()
    for _ in range(2000):
        client.create(0, 0, target=9)
    lines = session.renderer.new_lines()
    assert len(lines) <= 20
    assert all(LINE.match(line) for line in lines)
