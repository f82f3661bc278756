# SPDX-License-Identifier: MIT
"""The suite that a guest runs on its render node, over a socket; and what is no vGPU."""

import os
import subprocess

from daemon import BUILD, RENDERER, TIMEOUT, Daemon
from standalone import Renderer

SUITE = BUILD / 'tests/clients/transport-suite'
RAW_VIRGL = BUILD / 'samples/raw-virgl'


def run(*command, **env):
    environment = {name: value for name, value in os.environ.items() if name != 'ALIQUOT_SOCKET'}
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=TIMEOUT, env=environment | env, check=False)


def test_suite(tmp_path):
    """Each connection gets a vGPU of its own, as each opening of a node is a GPU to itself."""
    with Daemon(tmp_path / 'run', '--gpu', 'software', renderer=RENDERER,
                env={'ASAN_OPTIONS': 'detect_leaks=0'}) as daemon:
        result = run(SUITE, daemon.dir / 'aliquot.sock', 'all')
        assert result.returncode == 0, result.stdout + result.stderr + daemon.log.text()


def test_variable(tmp_path):
    """A sample without arguments finds the vGPU that `aliquot run` would give it."""
    with Renderer(tmp_path) as renderer:
        result = run(RAW_VIRGL, ALIQUOT_SOCKET=str(renderer.socket))
        assert result.returncode == 0, result.stderr
        assert 'result: ok' in result.stdout


def test_device_that_is_no_gpu():
    """Asked with the real libdrm."""
    result = run(RAW_VIRGL, '--socket', '/dev/null')
    assert result.returncode == 1
    assert '/dev/null is no GPU' in result.stderr
