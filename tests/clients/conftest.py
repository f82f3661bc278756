# SPDX-License-Identifier: MIT
"""A daemon on which two programs really share a GPU, the software one."""

import contextlib
import subprocess

import pytest
from daemon import BUILD, CLI, RENDERER, Daemon, environment
from runner import wait_until

FRAMES = '1000000'  # without end: they are stopped


def draw_all_the_time(folder, options, program):
    """Yields a daemon with those options, and on it two of that program, of weight 1 and 3."""
    # Mesa and LLVM keep memory until the end.
    env = environment(RENDERER, ASAN_OPTIONS='detect_leaks=0')
    with Daemon(folder / 'run', '--gpu', 'software', *options, renderer=RENDERER,
                env={'ASAN_OPTIONS': 'detect_leaks=0'}) as daemon, contextlib.ExitStack() as stack:
        for name, weight in ('first', '100'), ('second', '300'):
            client = stack.enter_context(subprocess.Popen(
                [CLI, 'run', '--socket-dir', daemon.dir, '--name', name, '--weight', weight,
                 '--via', 'vtest', '--', *program],
                env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
            stack.callback(client.terminate)
        assert wait_until(lambda: all(
            daemon.vgpus().get(name, {}).get('gpuCompletions', 0) > 10
            for name in ('first', 'second'))), daemon.log.text()
        yield daemon


@pytest.fixture(name='busy', scope='module')
def start_busy_daemon(tmp_path_factory):
    """A daemon, and two programs on it that draw all the time."""
    yield from draw_all_the_time(tmp_path_factory.mktemp('busy'), [],
                                 [BUILD / 'samples/gl-scene', '--platform', 'surfaceless', '--size',
                                  '160x120', '--frames', FRAMES])


@pytest.fixture(name='saturated', scope='module')
def start_saturated_daemon(tmp_path_factory):
    """The same, with frames so large that each always has work, and metrics."""
    yield from draw_all_the_time(tmp_path_factory.mktemp('saturated'),
                                 ['--metrics', '127.0.0.1:0'],
                                 [BUILD / 'samples/gl-load', '--work', '300', '--draws', '10',
                                  '--seconds', '3600'])
