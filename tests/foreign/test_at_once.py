# SPDX-License-Identifier: MIT
"""Programs at once, each on its own vGPU of one daemon: as when they run alone."""

import concurrent.futures
import contextlib
import json
import re

import piglit
import pytest
from columns import SHIM, TIMEOUT, VTEST
from runner import wait_until
from test_glmark2 import SCENES, weston

FOLDERS = {SHIM: 'spec/glsl-1.10/execution/', VTEST: 'spec/glsl-1.30/execution/'}


def shaders(column):
    """The desktop shader tests right in a folder, in one process that takes a few seconds."""
    batches = [batch.without(lambda test: test.rpartition('/')[0] + '/' != FOLDERS[column])
               for batch in piglit.shader_batches(length=10000)]
    return max(batches, key=lambda batch: len(batch.tests))


def run_shaders(columns, column, *options):
    return piglit.run(shaders(column),
                      columns.environment(column, PIGLIT_PLATFORM='surfaceless_egl'),
                      columns.prefix(column, *options))


@pytest.fixture(name='alone', scope='module')
def run_alone(columns):
    status = {column: run_shaders(columns, column) for column in (SHIM, VTEST)}
    for each in status.values():
        assert sum(one == piglit.PASS for one in each.values()) > 80
    return status


def drawing(columns):
    """The names in "aliquot list" of those that have submitted something, and their renderers."""
    listed = json.loads(columns.daemon.cli('list', '--json').stdout)
    return {vgpu['name']: vgpu['rendererPid'] for vgpu in listed
            if vgpu['state'] == 'running' and vgpu['submits'] and 'virgl on software' in vgpu['gl']}


@contextlib.contextmanager
def shaders_at_once(columns):
    """Two of them under way; yields what gives their results."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = {column: pool.submit(run_shaders, columns, column, f'--name={column}')
                   for column in (SHIM, VTEST)}
        yield lambda: {column: future.result() for column, future in futures.items()}


def wait_for(columns, names):
    """Until they all draw at the same time, each with one vGPU and a renderer of its own."""
    seen = {}

    def all_draw():
        seen.update(now=drawing(columns))
        return names <= seen['now'].keys()

    assert wait_until(all_draw), seen
    assert seen['now'].keys() == names
    assert len(set(seen['now'].values())) == len(names)


def differing(results, alone):
    return {(test, status, results[column].get(test)) for column in alone
            for test, status in alone[column].items() if results[column].get(test) != status}


def test_two(columns, alone):
    with shaders_at_once(columns) as results:
        wait_for(columns, {SHIM, VTEST})
        assert not differing(results(), alone)


def test_four(columns, alone, tmp_path):
    with weston(columns, tmp_path, SHIM, '--name=weston') as (display, log):
        log.wait('GL renderer: virgl')
        scenes = [word for scene in SCENES for word in ('-b', f'{scene}:duration=1')]
        glmark2 = columns.start(SHIM, 'glmark2-es2-wayland', '--off-screen', *scenes,
                                options=['--name=glmark2'], **display)
        try:
            with shaders_at_once(columns) as results:
                wait_for(columns, {SHIM, VTEST, 'weston', 'glmark2'})
                assert not differing(results(), alone)
            said, _ = glmark2.communicate(timeout=2 * TIMEOUT)
        finally:
            glmark2.kill()
        assert glmark2.returncode == 0, said
        assert re.search(r'GL_RENDERER: +virgl', said) and 'error' not in said
        assert said.count('FPS:') == len(SCENES)
    assert wait_until(lambda: not columns.daemon.vgpus())
