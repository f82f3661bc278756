# SPDX-License-Identifier: MIT
"""The Vulkan benchmark script: that it measures and reports, not what."""

import json
import os
import pathlib
import subprocess
import sys

from standalone import BUILD, TIMEOUT

VULKAN = pathlib.Path(__file__).parents[2] / 'samples/bench/vulkan.py'


def vulkan(*args):
    # A sanitized sample does not like a library before its runtime; the shim itself has none.
    return subprocess.run(
        [sys.executable, VULKAN, *map(str, args)], capture_output=True, text=True,
        timeout=4 * TIMEOUT, check=False,
        env=os.environ | {'ALIQUOT_BUILD': str(BUILD),
                          'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'})


def test_report(tmp_path):
    report_file = tmp_path / 'report.json'
    result = vulkan('--quick', '--workload', 'submit-wait', 'compute-fill', '--json', report_file)
    assert result.returncode == 0, result.stderr
    report = json.loads(report_file.read_text(encoding='utf-8'))
    assert report['bench'] == 'vulkan'
    rows = {row['name']: row for row in report['rows']}
    assert set(rows) == {f'{name}: {what}' for name in ('submit-wait', 'compute-fill')
                         for what in ('shim', 'shim/native')}
    for row in rows.values():
        assert row['value'] > 0 and row['native'] > 0
        assert (row['target'] is None) == (row['meets'] is None)
    assert rows['compute-fill: shim/native']['target'] == 0.98


def test_bad_options():
    assert vulkan('--workload', 'nonsense').returncode == 2
    assert vulkan('--pairs', '-1').returncode == 2
