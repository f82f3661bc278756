# SPDX-License-Identifier: MIT
"""Where a program of others draws: on what people use today, which is virgl_test_server, or on a
vGPU, which "aliquot run" gives it by the shim or by vtest. All on the software GPU."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'clients'))

from daemon import CLI, RENDERER, TIMEOUT, Daemon  # noqa: E402
from runner import wait_until  # noqa: E402

PEER, SHIM, VTEST = 'virgl_test_server', 'shim', 'vtest'
OURS = (SHIM, VTEST)

DIFFERENCES = pathlib.Path(__file__).parent / 'differences'


def plain_environment():
    """Without what chooses a driver. Mesa and LLVM keep memory until the end; a sanitizer build
    would call that a failure."""
    drop = ('ALIQUOT_SOCKET', 'ALIQUOT_MEMORY', 'EGL_', 'GALLIUM_', 'LD_PRELOAD', 'LIBGL_', 'MESA_',
            'VTEST_')
    return {name: value for name, value in os.environ.items() if not name.startswith(drop)} | {
        'ASAN_OPTIONS': 'detect_leaks=0'}


@contextlib.contextmanager
def peer(folder):
    """Runs virgl_test_server; yields its socket."""
    path = folder / 'peer.sock'
    env = plain_environment() | {'LIBGL_ALWAYS_SOFTWARE': '1', 'GALLIUM_DRIVER': 'llvmpipe',
                                 'EGL_PLATFORM': 'surfaceless'}
    with open(folder / 'peer.log', 'w', encoding='utf-8') as log:
        server = subprocess.Popen(
            ['virgl_test_server', '--use-egl-surfaceless', '--socket-path', path], env=env,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        assert wait_until(lambda: path.exists() or server.poll() is not None)
        assert server.poll() is None, (folder / 'peer.log').read_text()
        yield path
    finally:
        # A child serves each client, and may outlive both.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


class Columns:
    """The peer and an aliquotd, both running."""

    def __init__(self, peer_socket, daemon):
        self.peer_socket, self.daemon = peer_socket, daemon

    def environment(self, column, **more):
        env = plain_environment() | more
        if column == PEER:
            env |= {'LIBGL_ALWAYS_SOFTWARE': '1', 'GALLIUM_DRIVER': 'virpipe',
                    'VTEST_SOCKET_NAME': str(self.peer_socket)}
        return env

    def prefix(self, column, *options):
        if column == PEER:
            return []
        return [str(word) for word in [CLI, 'run', '--socket-dir', self.daemon.dir,
                                       f'--via={column}', *options, '--']]

    def served(self):
        """Connections of programs to vGPUs that drew, so far."""
        return len(re.findall(r"vGPU '.*': ready after .*: virgl on software",
                              self.daemon.log.text()))

    def run(self, column, *program, timeout=TIMEOUT, **more):
        return subprocess.run([*self.prefix(column), *map(str, program)], text=True,
                              env=self.environment(column, **more), capture_output=True,
                              errors='replace', stdin=subprocess.DEVNULL, timeout=timeout,
                              check=False)

    def start(self, column, *program, options=(), **more):
        return subprocess.Popen([*self.prefix(column, *options), *map(str, program)], text=True,
                                env=self.environment(column, **more), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                errors='replace')


@contextlib.contextmanager
def columns(folder):
    with peer(folder) as socket, \
            Daemon(folder / 'run', '--gpu', 'software', renderer=RENDERER,
                   env={'ASAN_OPTIONS': 'detect_leaks=0'}) as daemon:
        yield Columns(socket, daemon)
        # Whatever a program did: no error of ours, and the daemon serves on.
        assert 'Sanitizer' not in daemon.log.text(), daemon.log.text()


def differences(suite, column):
    """{test: reason} of what may fail in a column although it passes on the peer."""
    found = {}
    for line in DIFFERENCES.read_text(encoding='utf-8').splitlines():
        if line and not line.startswith('#'):
            of, test, where, reason = (part.strip() for part in line.split(' | '))
            assert reason and set(where.split()) <= set(OURS), line
            if of == suite and column in where.split():
                found[test] = reason
    return found


def check(suite, column, failed):
    """What failed in a column and passes on the peer is what is listed, no more and no less."""
    listed = differences(suite, column).keys()
    assert not set(failed) - listed, 'passes on the peer, but not here'
    assert not listed - set(failed), 'listed as a difference, but there is none'
