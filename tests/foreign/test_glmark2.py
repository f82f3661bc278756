# SPDX-License-Identifier: MIT
"""weston's headless backend on a vGPU, and glmark2 with it: off-screen, and in a window.

A client of Wayland draws on the render node that the compositor names. Here that is the shim's, so
weston has to be on the shim too, with a vGPU of its own.
"""

import contextlib
import re

import pytest
from columns import OURS, PEER, SHIM, TIMEOUT, check
from daemon import Log

COLUMNS = (PEER, *OURS)

# Those that glmark2 knows the right picture of.
SCENES = ['build:use-vbo=false', 'build:use-vbo=true', 'texture:texture-filter=nearest',
          'texture:texture-filter=linear', 'texture:texture-filter=mipmap',
          'shading:shading=gouraud', 'shading:shading=blinn-phong-inf', 'shading:shading=phong',
          'bump:bump-render=high-poly', 'bump:bump-render=normals', 'bump:bump-render=height',
          'pulsar:light=false', 'desktop:effect=blur', 'desktop:effect=shadow',
          'buffer:update-method=map', 'buffer:update-method=subdata',
          'buffer:update-method=map:interleave=true', 'conditionals:fragment-steps=0',
          'conditionals:fragment-steps=5']


@contextlib.contextmanager
def weston(columns, folder, column, *options):
    """Runs it; yields what clients need in their environment, and its log."""
    runtime = folder / 'xdg'
    runtime.mkdir(mode=0o700)
    process = columns.start(
        column, 'weston', '--backend=headless', '--renderer=gl', '--no-config', '--socket=display',
        '--idle-time=0', '--width=800', '--height=600', options=options,
        XDG_RUNTIME_DIR=str(runtime))
    log = Log(process.stdout)
    try:
        log.wait('launching .*weston-desktop-shell')
        yield {'XDG_RUNTIME_DIR': str(runtime), 'WAYLAND_DISPLAY': 'display'}, log
    finally:
        process.terminate()
        process.wait(TIMEOUT)
        log.join()


@pytest.fixture(name='display', scope='module')
def running_weston(columns, tmp_path_factory):
    with weston(columns, tmp_path_factory.mktemp('weston'), SHIM) as (env, log):
        log.wait('GL renderer: virgl')
        yield env


def glmark2(columns, column, display, scenes, *options):
    benchmarks = [word for scene in scenes for word in ('-b', scene)]
    result = columns.run(column, 'glmark2-es2-wayland', *options, *benchmarks,
                         timeout=2 * TIMEOUT, **display)
    assert re.search(r'GL_RENDERER: +virgl', result.stdout), result.stdout + result.stderr
    return result


def validated(columns, column, display):
    result = glmark2(columns, column, display, SCENES, '--off-screen', '--validate')
    verdicts = re.findall(r'^\[\w+\] .*: Validation: (\w+)', result.stdout, re.M)
    assert len(verdicts) == len(SCENES), result.stdout + result.stderr
    return {scene for scene, verdict in zip(SCENES, verdicts) if verdict == 'Success'}


def score(result):
    match = re.search(r'glmark2 Score: (\d+)', result.stdout)
    return result.returncode == 0 and match and int(match.group(1)) > 0


def facts(columns, folder, column):
    folder.mkdir()
    with weston(columns, folder, column) as (_, log):
        return {re.sub(r'^\[.*?\] ', '', line).strip() for line in log.text().splitlines()
                if re.search('GL (renderer|version|vendor):|GLSL version:', line)}


@pytest.mark.parametrize('column', OURS)
def test_weston(columns, column, tmp_path):
    peer = facts(columns, tmp_path / 'peer', PEER)
    ours = facts(columns, tmp_path / 'ours', column)
    assert any('GL renderer: virgl' in fact for fact in peer)
    differ = {fact.split(':')[0] for fact in peer - ours}
    check('weston', column, differ)


@pytest.mark.parametrize('column', OURS)
def test_pictures(columns, display, column):
    peer = validated(columns, PEER, display)
    assert len(peer) >= 15
    check('glmark2', column, peer - validated(columns, column, display))


@pytest.mark.parametrize('column', OURS)
def test_off_screen(columns, display, column):
    """As a benchmark: frame after frame of what it knows no right picture of."""
    assert score(glmark2(columns, column, display,
                         ['build:duration=0.5', 'ideas:duration=0.5', 'terrain:duration=0.5',
                          'shadow:duration=0.5', 'refract:duration=0.5', 'jellyfish:duration=0.5',
                          'effect2d:kernel=0,1,0;1,-4,1;0,1,0;:duration=0.5'], '--off-screen'))


@pytest.mark.parametrize('column', COLUMNS)
def test_window(columns, display, column):
    result = glmark2(columns, column, display, ['build:duration=0.5'])
    works = score(result) and 'error' not in result.stdout + result.stderr
    if column == PEER:
        assert works, result.stdout + result.stderr
    else:
        check('glmark2-window', column, [] if works else ['build'])
