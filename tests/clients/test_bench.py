# SPDX-License-Identifier: MIT
"""aliquot-bench and its scripts: that they measure and report, not what."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from standalone import BUILD, TIMEOUT, Renderer

BENCH = BUILD / 'samples/aliquot-bench'
FOOTPRINT = pathlib.Path(__file__).parents[2] / 'samples/bench/footprint.py'


def bench(*args):
    return subprocess.run([BENCH, *map(str, args)], capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)


def check_times(result, name):
    assert result.returncode == 0, result.stderr
    times = json.loads(result.stdout)
    assert times['bench'] == name
    assert times['count'] > 0 and times['per_s'] > 0
    assert 0 < times['p50_us'] <= times['p99_us']


def test_ring(tmp_path):
    cpu = min(os.sched_getaffinity(0))
    with Renderer(tmp_path, backend='null') as renderer:
        check_times(bench('ring', '--socket', renderer.socket, '--seconds', 0.1, '--pin', cpu),
                    'ring')


def test_pingpong():
    check_times(bench('pingpong', '--seconds', 0.1), 'pingpong')


def test_pingpong_across_processors():
    cpus = sorted(os.sched_getaffinity(0))
    check_times(bench('pingpong', '--seconds', 0.1, '--pin', cpus[0], '--pin-other', cpus[-1]),
                'pingpong')


def test_first_clear(tmp_path):
    with Renderer(tmp_path) as renderer:
        result = bench('first-clear', '--socket', renderer.socket)
    assert result.returncode == 0, result.stderr
    times = json.loads(result.stdout)
    assert 0 < times['open_ms'] < times['first_clear_ms']


@pytest.mark.parametrize('args', [[], ['nonsense'], ['ring'], ['pingpong', '--seconds', '-1'],
                                  ['pingpong', '--pin', 'x'], ['pingpong', '--pin-other', '-1'],
                                  ['pingpong', 'extra']])
def test_usage(args):
    assert bench(*args).returncode == 2


def test_failure(tmp_path):
    result = bench('ring', '--socket', tmp_path / 'none')
    assert result.returncode == 1
    assert 'cannot connect' in result.stderr


def test_footprint(tmp_path):
    report_file = tmp_path / 'report.json'
    result = subprocess.run(
        [sys.executable, FOOTPRINT, '--json', report_file, '--runs', '1', '--seconds', '0.1',
         '--idle', '0.2'],
        capture_output=True, text=True, timeout=4 * TIMEOUT, check=False,
        env=os.environ | {'ALIQUOT_BUILD': str(BUILD)})
    assert result.returncode == 0, result.stderr
    report = json.loads(report_file.read_text(encoding='utf-8'))
    assert report['bench'] == 'footprint'
    assert report['machine']['cpus'] >= 1
    names = {row['name'] for row in report['rows']}
    assert {'aliquotd RSS', 'idle renderer RSS', 'idle vGPU CPU'} <= names
    for row in report['rows']:
        assert {'name', 'value', 'unit', 'native', 'peer', 'target', 'meets'} <= row.keys()
        assert (row['target'] is None) == (row['meets'] is None)
