# SPDX-License-Identifier: MIT
"""The benchmarks of sharing: that they measure and report, not what."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from standalone import BUILD, TIMEOUT

BENCH = pathlib.Path(__file__).parents[2] / 'samples/bench'
RT_RUNTIME = pathlib.Path('/proc/sys/kernel/sched_rt_runtime_us')


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
    result = bench(name, '--quick', '--json', report_file, *args)
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


def places_of(report):
    return {'plain', 'rig'} - report['missing_places'].keys()


def test_fairness(tmp_path):
    rows, report = report_of('fairness', tmp_path, '--scene', '1:1', '1:3')
    for place in places_of(report):
        for scene in ('1:1', '1:3'):
            error = rows[f'{place}: {scene}: share error over 0.3 s']
            assert error['target'] == 1
            assert all(0 <= error[column] <= 100 for column in ('value', 'native', 'peer'))
        assert 0 <= rows[f'{place}: 1:1: min/max']['value'] <= 1
        assert rows[f'{place}: 1:3: worst 1 s window']['target'] == 3


def test_latency(tmp_path):
    rows, report = report_of('latency', tmp_path, '--scene', 'hog', 'alone')
    for place in places_of(report):
        for scene in ('alone', 'hog'):
            fps = rows[f'{place}: {scene}: fps']
            assert all(0 < fps[column] <= 61 for column in ('value', 'native', 'peer'))
            assert fps['target'] == {'plain': 59.5, 'rig': 59}[place]
            p50, p99, longest = (rows[f'{place}: {scene}: {what}'] for what in
                                 ('p50', 'p99', 'max'))
            for column in ('value', 'native', 'peer'):
                assert p50[column] <= p99[column] <= longest[column]
    plain = rows['plain: hog: p99']
    assert plain['target'] == plain['peer']


def test_one_column_and_place(tmp_path):
    rows, _ = report_of('fairness', tmp_path, '--scene', '1:1', '--place', 'plain', '--column',
                        'aliquot')
    error = rows['plain: 1:1: share error over 0.3 s']
    assert error['value'] is not None and error['peer'] is None and error['native'] is None
    assert not any(name.startswith('rig') for name in rows)


@pytest.mark.parametrize('name', ['fairness', 'latency'])
@pytest.mark.parametrize('args', [['--scene', 'nonsense'], ['--place', 'nowhere'],
                                  ['--seconds', '0'], ['--runs', '0'], ['extra']])
def test_usage(name, args):
    assert bench(name, *args).returncode == 2
