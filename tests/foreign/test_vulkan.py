# SPDX-License-Identifier: MIT
"""Vulkan programs of others on vGPUs, by stock Mesa Venus: vulkaninfo, vkmark; and our samples beside
them where several have to go on at once."""

import os
import pathlib
import re
import subprocess

import pytest
from columns import OURS, SHIM, TIMEOUT, VTEST, plain_environment
from runner import wait_until

SAMPLES = pathlib.Path(os.environ['ALIQUOT_BUILD']) / 'samples'
# Our samples have the sanitizer of the build, and something else preloaded before it.
OURS_ENV = {'ASAN_OPTIONS': 'detect_leaks=0:verify_asan_link_order=0'}
SOFTWARE = {'VK_DRIVER_FILES': '/usr/share/vulkan/icd.d/lvp_icd.json'}
SCENE = re.compile(r'^\[Scene\] (\w+)$', re.M)


# Its images are dma-bufs otherwise, which a software GPU has only with udmabuf.
WSI = {'MESA_VK_WSI_DEBUG': 'sw'}


def vkmark(*options):
    return ['vkmark', '--winsys', 'headless', '--size', '320x240', *options]


def native_scenes():
    """Those that draw on the same driver without us."""
    listing = subprocess.run(['vkmark', '--list-scenes'], capture_output=True, text=True,
                             timeout=TIMEOUT, check=True).stdout
    names = SCENE.findall(listing)
    assert names, listing
    good = []
    for name in names:
        result = subprocess.run(vkmark('-b', f'{name}:duration=0.2'), capture_output=True, text=True,
                                env=plain_environment() | SOFTWARE, timeout=TIMEOUT, check=False)
        if result.returncode == 0 and re.search(r'FPS: [1-9]', result.stdout):
            good.append(name)
    return good


@pytest.fixture(name='scenes', scope='module')
def scenes_that_draw():
    scenes = native_scenes()
    assert len(scenes) >= 5, scenes
    return scenes


@pytest.mark.parametrize('via', OURS)
def test_vulkaninfo(columns, via):
    result = columns.run(via, 'vulkaninfo', '--summary')
    assert result.returncode == 0, result.stderr
    assert 'Virtio-GPU Venus (llvmpipe' in result.stdout
    assert 'DRIVER_ID_MESA_VENUS' in result.stdout


def test_all_of_vulkaninfo_over_vtest(columns):
    """It makes a device."""
    result = columns.run(VTEST, 'vulkaninfo')
    assert result.returncode == 0, result.stderr
    assert 'maxImageDimension2D' in result.stdout


@pytest.mark.parametrize('via', OURS)
def test_vkmark(columns, via, scenes):
    """What draws natively draws on a vGPU."""
    for scene in scenes:
        result = columns.run(via, *vkmark('-b', f'{scene}:duration=0.2'), **WSI)
        assert result.returncode == 0 and re.search(r'FPS: [1-9]', result.stdout), \
            scene + result.stdout + result.stderr


def test_opengl_and_vulkan_in_one_vgpu(columns, tmp_path):
    script = (f'{SAMPLES}/gl-scene --platform surfaceless --frames 5 --png {tmp_path}/gl.png & '
              f'{SAMPLES}/vk-scene --frames 5 --png {tmp_path}/vk.png && wait $!')
    result = columns.run(SHIM, 'sh', '-c', script, **OURS_ENV)
    assert result.returncode == 0, result.stderr
    assert 'virgl' in result.stdout and 'Venus' in result.stdout
    assert (tmp_path / 'gl.png').stat().st_size > 1000
    assert (tmp_path / 'vk.png').stat().st_size > 1000


@pytest.mark.parametrize('via', OURS)
def test_four_at_once(columns, via):
    programs = [columns.start(via, SAMPLES / 'vk-compute', '--size', '128', '--seconds', '1',
                              **OURS_ENV)
                for _ in range(4)]
    for program in programs:
        out = program.communicate(timeout=TIMEOUT)[0]
        assert program.returncode == 0, out
        assert 'Venus' in out and 'right in all' in out, out


@pytest.mark.parametrize('via', OURS)
def test_latencies(columns, via):
    """From a submission to its completion, for a program that has nothing but Vulkan; none of them
    is longer than the program runs, as the last bucket's would be."""
    program = columns.start(via, SAMPLES / 'vk-compute', '--size', '64', '--seconds', '3600',
                            options=[f'--name=timed-{via}'], **OURS_ENV)
    try:
        def latencies():
            return columns.daemon.vgpus().get(f'timed-{via}', {}).get('latencies', {'count': 0})

        assert wait_until(lambda: latencies()['count'] >= 10)
        found = latencies()
        assert found['count'] == sum(found['counts']) and found['counts'][-1] == 0
        assert 0 < found['sumUsec'] <= found['count'] * found['maxUsec']
    finally:
        program.kill()
        program.communicate()


def test_killed_in_the_middle(columns):
    """Its vGPU is gone, and others have not noticed."""
    other = columns.start(SHIM, SAMPLES / 'vk-compute', '--size', '64', '--seconds', '2',
                          **OURS_ENV)
    program = columns.start(SHIM, SAMPLES / 'vk-compute', '--size', '64', '--seconds', '60',
                            options=['--name=doomed'], **OURS_ENV)
    assert wait_until(lambda: columns.daemon.vgpus().get('doomed', {}).get('submits', 0) > 0 or
                      columns.daemon.vgpus().get('doomed', {}).get('contexts', 0) > 0)
    program.kill()
    program.wait(TIMEOUT)
    assert wait_until(lambda: 'doomed' not in columns.daemon.vgpus())
    out = other.communicate(timeout=TIMEOUT)[0]
    assert other.returncode == 0 and 'right in all' in out, out


def test_quota_is_what_the_heap_shows(columns):
    program = columns.start(SHIM, SAMPLES / 'vk-info', options=['--max-memory=64M'], **OURS_ENV)
    out = program.communicate(timeout=TIMEOUT)[0]
    assert program.returncode == 0, out
    heap = int(re.search(r'heaps\[0\]\.size_bytes\s+(\d+)', out)[1])
    assert heap == 64 << 20
