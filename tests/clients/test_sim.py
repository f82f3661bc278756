# SPDX-License-Identifier: MIT
"""aliquot-sim: options, output and exit status. What it computes is tests/unit/test_sched_*'s."""

import json
import os
import pathlib
import subprocess

import pytest

SIM = pathlib.Path(os.environ['ALIQUOT_BUILD']) / 'mediator/sched/sim/aliquot-sim'

TABLE = """
[gpu]
run = 2s
[vgpu desk]
work = periodic 4ms every 16ms
reservation = 30%
[vgpu batch]
work = hog 3ms
count = 2
"""


def sim(*args, table=TABLE):
    return subprocess.run([SIM, *args], input=table, capture_output=True, text=True, timeout=60,
                          check=False)


def test_json():
    result = sim('--json', '-')
    assert (result.returncode, result.stderr) == (0, '')
    report = json.loads(result.stdout)
    assert report['policy'] == 'fair'
    assert report['busy_ns'] + report['idle_ns'] == report['run_ns'] == 2 * 10**9
    names = [v['name'] for v in report['vgpus']]
    assert names == ['desk', 'batch-1', 'batch-2']
    desk = report['vgpus'][0]
    assert desk['missed'] == 0
    assert abs(desk['share'] - 0.25) < 0.01
    assert desk['wait_ns']['p50'] <= desk['wait_ns']['p99'] <= desk['wait_ns']['max']


def test_options_win_over_the_table():
    report = json.loads(sim('--json', '--policy', 'equal', '--seconds', '0.5', '--seed', '9',
                            '-').stdout)
    assert (report['policy'], report['run_ns'], report['seed']) == ('equal', 5 * 10**8, 9)


def test_table_from_a_file(tmp_path):
    path = tmp_path / 'table.ini'
    path.write_text(TABLE, encoding='utf-8')
    result = sim(path)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith('vGPU') and lines[-1].startswith('fair, 2.000 s: busy ')
    assert len(lines) == 5


def test_refusal_is_a_failure():
    table = TABLE + '[vgpu more]\nwork = hog 1ms\nreservation = 70%\n'
    result = sim('-', table=table)
    assert result.returncode == 1
    assert result.stderr == ('aliquot-sim: vGPU more is refused: reservations add up to more than '
                             '95 %\n')
    assert 'refused' in result.stdout


def test_bad_table():
    result = sim('-', table='[vgpu a]\nwork = sleep\n')
    assert result.returncode == 1 and result.stdout == ''
    assert result.stderr.startswith("aliquot-sim: stdin:2: 'sleep' is no value for work; allowed: ")
    assert sim('/does/not/exist').returncode == 1


@pytest.mark.parametrize('args', [[], ['a', 'b'], ['--policy', 'best', '-'], ['--seconds', '0', '-'],
                                  ['--seconds', 'nan', '-'], ['--seed', '-1', '-'], ['--what', '-']])
def test_bad_usage(args):
    result = sim(*args)
    assert result.returncode == 2 and result.stdout == ''


def test_help():
    result = sim('--help')
    assert result.returncode == 0 and result.stdout.startswith('Usage: aliquot-sim')
    assert sim('--version').stdout.startswith('aliquot-sim ')
