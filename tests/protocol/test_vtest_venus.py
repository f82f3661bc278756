# SPDX-License-Identifier: MIT
"""What Venus uses of vtest: blobs, sync objects, batches of commands on timelines. The null backend's
fences are done at once, and it has memory behind each blob id but 0."""

import mmap
import os
import random
import select

import pytest
from raw import WAIT
from raw import vtest as vt
from raw.vtest import Client, message, words

HUGE = 0xffffffff


@pytest.fixture(params=[3, 4])
def client(request, session):
    client = session.keep(Client(session.renderer.path, version=request.param))
    client.send(message(vt.CONTEXT_INIT, words(2)))
    return client


@pytest.fixture
def refused(session, client):
    """Sends what must end the connection."""
    def send(*data, reason=''):
        try:
            client.send(b''.join(data))
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert client.closed()
        session.expect_lines()
        assert reason in session.renderer.log()
    return send


def ready(fd, timeout=0):
    return bool(select.select([fd], [], [], timeout)[0])


# ---- blobs


@pytest.mark.parametrize('mem, blob_id', [(vt.BLOB_GUEST, 0), (vt.BLOB_HOST3D, 1),
                                          (vt.BLOB_HOST3D_GUEST, 1)])
@pytest.mark.parametrize('size', [1, 4096, 5000, 1 << 20])
def test_blobs(client, mem, blob_id, size):
    """The size is what the client needs; the memory is in whole pages."""
    handles = []
    for i in range(3):
        handle, fd = client.blob(mem, size, blob_id and blob_id + i)
        assert os.fstat(fd).st_size >= size
        with mmap.mmap(fd, size) as first, mmap.mmap(fd, size) as second:
            first[size - 1] = 7
            assert second[size - 1] == 7
        os.close(fd)
        handles.append(handle)
    assert len(set(handles)) == 3
    for handle in handles:
        client.send(message(vt.RESOURCE_UNREF, words(handle)))
    client.settle()


def test_blobs_and_resources_share_ids(client):
    ids = [client.blob(vt.BLOB_HOST3D, 4096, 1)[0], client.create_mapped()[0],
           client.blob(vt.BLOB_GUEST, 4096)[0]]
    assert ids == [1, 2, 3]


@pytest.mark.parametrize('mem, size, blob_id, flags', [
    (vt.BLOB_HOST3D, 4096, 0, 1), (vt.BLOB_GUEST, 4096, 1, 1), (vt.BLOB_GUEST, 0, 0, 1),
    (vt.BLOB_HOST3D, 0, 1, 1), (vt.BLOB_HOST3D, 1 << 63, 1, 1), (vt.BLOB_HOST3D, (1 << 64) - 1, 1, 1),
    (vt.BLOB_GUEST, (1 << 64) - 1, 0, 1), (vt.BLOB_GUEST, (1 << 30) + 1, 0, 1),
    (vt.BLOB_HOST3D, 4096, 1, 8), (vt.BLOB_HOST3D, 4096, 1, HUGE)])
def test_blob_that_can_not_be(client, mem, size, blob_id, flags):
    """Its id stands for nothing, its descriptor can't be mapped, and the session goes on."""
    handle, fd = client.blob(mem, size, blob_id, flags=flags)
    with pytest.raises(OSError):
        mmap.mmap(fd, 4096)
    os.close(fd)
    client.send(message(vt.RESOURCE_UNREF, words(handle)))
    client.settle()
    assert client.blob(vt.BLOB_HOST3D, 4096, 1)[0] == handle + 1


def test_blob_id_twice(client):
    client.blob(vt.BLOB_HOST3D, 4096, 5)
    _, fd = client.blob(vt.BLOB_HOST3D, 4096, 5)
    with pytest.raises(OSError):
        mmap.mmap(fd, 4096)


def test_blobs_without_end(client, refused):
    """That can't be made, and are not given up."""
    for _ in range(4096):
        os.close(client.blob(vt.BLOB_HOST3D, 4096, 0)[1])
    refused(vt.create_blob(vt.BLOB_HOST3D, 4096, 0), reason='RESOURCE_CREATE_BLOB')


@pytest.mark.parametrize('mem', [0, 4, HUGE])
def test_bad_kind_of_blob(refused, mem):
    refused(vt.create_blob(mem, 4096, 1), reason='no kind of memory')


@pytest.mark.parametrize('use', [
    lambda handle: message(vt.RESOURCE_UNREF, words(handle)) * 2,
    lambda handle: vt.shared(vt.TRANSFER_PUT2, handle),
    lambda handle: vt.inline(vt.TRANSFER_PUT, handle, bytes(1024))], ids=['unref', 'put2', 'put'])
@pytest.mark.parametrize('blob_id', [0, 1])
def test_bad_use_of_blob(client, refused, use, blob_id):
    handle, _ = client.blob(vt.BLOB_HOST3D, 4096, blob_id)
    refused(use(handle))


# ---- sync objects


def test_values(client):
    syncs = [client.sync(value) for value in (0, 1, (1 << 64) - 1)]
    assert [client.sync_value(sync) for sync in syncs] == [0, 1, (1 << 64) - 1]
    client.send(message(vt.SYNC_WRITE, words(*vt.points((syncs[1], 1 << 40)))))
    assert client.sync_value(syncs[1]) == 1 << 40
    client.send(message(vt.SYNC_WRITE, words(*vt.points((syncs[1], 3)))))  # downwards, too
    assert client.sync_value(syncs[1]) == 3
    for sync in syncs:
        client.send(message(vt.SYNC_UNREF, words(sync)))
    client.settle()


def test_waiting(client):
    a, b = client.sync(5), client.sync(5)
    assert ready(client.sync_fd())
    assert ready(client.sync_fd((a, 5)))
    assert ready(client.sync_fd((a, 6), (b, 5), flags=vt.WAIT_ANY))
    assert not ready(client.sync_fd((a, 6), timeout=0))
    both, any_of = client.sync_fd((a, 6), (b, 6)), client.sync_fd((a, 6), (b, 6), flags=vt.WAIT_ANY)
    assert not ready(both) and not ready(any_of)
    client.send(message(vt.SYNC_WRITE, words(*vt.points((b, 9)))))
    client.settle()
    assert not ready(both) and ready(any_of)
    client.send(message(vt.SYNC_UNREF, words(b)) +
                message(vt.SYNC_WRITE, words(*vt.points((a, 6)))))
    client.settle()
    assert ready(both)


def test_one_object_in_many_points(client):
    sync = client.sync()
    fd = client.sync_fd(*[(sync, value) for value in range(100)])
    client.send(message(vt.SYNC_WRITE, words(*vt.points((sync, 98)))))
    client.settle()
    assert not ready(fd)
    client.send(message(vt.SYNC_WRITE, words(*vt.points((sync, 99)))))
    client.settle()
    assert ready(fd)


def test_waits_that_are_over_cost_nothing(client):
    """As many as there may be at once, three times: their time is over, or their value reached."""
    sync = client.sync()
    for round_ in range(3):
        for _ in range(500):
            os.close(client.sync_fd((sync, round_ + 1)))
            os.close(client.sync_fd((sync, 1 << 40), timeout=0))
        client.send(message(vt.SYNC_WRITE, words(*vt.points((sync, round_ + 1)))))
    client.settle()


def test_waits_without_end(client, refused):
    sync = client.sync()
    for _ in range(1024):
        os.close(client.sync_fd((sync, 1)))
    refused(vt.sync_wait((sync, 1)), reason='1024')


@pytest.mark.parametrize('sync', [0, 2, 1 << 31, HUGE])
@pytest.mark.parametrize('use', [
    lambda sync, version: message(vt.SYNC_UNREF, words(sync)),
    lambda sync, version: message(vt.SYNC_READ, words(sync)),
    lambda sync, version: message(vt.SYNC_WRITE, words(sync, 1, 0)),
    lambda sync, version: vt.sync_wait((1, 5), (sync, 1)),
    lambda sync, version: vt.submit2(version, (b'', [(1, 5), (sync, 1)], 0)),
    lambda sync, version: vt.submit2(version, (b'', [(1, 5), (sync, 1)], None))],
    ids=['unref', 'read', 'write', 'wait', 'submit', 'submit without ring'])
def test_unknown_sync_object(client, refused, sync, use):
    assert client.sync() == 1
    refused(use(sync, client.version), reason='no s')  # "sync object 2", "such …"


@pytest.mark.parametrize('extra', [1, 2, 4, 5])
def test_part_of_a_point(client, refused, extra):
    refused(message(vt.SYNC_WAIT, words(0, 0) + bytes(4 * extra)), reason='points')


@pytest.mark.parametrize('length', [0, 1])
def test_short_wait(refused, length):
    refused(message(vt.SYNC_WAIT, bytes(4 * length)), reason=f'length {length}')


# ---- batches


def test_batches(client):
    a, b, c = client.sync(), client.sync(), client.sync()
    client.send(vt.submit2(client.version))
    client.send(vt.submit2(client.version, (bytes(8), [], None), (bytes(40), [(a, 1)], 63),
                           (b'', [(b, 2), (c, 3)], 0), (bytes(4), [(a, 4)], None)))
    fd = client.sync_fd((a, 4), (b, 2), (c, 3))
    assert ready(fd, WAIT)
    assert client.sync_value(a) in (1, 4)  # a fence, and what needs none, are in no order
    client.send(vt.submit2(client.version, *[(bytes(4), [(b, i + 10)], i) for i in range(64)]))
    assert ready(client.sync_fd((b, 73)), WAIT)


def test_many_batches(client):
    sync = client.sync()
    for value in range(1, 501):
        client.send(vt.submit2(client.version, (bytes(16), [(sync, value)], 1)))
    assert ready(client.sync_fd((sync, 500)), WAIT)


def batch(client, **change):
    """One batch with a command and a point, spoilt."""
    fields = dict(flags=vt.RING_IDX, commands=0, size=1, points=1, count=1, ring=0, ins=0, outs=0)
    stride = 8 if client.version >= 4 else 6
    fields['commands'] = 1 + stride
    fields['points'] = 2 + stride
    fields.update(change)
    head = list(fields.values())[:stride]
    return message(vt.SUBMIT_CMD2, words(1, *head, 0, *vt.points((1, 1))))


@pytest.mark.parametrize('change', [
    dict(size=5), dict(size=HUGE), dict(size=1 << 30), dict(size=1 << 31), dict(commands=100),
    dict(commands=HUGE), dict(commands=HUGE, size=1), dict(commands=1 << 30), dict(points=HUGE),
    dict(count=2), dict(count=HUGE), dict(count=0x55555556), dict(points=1 << 30), dict(ring=64),
    dict(ring=HUGE), dict(ring=0x100), dict(flags=2), dict(flags=4), dict(flags=HUGE)], ids=str)
def test_bad_batch(client, refused, change):
    client.sync()
    refused(batch(client, **change), reason='SUBMIT_CMD2')


@pytest.mark.parametrize('change', [dict(ins=1), dict(outs=1), dict(ins=HUGE, outs=HUGE)], ids=str)
def test_drm_sync_objects(session, change):
    client = session.keep(Client(session.renderer.path, version=4))
    client.sync()
    client.send(batch(client, **change))
    assert client.closed()
    session.expect_lines()


@pytest.mark.parametrize('count', [2, 3, 1 << 29, 1 << 31, HUGE])
def test_more_batches_than_there_are(client, refused, count):
    refused(message(vt.SUBMIT_CMD2, words(count, *[0] * 8)), reason='batches')


def test_nothing_in_a_message(refused):
    refused(message(vt.SUBMIT_CMD2), reason='length 0')


# ---- garbage


def random_message(choice, client):
    word = lambda: choice.choice([0, 1, 2, 3, 5, 64, 4096, 1 << 31, HUGE, choice.randrange(1 << 32)])
    command = choice.choice([vt.RESOURCE_CREATE_BLOB, vt.SYNC_CREATE, vt.SYNC_UNREF, vt.SYNC_READ,
                             vt.SYNC_WRITE, vt.SYNC_WAIT, vt.SUBMIT_CMD2, vt.RESOURCE_UNREF])
    length = {vt.RESOURCE_CREATE_BLOB: 6, vt.SYNC_CREATE: 2, vt.SYNC_UNREF: 1, vt.SYNC_READ: 1,
              vt.SYNC_WRITE: 3, vt.SYNC_WAIT: 2 + 3 * choice.randrange(4), vt.RESOURCE_UNREF: 1,
              vt.SUBMIT_CMD2: 1 + choice.randrange(30)}[command]
    return message(command, words(*[word() for _ in range(length)]))


@pytest.mark.parametrize('seed', range(40))
def test_garbage(session, seed):
    session.any_lines()
    choice = random.Random(seed)
    client = session.keep(Client(session.renderer.path, version=choice.choice([3, 4])))
    for _ in range(5):
        client.sync(choice.randrange(5))
        client.blob(vt.BLOB_HOST3D, 4096, choice.randrange(3))
    client.socket.settimeout(WAIT)
    try:
        for _ in range(50):
            client.send(random_message(choice, client))
        client.socket.shutdown(1)
        while client.socket.recv(1 << 16):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass
