# SPDX-License-Identifier: MIT
"""Stock Venus under `aliquot run` sleeps until something has ended on the GPU, and is told so by
the Vulkan layer in the render server's worker: seen in the page that the two share."""

import os
import struct
import subprocess

from daemon import BUILD, CLI, RENDERER, Daemon, environment
from runner import wait_until

NAME = 'memfd:aliquot-completions'
WANTED_AT = 64


def open_page(pid):
    """The renderer's eventcount: protocol/eventcount.h."""
    folder = f'/proc/{pid}/fd'
    for number in os.listdir(folder):
        if NAME in os.readlink(f'{folder}/{number}'):
            return open(f'{folder}/{number}', 'rb', buffering=0)
    raise AssertionError(f'{pid} has no {NAME}')


def read_word(page, offset):
    return struct.unpack('=I', os.pread(page.fileno(), 4, offset))[0]


def test_venus_is_told_of_ends(tmp_path):
    with Daemon(tmp_path / 'run', '--gpu', 'software', renderer=RENDERER,
                env={'ASAN_OPTIONS': 'detect_leaks=0'}) as daemon:
        command = [CLI, 'run', '--name', 'load', '--socket-dir', daemon.dir, '--',
                   BUILD / 'samples/vk-load', '--work', '20', '--draws', '5', '--seconds', '3600']
        env = environment(RENDERER, ASAN_OPTIONS='detect_leaks=0:verify_asan_link_order=0')
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as load:
            try:
                assert wait_until(lambda: daemon.vgpus().get('load', {}).get('gpuCompletions'))
                with open_page(daemon.vgpus()['load']['rendererPid']) as page:
                    begin = read_word(page, 0)
                    assert wait_until(lambda: read_word(page, 0) - begin > 10)
                    # Whoever waits has it at 1 until the next end is told.
                    assert wait_until(lambda: read_word(page, WANTED_AT) == 1)
                    assert wait_until(lambda: read_word(page, WANTED_AT) == 0)
            finally:
                load.terminate()
