# SPDX-License-Identifier: MIT
"""Stock Mesa Venus on the shim's render node, and over vtest."""

import os
import re
import subprocess

import pytest

from shim import PROBE, Renderer, TIMEOUT, run

VENUS = {'VK_LOADER_DRIVERS_SELECT': 'virtio_icd*', 'MESA_VK_WSI_DEBUG': 'sw'}


@pytest.fixture(scope='module')
def vgpu(tmp_path_factory):
    with Renderer(tmp_path_factory.mktemp('vgpu')) as renderer:
        assert ', Vulkan' in renderer.log()
        yield renderer


def run_vtest(socket, *command):
    env = os.environ | VENUS | {'VN_DEBUG': 'vtest', 'VTEST_SOCKET_NAME': str(socket)}
    return subprocess.run(command, env=env, text=True, capture_output=True, timeout=TIMEOUT)


def devices(result):
    assert result.returncode == 0, result.stderr
    return re.findall('deviceName += (.*)', result.stdout)


@pytest.mark.parametrize('via', ['shim', 'vtest'])
def test_vulkaninfo(vgpu, via):
    command = ['vulkaninfo', '--summary']
    result = run(vgpu.socket, *command, **VENUS) if via == 'shim' else run_vtest(vgpu.socket,
                                                                                *command)
    names = devices(result)
    assert len(names) == 1 and names[0].startswith('Virtio-GPU Venus'), names


def test_all_of_vulkaninfo(vgpu):
    """It makes a device, and asks for everything there is."""
    result = run(vgpu.socket, 'vulkaninfo', **VENUS)
    assert result.returncode == 0, result.stderr
    assert 'driverName' in result.stdout and 'venus' in result.stdout


def test_naps(vgpu):
    result = run(vgpu.socket, PROBE, 'naps')
    assert result.returncode == 0, result.stderr


def test_vkmark(vgpu):
    result = run(vgpu.socket, 'vkmark', '--winsys', 'headless', '--size', '320x240', '--benchmark',
                 'clear:duration=1', **VENUS)
    assert result.returncode == 0, result.stderr
    assert re.search(r'\[clear\] .* FPS: [1-9]', result.stdout), result.stdout
