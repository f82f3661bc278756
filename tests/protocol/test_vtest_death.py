# SPDX-License-Identifier: MIT
"""vtest clients that are killed in the middle of a frame, alone and through aliquotd: all that they
had is given back, at once, and a neighbour notices nothing."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

import pytest
from raw import vtest as vt
from raw.vtest import Client, message, words
from raw.vtest_frames import frame

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'clients'))
import daemon  # noqa: E402

# From the client's death to the last of its vGPU. What is promised is a second; a sanitizer's own
# work at the end of a process comes on top.
GONE_S = 10 if daemon.sanitized() else 1


@contextlib.contextmanager
def killed(path, seed):
    """A process that draws frames from the beginning of the block on, and is killed at the end."""
    with subprocess.Popen([sys.executable, '-m', 'raw.vtest_frames', str(path), str(seed)],
                          cwd=pathlib.Path(__file__).parent, stdout=subprocess.PIPE) as process:
        assert process.stdout.read(1) == b'+'
        yield
        process.kill()


def test_killed_a_hundred_times(session, neighbour):
    for seed in range(100):
        with killed(session.renderer.path, seed):
            pass
        if seed % 10 == 0:
            neighbour.unharmed(1)
    neighbour.unharmed()


@pytest.mark.parametrize('tail', [0, 3, 8, 9, 100])
def test_death_while_waiting_for_the_gpu(session, tail):
    for _ in range(10):
        client = Client(session.renderer.path, version=3)
        client.send(message(vt.SUBMIT_CMD, bytes(8)) + vt.busy_wait(0, True) +
                    message(vt.SUBMIT_CMD, bytes(400))[:tail])
        client.close()


def test_death_with_an_answer_half_read(session):
    client = Client(session.renderer.path, version=0)
    client.send(message(vt.RESOURCE_CREATE, words(*vt.texture(1, 2048, 2048))))
    client.send(vt.inline(vt.TRANSFER_GET, 1, b'', 16 << 20, where=vt.box(w=2048, h=2048)))
    client.read(1 << 20)
    client.close()


def until(condition, seconds):
    """Fails if the condition does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'too late'
        os.sched_yield()


@pytest.fixture
def mediator(tmp_path):
    with daemon.Daemon(tmp_path / 'sockets', '--backend', 'null',
                       renderer=daemon.RENDERER) as running:
        yield running


def test_a_client_of_the_mediator(mediator):
    with Client(mediator.dir / 'aliquot.sock', version=3) as client:
        handle, _ = client.create_mapped()
        client.send(frame(handle) + message(vt.RESOURCE_BUSY_WAIT, words(handle, 0)))
        client.read(24)
        vgpu, = mediator.vgpus().values()
        assert vgpu['state'] == 'running'
        client.send(message(vt.RESOURCE_UNREF, words(99)))
        assert client.closed()
    until(lambda: not mediator.vgpus(), 10)
    assert 'RESOURCE_UNREF: no resource 99' in mediator.log.text()


def test_killed_beside_a_neighbour_of_the_same_mediator(mediator):
    """Whatever comes of the killed is gone within the second: process, memory, descriptors."""
    with Client(mediator.dir / 'aliquot.sock', version=3) as neighbour:
        handle, _ = neighbour.create_mapped()

        def neighbour_works():
            neighbour.send(frame(handle))
            assert neighbour.read_words(3) == [1, vt.RESOURCE_BUSY_WAIT, 0]

        neighbour_works()
        renderers, fds = mediator.children(), mediator.fds()
        for seed in range(20):
            with killed(mediator.dir / 'aliquot.sock', seed):
                assert len(mediator.vgpus()) == 2
            until(lambda: mediator.children() == renderers, GONE_S)
            until(lambda: mediator.fds() <= fds and len(mediator.vgpus()) == 1, GONE_S)
            neighbour_works()
