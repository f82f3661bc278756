# SPDX-License-Identifier: MIT
"""vtest clients that behave: every answer, byte by byte, of every version, from the null backend."""

import fcntl
import mmap
import os
import random
import struct

import pytest
from raw import vtest as vt
from raw.vtest import Client, message, words

VERSIONS = [0, 2, 3, 4]
PIXELS = bytes(random.Random(1).randbytes(1024))
F_ADD_SEALS, F_GET_SEALS = 1033, 1034
SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE = 1, 2, 4, 8


@pytest.fixture(params=VERSIONS)
def client(request, session):
    return session.keep(Client(session.renderer.path, version=request.param))


@pytest.mark.parametrize('wanted, given', [(0, 0), (1, 0), (2, 2), (3, 3), (4, 4), (5, 4),
                                           (0xffffffff, 4)])
def test_versions(session, wanted, given):
    client = session.keep(Client(session.renderer.path))
    assert client.negotiate(wanted) == given
    assert client.negotiate(2) == 2  # and again, as Mesa does with an old server


def test_the_greeting_of_mesa(session):
    """PING and BUSY_WAIT of handle 0, in one go."""
    client = session.keep(Client(session.renderer.path))
    client.send(message(vt.PING_PROTOCOL_VERSION) + vt.busy_wait(0, False))
    assert client.read_words(5) == [0, vt.PING_PROTOCOL_VERSION, 1, vt.RESOURCE_BUSY_WAIT, 0]


def test_capabilities(client):
    client.send(message(vt.GET_CAPS2) + message(vt.GET_CAPS))
    assert client.read_words(2) == [1384 + 1, 2]
    assert client.read(1384) == words(2) + bytes(1380)
    assert client.read_words(2) == [308 + 1, 1]
    assert client.read(308) == words(1) + bytes(304)


def test_capsets(client):
    for capset, version, size, first in ((1, 1, 308, 1), (2, 2, 1384, 2), (2, 0, 1384, 2)):
        client.send(message(vt.GET_CAPSET, words(capset, version)))
        assert client.read_words(3) == [1 + size // 4, vt.GET_CAPSET, 1]
        assert client.read(size) == words(first) + bytes(size - 4)
    for capset, version in ((1, 2), (2, 3), (0, 0), (4, 0), (0xffffffff, 0xffffffff)):
        client.send(message(vt.GET_CAPSET, words(capset, version)))
        assert client.read_words(3) == [1, vt.GET_CAPSET, 0]


def test_params(client):
    for param, answer in ((1, [1, 64]), (2, [0, 0]), (0, [0, 0]), (0xffffffff, [0, 0])):
        client.send(message(vt.GET_PARAM, words(param)))
        assert client.read_words(4) == [2, vt.GET_PARAM, *answer]


def test_context_init(client):
    client.send(message(vt.CONTEXT_INIT, words(2)))
    client.send(message(vt.CONTEXT_INIT, words(2)))  # the same again is fine
    client.send(message(vt.SUBMIT_CMD, words(0)))
    client.settle()


def test_inline_transfers(session):
    """What versions 0 and 1 have: ids by the client, no answers, bare bytes."""
    client = session.keep(Client(session.renderer.path, version=0))
    client.send(message(vt.RESOURCE_CREATE, words(*vt.texture(7))))
    client.send(vt.inline(vt.TRANSFER_PUT, 7, PIXELS))
    client.send(vt.inline(vt.TRANSFER_GET, 7, b'', 1024))
    assert client.read(1024) == PIXELS
    client.send(vt.inline(vt.TRANSFER_GET, 7, b'', 64, where=vt.box(y=3, h=1)))
    assert client.read(64) == PIXELS[192:256]
    # Two rows of two pixels, 12 bytes apart; what the box leaves out is zeros.
    client.send(vt.inline(vt.TRANSFER_GET, 7, b'', 24, stride=12, where=vt.box(1, 1, 0, 2, 2)))
    assert client.read(24) == PIXELS[68:76] + bytes(4) + PIXELS[132:140] + bytes(4)
    client.send(message(vt.RESOURCE_UNREF, words(7)))
    client.settle()


def test_inline_sizes_that_are_no_words(session):
    """The header counts words, but only the bytes are sent."""
    client = session.keep(Client(session.renderer.path, version=0))
    client.send(message(vt.RESOURCE_CREATE,
                        words(*vt.texture(1, 64, 1, target=vt.BUFFER, format=vt.R8))))
    for size in (1, 2, 3, 5, 63):
        client.send(vt.inline(vt.TRANSFER_PUT, 1, bytes(size), where=vt.box(w=size, h=1)))
        client.send(vt.inline(vt.TRANSFER_GET, 1, b'', size, where=vt.box(w=size, h=1)))
        assert client.read(size) == bytes(size)
    client.settle()


def test_large_inline_transfers(session):
    """More than any socket buffer holds, both ways; the answer is read after a while."""
    client = session.keep(Client(session.renderer.path, version=0))
    data = random.Random(2).randbytes(2048 * 2048 * 4)
    client.send(message(vt.RESOURCE_CREATE, words(*vt.texture(1, 2048, 2048))))
    client.send(vt.inline(vt.TRANSFER_PUT, 1, data, where=vt.box(w=2048, h=2048)))
    for _ in range(2):
        client.send(vt.inline(vt.TRANSFER_GET, 1, b'', len(data), where=vt.box(w=2048, h=2048)))
    client.send(message(vt.PING_PROTOCOL_VERSION))
    for _ in range(2):
        assert client.read(len(data)) == data
    assert client.read_words(2) == [0, vt.PING_PROTOCOL_VERSION]


@pytest.mark.parametrize('version', [2, 3, 4])
def test_shared_transfers(session, version):
    client = session.keep(Client(session.renderer.path, version=version))
    handle, memory = client.create_mapped()
    assert memory[:] == bytes(1024)
    memory[:] = PIXELS
    client.send(vt.shared(vt.TRANSFER_PUT2, handle))
    client.settle()
    memory[:] = bytes(1024)
    client.send(vt.shared(vt.TRANSFER_GET2, handle))
    assert client.busy(handle) == 0
    assert memory[:] == PIXELS
    client.send(vt.shared(vt.TRANSFER_GET2, handle, offset=512, where=vt.box(h=1)))
    client.settle()
    assert memory[512:576] == PIXELS[:64]
    client.send(message(vt.RESOURCE_UNREF, words(handle)))
    client.settle()
    memory[:] = bytes(1024)  # stays the client's


@pytest.mark.parametrize('version', [2, 3, 4])
def test_no_shared_memory_without_a_size(session, version):
    client = session.keep(Client(session.renderer.path, version=version))
    handle, _ = client.create(1, 0)
    assert handle == 1
    client.settle()


def test_version_3_answers_old_creation_too(session):
    client = session.keep(Client(session.renderer.path, version=3))
    client.send(message(vt.RESOURCE_CREATE, words(*vt.texture(0))))
    assert client.read_words(3) == [1, vt.RESOURCE_CREATE, 1]


def test_the_server_chooses_ids(session):
    client = session.keep(Client(session.renderer.path, version=2))
    for handle in (2, 4):
        client.create_mapped(handle)
    client.version = client.negotiate(3)
    assert [client.create_mapped()[0] for _ in range(4)] == [1, 3, 5, 6]


def test_shared_memory_can_not_be_cut_short(session):
    client = session.keep(Client(session.renderer.path, version=3))
    for size in (8, 4096, 100000):
        _, fd = client.create(0, size, 1 << 20, 1, target=vt.BUFFER, format=vt.R8)
        assert fcntl.fcntl(fd, F_GET_SEALS) & 15 == SEAL_SEAL | SEAL_SHRINK | SEAL_GROW
        assert os.fstat(fd).st_size >= size
        for change in (lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 1 << 30),
                       lambda: os.posix_fallocate(fd, 1 << 20, 4096),
                       lambda: fcntl.fcntl(fd, F_ADD_SEALS, SEAL_WRITE)):
            with pytest.raises(OSError):
                change()
        os.close(fd)


def test_new_memory_is_clean(session):
    client = session.keep(Client(session.renderer.path, version=3))
    for _ in range(100):
        handle, memory = client.create_mapped(0, 8, 8, 1, target=vt.BUFFER, format=vt.R8,
                                              bind=vt.BIND_CUSTOM)
        assert memory[:] == bytes(8)
        memory[:] = b'12345678'
        memory.close()
        client.send(message(vt.RESOURCE_UNREF, words(handle)))
    client.settle()


def test_many_resources(session):
    client = session.keep(Client(session.renderer.path, version=3))
    handles = [client.create_mapped(0, 8 + i, 4096, 1, target=vt.BUFFER, format=vt.R8)[0]
               for i in range(300)]
    for handle in handles:
        client.send(message(vt.RESOURCE_UNREF, words(handle)))
    client.settle()


def test_submission(client):
    client.send(message(vt.SUBMIT_CMD))
    for size in (4, 8, 40000, 1 << 18):
        client.send(message(vt.SUBMIT_CMD, bytes(size)))
        assert client.busy(wait=False) in (0, 1)
        assert client.busy(wait=True) == 0
    assert client.busy(wait=False) == 0


def test_the_largest_submission(session):
    client = session.keep(Client(session.renderer.path, version=3))
    for _ in range(3):
        client.send(message(vt.SUBMIT_CMD, bytes(16 << 20)))
    client.settle()


def a_session(version):
    """Messages of all kinds, and the answers without descriptors."""
    by_server = version >= 3
    yield vt.create_renderer(b'\xff' * 100), b''
    yield message(vt.PROTOCOL_VERSION, words(version)), words(1, vt.PROTOCOL_VERSION, version)
    yield message(vt.GET_PARAM, words(9)), words(2, vt.GET_PARAM, 0, 0)
    yield (message(vt.RESOURCE_CREATE, words(*vt.texture(0 if by_server else 1))),
           words(1, vt.RESOURCE_CREATE, 1) if by_server else b'')
    yield vt.inline(vt.TRANSFER_PUT, 1, PIXELS), b''
    yield vt.inline(vt.TRANSFER_GET, 1, b'', 1024), PIXELS
    yield message(vt.SUBMIT_CMD, bytes(20)), b''
    yield vt.busy_wait(1, True), words(1, vt.RESOURCE_BUSY_WAIT, 0)
    yield message(vt.RESOURCE_UNREF, words(1)), b''
    yield message(vt.PING_PROTOCOL_VERSION), words(0, vt.PING_PROTOCOL_VERSION)


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('size', [1, 7, 1 << 20])
def test_pieces_do_not_matter(session, version, size):
    client = session.keep(Client(session.renderer.path, hello=False))
    sent, expected = (b''.join(part) for part in zip(*a_session(version)))
    for i in range(0, len(sent), size):
        client.send(sent[i:i + size])
    assert client.read(len(expected)) == expected


def test_more_than_one_turn(session):
    """So many messages at once that the renderer looks around in between."""
    client = session.keep(Client(session.renderer.path))
    client.send(message(vt.SUBMIT_CMD, bytes(8)) * 1000 + message(vt.PING_PROTOCOL_VERSION) * 300)
    assert client.read(8 * 300) == words(0, vt.PING_PROTOCOL_VERSION) * 300


def test_both_protocols_on_one_socket(session):
    for _ in range(3):
        with session.guest() as guest:
            guest.make_2d(1, 16, 16)
        with Client(session.renderer.path, version=3) as client:
            client.create_mapped()


def test_silence_costs_nothing(session):
    for hello in (b'', vt.create_renderer()[:3], vt.create_renderer()):
        client = Client(session.renderer.path, hello=False)
        client.send(hello)
        if len(hello) > 8:
            client.settle()
        before = session.renderer.cpu_ticks()
        with pytest.raises(TimeoutError):
            client.socket.settimeout(0.5)
            client.socket.recv(1)
        assert session.renderer.cpu_ticks() - before <= 2
        client.close()
    session.expect_lines()  # the one that began and did not go on


def test_the_end(session):
    """With nothing said, after the greeting, after an answer that is not read."""
    for data in (b'', vt.create_renderer(), vt.create_renderer() + message(vt.GET_CAPS2)):
        client = Client(session.renderer.path, hello=False)
        client.send(data)
        client.close()


def test_half_close(session):
    """What was sent before is done, and answered."""
    client = session.keep(Client(session.renderer.path))
    client.send(message(vt.PING_PROTOCOL_VERSION))
    client.socket.shutdown(1)
    assert client.read_words(2) == [0, vt.PING_PROTOCOL_VERSION]
    assert client.closed()


def test_unaligned_streams(session):
    """A name of any length puts what follows at any address."""
    for length in range(1, 9):
        with Client(session.renderer.path, hello=False) as client:
            client.send(vt.create_renderer(b'x' * length) + message(vt.SUBMIT_CMD, bytes(400)) +
                        message(vt.PING_PROTOCOL_VERSION))
            assert client.read_words(2) == [0, vt.PING_PROTOCOL_VERSION]


def test_memory_is_shared_not_copied(session):
    """The same pages: a change after the creation is seen without another message."""
    client = session.keep(Client(session.renderer.path, version=4))
    handle, fd = client.create(0, 1024)
    first, second = mmap.mmap(fd, 1024), mmap.mmap(fd, 1024)
    os.close(fd)
    first[:4] = struct.pack('<I', 0x12345678)
    assert second[:4] == first[:4]
    client.send(vt.shared(vt.TRANSFER_PUT2, handle, where=vt.box(w=1, h=1)))
    client.send(vt.shared(vt.TRANSFER_GET2, handle, offset=8, where=vt.box(w=1, h=1)))
    client.settle()
    assert second[8:12] == first[:4]
