# SPDX-License-Identifier: MIT
"""The Vulkan benchmark script: that it measures and reports, not what. Not on the rig: sanitizers
spin until another thread has had its turn, which at real-time priority never comes."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from standalone import BUILD, TIMEOUT

VULKAN = pathlib.Path(__file__).parents[2] / 'samples/bench/vulkan.py'
PEER = 'virgl_test_server'


def vulkan(*args):
    # A sanitized sample does not like a library before its runtime; the shim itself has none.
    return subprocess.run(
        [sys.executable, VULKAN, *map(str, args)], capture_output=True, text=True,
        timeout=4 * TIMEOUT, check=False,
        env=os.environ | {'ALIQUOT_BUILD': str(BUILD),
                          'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'})


def report_of(folder, *args):
    """({row name: row}, report, what was printed) of a quick run."""
    report_file = folder / 'report.json'
    result = vulkan('--quick', '--json', report_file, *args)
    assert result.returncode == 0, result.stderr
    report = json.loads(report_file.read_text(encoding='utf-8'))
    assert report['bench'] == 'vulkan'
    assert report['missing'] == {}
    absent = {entry['why'] for entry in report['absent']}
    for row in report['rows']:
        assert {'name', 'value', 'unit', 'native', 'peer', 'target', 'meets'} <= row.keys()
        assert (row['target'] is None) == (row['meets'] is None)
        assert row['value'] is not None or row['note'] in absent
    rows = {row['name']: row for row in report['rows']}
    assert len(rows) == len(report['rows'])
    return rows, report, result.stdout


def test_workloads(tmp_path):
    names = ('submit-wait', 'compute-fill', 'readback')
    rows, report, said = report_of(tmp_path, '--part', 'workloads', '--workload', *names)
    alike = ('shim-alike', 'vtest-alike') if PEER in report['without_feedback'] else ()
    assert set(rows) == {f'{name}: {what}' for name in names
                         for what in ('shim', 'vtest', 'shim/native',
                                      *(f'{ours}/{PEER}' for ours in ('shim', 'vtest', *alike)))}
    for name in names:
        assert rows[f'{name}: shim']['value'] > 0 and rows[f'{name}: shim']['native'] > 0
        assert rows[f'{name}: shim/native']['target'] is not None
    assert rows['compute-fill: shim/native']['target'] == 0.98
    # Whatever the machine lets device memory be, these two need none.
    for name in names[:2]:
        assert rows[f'{name}: shim']['peer'] > 0 and rows[f'{name}: vtest']['value'] > 0
        assert all(rows[f'{name}: {ours}/{PEER}']['value'] > 0 for ours in alike)
    # Who is absent is in the report, and in one line of the table.
    for entry in report['absent']:
        assert entry['what'] == 'readback' and entry['column'] in (PEER, 'vtest')
        assert f'{entry["column"]} not measured for readback: {entry["why"]}' in said
        assert entry['column'] in report['without_feedback']


def test_vkmark(tmp_path):
    rows, _, _ = report_of(tmp_path, '--part', 'vkmark')
    scenes = {name.split(':')[0] for name in rows}
    assert len(scenes) >= 5 and all(scene.startswith('vkmark ') for scene in scenes)
    for scene in scenes:
        assert rows[f'{scene}: shim']['value'] > 0
        assert rows[f'{scene}: shim/native']['target'] == 0.95


def test_gate(tmp_path):
    rows, _, _ = report_of(tmp_path, '--part', 'gate')
    for count in (1, 100, 2000):
        row = rows[f'gate: lease: more for each of {count} submissions']
        assert row['native'] > 0 and row['target'] == 1000 and row['unit'] == 'ns'
    counted = [row for name, row in rows.items() if 'GPU time' in name]
    assert len(counted) == 4
    for row in counted:
        assert row['target'] == 2 and row['meets'] == (abs(row['value']) <= 2)


def test_several_clients(tmp_path):
    rows, report, _ = report_of(tmp_path, '--part', 'accounts', 'shares', 'light', '--place',
                                'plain', 'drain', '--load-seconds', '0.4')
    assert report['absent'] == []
    for place in ('plain', 'drain'):
        for weights in ('1:1', '1:3', '3:1'):
            error = rows[f'{place}: OpenGL and Vulkan {weights}: share error over 0.4 s']
            assert error['target'] == 1
            assert 0 <= error['value'] <= 100 and 0 <= error['peer'] <= 100
        assert rows[f'{place}: accounts: frames of 12.6 ms: count off by']['target'] == 2
    for scene in ('light alone', 'light beside a hog',
                  'light beside a hog of single submissions'):
        fps = rows[f'plain: {scene}: fps']
        assert all(0 < fps[column] <= 67 for column in ('value', 'native', 'peer'))
        assert fps['target'] == 59.5
        assert f'drain: {scene}: fps' not in rows


@pytest.mark.parametrize('args', [['--workload', 'nonsense'], ['--pairs', '-1'],
                                  ['--part', 'nonsense'], ['--place', 'nowhere'],
                                  ['--load-seconds', '0'], ['--runs', '0'], ['extra']])
def test_usage(args):
    assert vulkan(*args).returncode == 2
