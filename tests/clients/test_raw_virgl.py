# SPDX-License-Identifier: MIT
"""raw-virgl: hand-encoded commands through the library, the renderer and a real GL driver."""

import subprocess

import pytest
from PIL import Image
from standalone import BUILD, TIMEOUT, Renderer

RAW_VIRGL = BUILD / 'samples/raw-virgl'


def raw_virgl(*args):
    return subprocess.run([RAW_VIRGL, *map(str, args)], capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)


def near(pixel, expected):
    return all(abs(a - b) <= 4 for a, b in zip(pixel, expected))


def check_picture(path, size):
    """The centre is half red, a quarter each green and blue; the apex is on top."""
    picture = Image.open(path)
    assert (picture.mode, picture.size) == ('RGBA', size)
    w, h = size
    assert near(picture.getpixel((w // 2, h // 2)), (128, 64, 64))
    assert near(picture.getpixel((0, 0)), (26, 26, 51))
    top, left, right = (picture.getpixel((int(w * x), int(h * y)))
                        for x, y in ((0.5, 0.16), (0.16, 0.87), (0.84, 0.87)))
    assert top[0] > 200 and left[1] > 200 and right[2] > 200


@pytest.fixture(scope='module', name='renderer')
def start_renderer(tmp_path_factory):
    with Renderer(tmp_path_factory.mktemp('renderer')) as renderer:
        yield renderer


@pytest.mark.parametrize('size', [(256, 256), (333, 77)])
def test_picture(renderer, tmp_path, size):
    png = tmp_path / 'triangle.png'
    result = raw_virgl('--socket', renderer.socket, '--png', png, '--size', '%dx%d' % size)
    assert result.returncode == 0, result.stderr + renderer.log()
    assert 'capset: id 2' in result.stdout
    assert 'first clear done after' in result.stdout
    assert 'result: ok' in result.stdout
    check_picture(png, size)
    assert list(tmp_path.iterdir()) == [png]


def test_two_vgpus_at_once(renderer, tmp_path):
    with Renderer(tmp_path, 'second') as second:
        pictures = [tmp_path / 'a.png', tmp_path / 'b.png']
        programs = [subprocess.Popen([RAW_VIRGL, '--socket', r.socket, '--png', p],
                                     stdout=subprocess.DEVNULL)
                    for r, p in zip((renderer, second), pictures)]
        assert [p.wait(TIMEOUT) for p in programs] == [0, 0]
        for picture in pictures:
            check_picture(picture, (256, 256))


def test_no_mesa_in_the_process():
    libraries = subprocess.run(['ldd', RAW_VIRGL], capture_output=True, text=True, check=True)
    for name in ('GL', 'gallium', 'virglrenderer', 'drm', 'vulkan', 'gbm'):
        assert f'lib{name}' not in libraries.stdout


def test_failures(renderer, tmp_path):
    result = raw_virgl('--socket', tmp_path / 'none')
    assert result.returncode == 1
    assert str(tmp_path / 'none') in result.stderr
    result = raw_virgl('--socket', renderer.socket, '--png', tmp_path / 'no/such/folder.png')
    assert result.returncode == 1
    assert 'No such file' in result.stderr


@pytest.mark.parametrize('args', [['--size', '12'], ['--size', '1x1'], ['--size', '99999x32'],
                                  ['--nonsense'], ['extra']])
def test_usage(args):
    assert raw_virgl(*args).returncode == 2


def test_help():
    result = raw_virgl('--help')
    assert (result.returncode, result.stderr) == (0, '')
    assert '--socket' in result.stdout
