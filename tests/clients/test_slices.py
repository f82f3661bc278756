# SPDX-License-Identifier: MIT
"""The GPU's time is divided: programs that draw side by side, each on its own vGPU."""

import contextlib
import os
import shlex
import signal
import subprocess

import numpy
import pytest
from daemon import BUILD, CLI, RENDERER, TIMEOUT, Daemon, environment, run_daemon
from PIL import Image
from runner import SHIM, wait_until

SANITIZER = {'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'}
NATIVE = dict(os.environ, LIBGL_ALWAYS_SOFTWARE='1', **SANITIZER)
ENDLESS = BUILD / 'tests/clients/gl-endless'
# Longer than a first frame takes with sanitizers on a busy machine.
RESET_AFTER = {'reset-after': '4s'}


def scene(path, frames=20):
    return [str(word) for word in (BUILD / 'samples/gl-scene', '--platform', 'surfaceless', '--size',
                                   '160x120', '--frames', frames, '--png', path)]


def on_vgpu(daemon, name, via):
    socket = daemon.dir / f'{name}.sock'
    if via == 'vtest':
        return dict(NATIVE, GALLIUM_DRIVER='virpipe', VTEST_SOCKET_NAME=str(socket))
    return dict(os.environ, LD_PRELOAD=str(SHIM), ALIQUOT_SOCKET=str(socket), **SANITIZER)


def pixels(path):
    with Image.open(path) as image:
        return numpy.asarray(image.convert('RGB')).astype(int)


def configured(tmp_path, names, **keys):
    lines = ['[aliquot]', *(f'{key} = {value}' for key, value in keys.items())]
    lines += [f'[vgpu {name}]' for name in names]
    (tmp_path / 'conf').write_text('\n'.join(lines) + '\n')
    return Daemon(tmp_path / 'run', '--config', tmp_path / 'conf', renderer=RENDERER,
                  env={'ASAN_OPTIONS': 'detect_leaks=0'})


@pytest.mark.parametrize('keys', [{'preempt': 'cpu'}, {'preempt': 'drain'},
                                  {'preempt': 'drain', 'parallelism': 2, 'slice': '0.5ms'}])
def test_pictures_are_the_same_side_by_side(tmp_path, keys):
    """However the streams are cut, and whatever waits for whom."""
    subprocess.run(scene(tmp_path / 'native.png'), env=NATIVE, check=True, timeout=TIMEOUT,
                   stdout=subprocess.DEVNULL)
    native = pixels(tmp_path / 'native.png')
    names = ['a', 'b', 'c']
    with configured(tmp_path, names, gpu='software', **keys) as daemon:
        programs = [subprocess.Popen(scene(tmp_path / f'{name}.png'), stdout=subprocess.DEVNULL,
                                     env=on_vgpu(daemon, name, via))
                    for name, via in zip(names, ['shim', 'vtest', 'shim'])]
        assert [program.wait(TIMEOUT) for program in programs] == [0, 0, 0]
    for name in names:
        assert abs(pixels(tmp_path / f'{name}.png') - native).max() <= 2, name
    for name in names:
        assert f"vGPU '{name}': has had " in daemon.log.text()


@pytest.mark.parametrize('preempt', ['cpu', 'drain'])
def test_neighbours_of_one_that_never_completes(tmp_path, preempt):
    """It holds the GPU until it is killed for that, or has to share the processors."""
    with configured(tmp_path, ['bad', 'good'], gpu='software', preempt=preempt,
                    **RESET_AFTER) as daemon:
        with subprocess.Popen([ENDLESS], env=on_vgpu(daemon, 'bad', 'shim'),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as endless:
            assert b'virgl' in endless.stdout.readline()
            subprocess.run(scene(tmp_path / 'good.png', 3), env=on_vgpu(daemon, 'good', 'shim'),
                           check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
            daemon.log.wait("vGPU 'bad': nothing completed in .* ms on the GPU, killing its renderer")
            assert endless.wait(TIMEOUT) == 69  # the shim's word for a vGPU that is lost
        assert "vGPU 'good': nothing completed" not in daemon.log.text()


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSTOP])
def test_a_renderer_that_stops_in_its_slice(tmp_path, number):
    with configured(tmp_path, ['bad', 'good'], gpu='software', preempt='drain',
                    **RESET_AFTER) as daemon:
        bad = subprocess.Popen(scene(tmp_path / 'bad.png', 1000000), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=on_vgpu(daemon, 'bad', 'shim'))
        assert wait_until(lambda: daemon.vgpus()['bad']['submits'] > 5)
        os.kill(daemon.vgpus()['bad']['rendererPid'], number)
        subprocess.run(scene(tmp_path / 'good.png', 3), env=on_vgpu(daemon, 'good', 'shim'),
                       check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
        bad.kill()
        bad.wait(TIMEOUT)


LOAD = [str(BUILD / 'samples/gl-load'), '--platform', 'surfaceless', '--seconds', '1000',
        '--work', '100', '--warmup', '0']


def test_connections_of_a_program_share(tmp_path):
    """Two programs have half each, though one of them has twice as many processes."""
    env = environment(RENDERER, **SANITIZER)
    programs = {'two': 2, 'four': 4}

    def gpu_time(name):
        return sum(vgpu['gpuUsec'] for vgpu in daemon.vgpus().values()
                   if name in (vgpu['name'], vgpu['shareOf']))

    with configured(tmp_path, [], gpu='software', preempt='drain') as daemon, \
            contextlib.ExitStack() as stack:
        for name, count in programs.items():
            shell = ' & '.join([shlex.join(LOAD)] * count) + ' & wait'
            program = stack.enter_context(subprocess.Popen(
                [CLI, 'run', '--socket-dir', daemon.dir, '--name', name, '--via', 'vtest', '--',
                 'sh', '-c', shell], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True))
            stack.callback(os.killpg, program.pid, signal.SIGKILL)
        assert wait_until(lambda: [v['gpuCompletions'] > 10 for v in daemon.vgpus().values()] ==
                          [True] * 6), daemon.log.text()
        before = {name: gpu_time(name) for name in programs}

        def gained():
            return {name: gpu_time(name) - before[name] for name in programs}

        assert wait_until(lambda: sum(gained().values()) > 3000000), daemon.log.text()
        had = gained()
        assert 0.42 < had['two'] / sum(had.values()) < 0.58, had


def test_reservations_that_do_not_fit(tmp_path):
    (tmp_path / 'conf').write_text('[aliquot]\nbackend = null\n[vgpu a]\nreservation = 60%\n'
                                   '[vgpu b]\nreservation = 40%\n')
    result = run_daemon('--config', tmp_path / 'conf', '--socket-dir', tmp_path / 'run')
    assert result.returncode == 1
    assert ("vGPU 'b': a reservation of 40% is more than its GPU has left: 60% are reserved, and at "
            'most 95% can be') in result.stderr


def test_exclusive_is_for_one(tmp_path):
    (tmp_path / 'conf').write_text('[aliquot]\nbackend = null\npolicy = exclusive\non-demand = no\n'
                                   '[vgpu a]\n[vgpu b]\n')
    result = run_daemon('--config', tmp_path / 'conf', '--socket-dir', tmp_path / 'run')
    assert result.returncode == 1
    assert 'has policy exclusive and belongs to another vGPU' in result.stderr
