# SPDX-License-Identifier: MIT
"""The benchmarks of sharing: that they measure and report, not what. On the plain machine alone:
sanitizers spin until another thread has had its turn, which at real-time priority never comes."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from standalone import BUILD, TIMEOUT

BENCH = pathlib.Path(__file__).parents[2] / 'samples/bench'
RT_RUNTIME = pathlib.Path('/proc/sys/kernel/sched_rt_runtime_us')
COMPARED = ('--column', 'native', 'virgl_test_server', 'aliquot')


def bench(name, *args):
    # A sanitized program does not like a library before its runtime; the shim itself has none.
    return subprocess.run(
        [sys.executable, BENCH / f'{name}.py', *map(str, args)], capture_output=True, text=True,
        timeout=4 * TIMEOUT, check=False,
        env=os.environ | {'ALIQUOT_BUILD': str(BUILD),
                          'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'})


def report_of(name, folder, *args):
    """({row name: row}, report) of a quick run."""
    before = RT_RUNTIME.read_text()
    report_file = folder / 'report.json'
    result = bench(name, '--quick', '--place', 'plain', '--json', report_file, *args)
    assert result.returncode == 0, result.stderr
    assert RT_RUNTIME.read_text() == before
    report = json.loads(report_file.read_text(encoding='utf-8'))
    assert report['bench'] == name
    assert report['machine']['cpus'] >= 1
    for row in report['rows']:
        assert {'name', 'value', 'unit', 'native', 'peer', 'target', 'meets'} <= row.keys()
        assert (row['target'] is None) == (row['meets'] is None)
        assert row['value'] is not None or row['note']
    rows = {row['name']: row for row in report['rows']}
    assert len(rows) == len(report['rows'])
    return rows, report


def test_fairness(tmp_path):
    rows, _ = report_of('fairness', tmp_path, '--scene', '1:1', '1:3', *COMPARED)
    for scene in ('1:1', '1:3'):
        error = rows[f'plain: {scene}: share error over 0.15 s']
        assert error['target'] == 1
        assert all(0 <= error[column] <= 100 for column in ('value', 'native', 'peer'))
    assert 0 <= rows['plain: 1:1: min/max']['value'] <= 1
    assert rows['plain: 1:3: worst 1 s window']['target'] == 3


def test_latency(tmp_path):
    rows, _ = report_of('latency', tmp_path, '--scene', 'hog', 'alone', *COMPARED)
    for scene in ('alone', 'hog'):
        fps = rows[f'plain: {scene}: fps']
        assert all(0 < fps[column] <= 67 for column in ('value', 'native', 'peer'))
        assert fps['target'] == 59.5
        p50, p99, longest = (rows[f'plain: {scene}: {what}'] for what in
                             ('p50', 'p99', 'max'))
        for column in ('value', 'native', 'peer'):
            assert p50[column] <= p99[column] <= longest[column]
    plain = rows['plain: hog: p99']
    assert plain['target'] == plain['peer']


def test_handoff(tmp_path):
    rows, _ = report_of('handoff', tmp_path, '--scene', '2-hogs')
    handoff, idle = (rows[f'plain: 2-hogs: {what}'] for what in ('handoff p50', 'GPU idle'))
    assert handoff['value'] > 0
    assert handoff['target'] == pytest.approx(1.5 * handoff['native'], abs=0.15)
    assert 0 <= idle['value'] <= 100 and idle['target'] == 2


def test_scale(tmp_path):
    rows, _ = report_of('scale', tmp_path, '--vgpus', '1', '3')
    for number in (1, 3):
        frames = rows[f'plain: {number} vGPUs: frames of all']
        assert all(frames[column] > 0 for column in ('value', 'native', 'peer'))
    assert rows['plain: 3 vGPUs: throughput of 1']['target'] == 0.97
    assert rows['plain: 3 vGPUs: aliquotd']['value'] >= 0
    gate = rows['plain: cost of the gate, frames of 1.3 ms']
    assert gate['value'] is not None
    assert any(name.startswith('pick, 10000') for name in rows)


def test_some_columns(tmp_path):
    rows, _ = report_of('fairness', tmp_path, '--scene', '1:1', '--column',
                        'virgl_test_servers', 'aliquot', 'aliquot-vtest')
    error = rows['plain: 1:1: share error over 0.15 s']
    assert error['value'] is not None and error['peer'] is None and error['native'] is None
    for column in ('virgl_test_servers', 'aliquot-vtest'):
        assert rows[f'plain: 1:1: share error, {column}']['value'] is not None
    assert not any(name.startswith('rig') for name in rows)


@pytest.mark.parametrize('name', ['fairness', 'latency', 'handoff', 'scale'])
@pytest.mark.parametrize('args', [['--scene', 'nonsense'], ['--place', 'nowhere'],
                                  ['--seconds', '0'], ['--runs', '0'], ['extra']])
def test_usage(name, args):
    assert bench(name, *args).returncode == 2


def test_usage_of_scale():
    assert bench('scale', '--vgpus', '0').returncode == 2
