# SPDX-License-Identifier: MIT
"""A daemon on which two programs really share a GPU, the software one."""

import contextlib
import subprocess

import pytest
from daemon import BUILD, CLI, RENDERER, Daemon, environment
from runner import wait_until

FRAMES = '1000000'  # without end: they are stopped


@pytest.fixture(name='busy', scope='module')
def start_busy_daemon(tmp_path_factory):
    """A daemon, and two programs on it that draw all the time."""
    folder = tmp_path_factory.mktemp('busy')
    # Mesa and LLVM keep memory until the end.
    env = environment(RENDERER, ASAN_OPTIONS='detect_leaks=0')
    with Daemon(folder / 'run', '--gpu', 'software', renderer=RENDERER,
                env={'ASAN_OPTIONS': 'detect_leaks=0'}) as daemon, contextlib.ExitStack() as stack:
        for name, weight in ('first', '100'), ('second', '300'):
            program = stack.enter_context(subprocess.Popen(
                [CLI, 'run', '--socket-dir', daemon.dir, '--name', name, '--weight', weight, '--via',
                 'vtest', '--', BUILD / 'samples/gl-scene', '--platform', 'surfaceless', '--size',
                 '160x120', '--frames', FRAMES],
                env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
            stack.callback(program.terminate)
        assert wait_until(lambda: all(
            daemon.vgpus().get(name, {}).get('gpuCompletions', 0) > 10
            for name in ('first', 'second'))), daemon.log.text()
        yield daemon
