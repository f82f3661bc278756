# SPDX-License-Identifier: MIT
"""The OpenGL benchmark script: that it measures and reports, not what."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from standalone import BUILD, TIMEOUT

GL = pathlib.Path(__file__).parents[2] / 'samples/bench/gl.py'


def gl(*args):
    # A sanitized sample does not like a library before its runtime; the shim itself has none.
    return subprocess.run(
        [sys.executable, GL, *map(str, args)], capture_output=True, text=True,
        timeout=4 * TIMEOUT, check=False,
        env=os.environ | {'ALIQUOT_BUILD': str(BUILD),
                          'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'})


def test_report(tmp_path):
    report_file = tmp_path / 'report.json'
    result = gl('--quick', '--workload', 'clear-finish', '--json', report_file)
    assert result.returncode == 0, result.stderr
    report = json.loads(report_file.read_text(encoding='utf-8'))
    assert report['bench'] == 'gl'
    assert report['machine']['cpus'] >= 1
    rows = {row['name']: row for row in report['rows']}
    for row in rows.values():
        assert {'name', 'value', 'unit', 'native', 'peer', 'target', 'meets'} <= row.keys()
        assert (row['target'] is None) == (row['meets'] is None)
        if row['value'] is None:
            assert 'vtest' in row['name'] and row['note']
    for name in ('clear-finish: shim', 'clear-finish: shim/native',
                 'clear-finish: shim/virgl_test_server', 'first frame: shim'):
        assert rows[name]['value'] > 0 and rows[name]['native'] > 0 and rows[name]['peer'] > 0
    assert rows['clear-finish: shim/virgl_test_server']['target'] == 1.2
    assert rows['first frame: shim minus native']['target'] == 120
    assert 'clear-finish' in result.stdout


@pytest.mark.parametrize('args', [['--workload', 'nonsense'], ['--seconds', '0'],
                                  ['--pairs', '0'], ['extra']])
def test_usage(args):
    assert gl(*args).returncode == 2
