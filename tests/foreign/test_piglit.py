# SPDX-License-Identifier: MIT
"""piglit: what passes on the peer passes on a vGPU.

All shader tests but those left out here, and the programs of piglit-programs. The peer runs all of
them first; the vGPUs then run what passed there. What counts as a test is a file with a shader test
or a line of piglit-programs. One that fails is run once more alone, and alone on the peer: what
another one in the same process spoiled does not count, nor what the peer passes by luck.
"""

import concurrent.futures
import pathlib

import piglit
import pytest
from columns import OURS, PEER, check

PROGRAMS = pathlib.Path(__file__).parent / 'piglit-programs'
AT_ONCE = 2  # processes, each with a vGPU of its own
PEER_TRIES = 3
ENOUGH = 2000

# Extensions that virgl does not have: to find that out takes a process for each test.
LEFT_OUT = tuple(f'spec/{name}/' for name in (
    'arb_bindless_texture', 'arb_compute_variable_group_size', 'arb_geometry_shader4',
    'arb_gl_spirv', 'arb_gpu_shader_int64', 'arb_shader_ballot', 'intel_shader_atomic_float_minmax',
    'nv_compute_shader_derivatives', 'nv_fill_rectangle', 'nv_shader_atomic_float',
    'nv_shader_atomic_int64', 'nv_viewport_array2', 'ovr_multiview',
)) + ('shaders/glsl-predication-on-large-array',)  # half a minute on the peer


def batches():
    names = [line for line in PROGRAMS.read_text(encoding='utf-8').splitlines()
             if line and not line.startswith('#')]
    for batch in (*piglit.shader_batches(), *piglit.program_batches(names)):
        batch = batch.without(lambda test: test.startswith(LEFT_OUT))
        if batch.tests:
            yield batch


def run(columns, column, todo):
    """{test: status}; several batches at a time."""
    status = {}
    env = columns.environment(column, PIGLIT_PLATFORM='surfaceless_egl')
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for part in pool.map(lambda batch: piglit.run(batch, env, columns.prefix(column)), todo):
            status.update(part)
    return status


def passes(columns, column, batch):
    return run(columns, column, [batch]) == {batch.tests[0]: piglit.PASS}


@pytest.fixture(name='peer_status', scope='module')
def run_on_the_peer(columns):
    return run(columns, PEER, batches())


def test_enough_to_compare(peer_status):
    passed = [test for test, status in peer_status.items() if status == piglit.PASS]
    print(f'{len(passed)} of {len(peer_status)} pass on {PEER}')
    assert len(passed) >= ENOUGH


@pytest.mark.parametrize('column', OURS)
def test_passes_as_on_the_peer(columns, peer_status, column):
    todo = [batch for batch in (b.without(lambda test: peer_status[test] != piglit.PASS)
                                for b in batches()) if batch.tests]
    served = columns.served()
    failed = {test: status for test, status in run(columns, column, todo).items()
              if status != piglit.PASS}
    print(f'in a row: {failed}')
    # Mesa falls back to another driver without a word, and some programs make no context.
    assert columns.served() - served >= len(todo) * 0.9
    alone = [batch.only(test) for batch in todo for test in batch.tests if test in failed]
    failed = [batch for batch in alone if not passes(columns, column, batch)]
    failed = [batch.tests[0] for batch in failed
              if all(passes(columns, PEER, batch) for _ in range(PEER_TRIES))]
    print(f'alone: {failed}')
    check('piglit', column, failed)
