# SPDX-License-Identifier: MIT
"""virgl_test_server, which the benchmarks compare with."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

from lib.daemon import START_TIMEOUT, stop
from lib.environment import native_environment
from lib.place import ANYWHERE
from lib.report import program


def require_peer():
    if not shutil.which('virgl_test_server'):
        sys.exit(f'{program()}: virgl_test_server is missing (package virgl-server)')


@contextlib.contextmanager
def virgl_test_server(folder, name='virgl_test_server', place=ANYWHERE, venus=False):
    """Yields the socket of one that has a child serve each client; venus: Vulkan's, too."""
    path = folder / f'{name}.sock'
    env = native_environment() | {'EGL_PLATFORM': 'surfaceless'} | place.gpu_environment
    command = ['virgl_test_server', '--use-egl-surfaceless', '--socket-path', path,
               *(['--venus'] if venus else [])]
    with open(folder / f'{name}.log', 'w', encoding='utf-8') as log:
        server = subprocess.Popen(place.gpu_command + command, stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log, env=env, process_group=0)
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(str(path))
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f'{program()}: virgl_test_server did not start')
                time.sleep(0.01)
        yield path
    finally:
        stop(server)
        # A child serves each client, and may outlive both.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
