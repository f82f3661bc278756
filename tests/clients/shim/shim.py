# SPDX-License-Identifier: MIT
"""Runs programs under the shim."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from standalone import BUILD, Renderer, TIMEOUT  # noqa: E402,F401

SHIM = BUILD / 'guest-driver/shim/libaliquot-shim.so'
PROBE = BUILD / 'tests/clients/shim/shim-probe'


def environment(socket, **more):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(('ALIQUOT_SOCKET', 'ALIQUOT_MEMORY', 'LIBGL_', 'GALLIUM_'))}
    # A sanitized sample does not like a library before its runtime; the shim itself has none.
    env.update(LD_PRELOAD=str(SHIM), ASAN_OPTIONS='verify_asan_link_order=0:detect_leaks=0', **more)
    if socket is not None:
        env['ALIQUOT_SOCKET'] = str(socket)
    return env


def run(socket, *command, timeout=TIMEOUT, **more):
    return subprocess.run(list(map(str, command)), env=environment(socket, **more), text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout)


def start(socket, *command, **more):
    return subprocess.Popen(list(map(str, command)), env=environment(socket, **more), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL)
