# SPDX-License-Identifier: MIT
"""Mesa's own vtest driver, as it is shipped, against a renderer that draws: the pictures are those
that the same program draws without us."""

import os
import pathlib
import re
import subprocess
import sys
import time

import numpy
import pytest
from PIL import Image
from raw.renderer import Renderer

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'clients'))
import daemon  # noqa: E402

# Mesa and LLVM keep memory until the end; a sanitizer build would call that a failure.
NATIVE = dict(os.environ, LIBGL_ALWAYS_SOFTWARE='1', ASAN_OPTIONS='detect_leaks=0')
# From the client's death to the last of its vGPU; a sanitizer's own work comes on top.
GONE_S = 10 if daemon.sanitized() else 1
ENDLESS = daemon.BUILD / 'tests/clients/gl-endless'
SHIM = daemon.BUILD / 'guest-driver/shim/libaliquot-shim.so'


def virpipe(socket):
    return dict(NATIVE, GALLIUM_DRIVER='virpipe', VTEST_SOCKET_NAME=str(socket))


def until(condition, seconds):
    """Fails if the condition does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'too late'
        os.sched_yield()


def cpu_seconds(pid):
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def sample(name, *options):
    return [str(daemon.BUILD / 'samples' / name), '--platform', 'surfaceless', *map(str, options)]


def run(command, env):
    return subprocess.run(command, env=env, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=daemon.TIMEOUT)


def draw(env, path, name, *options):
    result = run(sample(name, '--size', '160x120', '--png', path, *options), env)
    assert result.returncode == 0, result.stderr
    with Image.open(path) as image:
        return numpy.asarray(image.convert('RGB')).astype(int), result.stdout


@pytest.fixture(scope='module')
def renderer(tmp_path_factory):
    renderer = Renderer(tmp_path_factory.mktemp('vtest'), backend='virgl',
                        args=['--gpu', 'software', '--vulkan', 'off'])
    yield renderer
    renderer.stop()


@pytest.fixture
def mediator(tmp_path):
    with daemon.Daemon(tmp_path / 'run', '--gpu', 'software', renderer=daemon.RENDERER,
                       env={'ASAN_OPTIONS': 'detect_leaks=0'}) as running:
        yield running


@pytest.mark.parametrize('name', ['gl-triangle', 'gl-scene'])
def test_pictures(renderer, tmp_path, name):
    native, _ = draw(NATIVE, tmp_path / 'native.png', name, '--frames', 10)
    ours, said = draw(virpipe(renderer.path), tmp_path / 'ours.png', name, '--frames', 10)
    assert re.search('GL_RENDERER: virgl', said)
    assert native.std() > 20
    assert abs(native - ours).max() <= 2


def idle_fds(renderer):
    """What it has open with no client connected."""
    until(lambda: renderer.measure().fds['socket:'] == 1, daemon.TIMEOUT)
    return renderer.measure().fds


def test_one_client_after_another(renderer, tmp_path):
    before = None
    for _ in range(5):
        draw(virpipe(renderer.path), tmp_path / 'scene.png', 'gl-scene', '--frames', 1)
        before = before or idle_fds(renderer)  # with what the driver keeps for good
    assert idle_fds(renderer) == before


def test_eglinfo(mediator):
    """It has several displays open at once: as many connections, each a vGPU of its own."""
    native = run(['eglinfo'], NATIVE)
    ours = run(['eglinfo'], virpipe(mediator.dir / 'aliquot.sock'))
    assert ours.returncode == native.returncode, ours.stderr
    versions = re.findall('OpenGL.* version: .*', ours.stdout)
    assert any('4.' in version for version in versions)
    assert any('ES 3.2' in version for version in versions)
    assert 'virgl' in ours.stdout


def test_three_programs_at_once(mediator, tmp_path):
    native, _ = draw(NATIVE, tmp_path / 'native.png', 'gl-scene', '--frames', 20)
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    programs = [subprocess.Popen(sample('gl-scene', '--size', '160x120', '--png', path,
                                        '--frames', 20), stdout=subprocess.DEVNULL,
                                 env=virpipe(mediator.dir / 'aliquot.sock')) for path in paths]
    assert [program.wait(daemon.TIMEOUT) for program in programs] == [0, 0, 0]
    for path in paths:
        with Image.open(path) as image:
            ours = numpy.asarray(image.convert('RGB')).astype(int)
        assert abs(native - ours).max() <= 2


def test_killed_in_the_middle_of_a_frame(mediator, tmp_path):
    """All its work and memory is gone at once, and a neighbour draws on."""
    fds = None
    for _ in range(5):
        program = subprocess.Popen(
            sample('gl-scene', '--size', '1024x768', '--frames', 1000000),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=virpipe(mediator.dir / 'aliquot.sock'))
        until(lambda: any(vgpu['submits'] > 20 for vgpu in mediator.vgpus().values()),
              daemon.TIMEOUT)
        program.kill()
        program.wait()
        until(lambda: not mediator.children() and not mediator.vgpus(), GONE_S)
        fds = fds or mediator.fds()  # with what the daemon keeps for good
        until(lambda: mediator.fds() <= fds, GONE_S)
    draw(virpipe(mediator.dir / 'aliquot.sock'), tmp_path / 'next.png', 'gl-scene', '--frames', 1)


@pytest.mark.parametrize('via', ['vtest', 'shim'])
def test_killed_while_its_shader_does_not_end(mediator, via):
    """The renderer hears of nothing any more: the daemon has to end it."""
    socket = mediator.dir / 'aliquot.sock'
    env = virpipe(socket) if via == 'vtest' else dict(
        os.environ, LD_PRELOAD=str(SHIM), ALIQUOT_SOCKET=str(socket),
        ASAN_OPTIONS='verify_asan_link_order=0:detect_leaks=0')
    with subprocess.Popen([ENDLESS], stdout=subprocess.PIPE, env=env) as program:
        assert b'virgl' in program.stdout.readline()
        renderer, = mediator.children()
        cpu_s = cpu_seconds(renderer)
        until(lambda: cpu_seconds(renderer) > cpu_s + 0.2, daemon.TIMEOUT)
        assert program.poll() is None
        program.kill()
    until(lambda: not mediator.children() and not mediator.vgpus(), GONE_S)
