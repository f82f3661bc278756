# SPDX-License-Identifier: MIT
"""Stock Mesa and bare ioctls on the shim's render node, over a real renderer."""

import os
import shutil
import socket
import subprocess

import numpy
import pytest
from PIL import Image

from shim import BUILD, PROBE, SHIM, TIMEOUT, Renderer, run, start


# Software rendering in two processes rounds alike, but for the last bit.
TOLERANCE = 2
LOST_STATUS = 69


@pytest.fixture(scope='module')
def vgpu(tmp_path_factory):
    with Renderer(tmp_path_factory.mktemp('vgpu')) as renderer:
        yield renderer


def picture(path):
    with Image.open(path) as image:
        return numpy.asarray(image.convert('RGB')).astype(int)


def draw(vgpu, path, *options):
    scene = BUILD / 'samples/gl-scene'
    command = [scene, '--size', '320x240', '--frames', '10', '--png', path, *options]
    if vgpu is None:
        env = dict(os.environ, LIBGL_ALWAYS_SOFTWARE='1')
        result = subprocess.run(list(map(str, command)), env=env, text=True, capture_output=True,
                                timeout=TIMEOUT)
    else:
        result = run(vgpu.socket, *command)
        assert 'virgl' in result.stdout
    assert result.returncode == 0, result.stderr
    return picture(path)


# ---- Mesa -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('platform', ['surfaceless', 'gbm'])
def test_eglinfo(vgpu, platform):
    result = run(vgpu.socket, 'eglinfo', '-B', '-p', platform)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('profile renderer: virgl') == 3 # core, compatibility, ES
    assert result.stderr == ''


@pytest.mark.parametrize('platform', ['surfaceless', 'gbm', 'device'])
def test_picture(vgpu, platform, tmp_path):
    native = draw(None, tmp_path / 'native.png', '--platform', 'surfaceless')
    shim = draw(vgpu, tmp_path / 'shim.png', '--platform', platform)
    assert native.std() > 20
    assert abs(native - shim).max() <= TOLERANCE


def test_two_programs_at_once(vgpu, tmp_path):
    scene = BUILD / 'samples/gl-scene'
    native = draw(None, tmp_path / 'native.png', '--platform', 'surfaceless')
    with Renderer(tmp_path, name='second') as second:
        programs = [start(server.socket, scene, '--size', '320x240', '--frames', '10', '--png',
                          tmp_path / f'{i}.png') for i, server in enumerate((vgpu, second))]
        for i, program in enumerate(programs):
            _, errors = program.communicate(timeout=TIMEOUT)
            assert program.returncode == 0, errors
            assert abs(native - picture(tmp_path / f'{i}.png')).max() <= TOLERANCE


# ---- bare ioctls ------------------------------------------------------------------------------------


@pytest.mark.parametrize('probe', ['errors', 'buffers', 'prime', 'fences', 'syncobjs',
                                   'descriptors', 'child', 'threads'])
def test_probe(vgpu, probe):
    result = run(vgpu.socket, PROBE, probe)
    assert result.returncode == 0, result.stderr


def test_blobs(tmp_path):
    with Renderer(tmp_path, backend='null') as renderer:
        result = run(renderer.socket, PROBE, 'blobs')
    assert result.returncode == 0, result.stderr


def test_fork(vgpu, tmp_path):
    with Renderer(tmp_path, name='second') as second:
        result = run(vgpu.socket, PROBE, 'fork', SECOND_SOCKET=str(second.socket))
    assert result.returncode == 0, result.stderr


def test_unknown_ioctl_is_told_once(vgpu):
    result = run(vgpu.socket, PROBE, 'errors')
    told = [line for line in result.stderr.splitlines() if 'DRM ioctl 0x7f' in line]
    assert len(told) == 1, result.stderr


# ---- servers that go away -----------------------------------------------------------------------------


# Not Mesa with the error: virgl takes no notice of it, and goes on for ever.
@pytest.mark.parametrize('program, on_loss', [('ioctls', ''), ('ioctls', 'error'), ('mesa', '')])
def test_server_is_killed(program, on_loss, tmp_path):
    command = ([PROBE, 'run'] if program == 'ioctls' else
               [BUILD / 'samples/gl-scene', '--frames', '1000000', '--json', tmp_path / 'f.json'])
    renderer = Renderer(tmp_path)
    client = start(renderer.socket, *command, ALIQUOT_ON_LOSS=on_loss)
    try:
        assert client.stdout.readline()
        renderer.process.kill()
        out, errors = client.communicate(timeout=10)
    finally:
        client.kill()
        renderer.process.wait()
    assert errors.count('vGPU lost') == 1, errors
    assert client.returncode == (0 if on_loss else LOST_STATUS)
    assert ('lost' in out) == bool(on_loss)


# ---- no vGPU ----------------------------------------------------------------------------------------


def refused(path, hint, **more):
    result = run(path, PROBE, 'buffers', **more)
    lines = [line for line in result.stderr.splitlines() if line.startswith('aliquot: ')]
    assert result.returncode == 1
    assert len(lines) == 1 and hint in lines[0], result.stderr


def test_not_set():
    refused(None, 'ALIQUOT_SOCKET is not set')


def test_no_socket(tmp_path):
    refused(tmp_path / 'none.sock', 'there is no socket')


def test_nobody_serves(tmp_path):
    path = tmp_path / 'dead.sock'
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    refused(path, 'nobody serves')


@pytest.mark.skipif(os.geteuid() != 0, reason='needs another user')
def test_no_permission(vgpu, tmp_path):
    mode = os.stat(vgpu.socket).st_mode
    os.chmod(vgpu.socket, 0o600)
    for folder in (vgpu.socket.parent, *vgpu.socket.parents):
        if folder.stat().st_uid == os.geteuid() and str(folder).startswith('/tmp/'):
            os.chmod(folder, 0o755)
    # The build may lie where only its owner can go.
    probe, shim = (shutil.copy(file, vgpu.socket.parent) for file in (PROBE, SHIM))
    try:
        result = subprocess.run(
            [probe, 'buffers'], user=65534, group=65534, extra_groups=[], text=True,
            env=dict(LD_PRELOAD=shim, ALIQUOT_SOCKET=str(vgpu.socket)),
            capture_output=True, timeout=TIMEOUT)
    finally:
        os.chmod(vgpu.socket, mode)
    assert 'no permission for the socket' in result.stderr, result.stderr


@pytest.mark.parametrize('answer', [b'', b'HTTP/1.1 400 Bad Request\r\n\r\n', bytes(4096)])
def test_not_aliquot(tmp_path, answer):
    path = tmp_path / 'other.sock'
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        client = start(path, PROBE, 'buffers')
        connection, _ = server.accept()
        with connection:
            connection.recv(12)
            connection.sendall(answer)
            if not answer:
                connection.shutdown(socket.SHUT_RDWR)
            _, errors = client.communicate(timeout=TIMEOUT)
    assert client.returncode == 1
    hint = 'is not Aliquot, or another version' if answer else 'refused us a vGPU'
    assert errors.count('aliquot: ') == 1 and hint in errors, errors


def test_bad_memory_setting(vgpu):
    refused(vgpu.socket, 'ALIQUOT_MEMORY', ALIQUOT_MEMORY='1T')


def test_programs_that_use_no_gpu_hear_nothing():
    result = run(None, '/bin/sh', '-c', 'echo fine; ls / > /dev/null')
    assert (result.returncode, result.stdout, result.stderr) == (0, 'fine\n', '')
