# SPDX-License-Identifier: MIT
"""gl-load and vk-load: that they draw when they should and count right, on Mesa's software GPU."""

import json
import os
import subprocess
import time

import pytest
from standalone import BUILD, TIMEOUT

ENV = os.environ | {'LIBGL_ALWAYS_SOFTWARE': '1', 'GALLIUM_DRIVER': 'llvmpipe',
                    'ASAN_OPTIONS': 'detect_leaks=0',
                    'VK_DRIVER_FILES': '/usr/share/vulkan/icd.d/lvp_icd.json'}


@pytest.fixture(name='load', params=['gl-load', 'vk-load'])
def choose_program(request):
    return BUILD / 'samples' / request.param


def run(program, *args, **more):
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True,
                          timeout=TIMEOUT, check=False, env=ENV, **more)


def report_of(result):
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def spans_in(log):
    return [tuple(map(int, line.split())) for line in log.read_text().splitlines()]


def check_counts(report, spans, seconds):
    """That the report is what its log says."""
    times = sorted(end - start for start, end in spans
                   if report['from_ns'] <= end < report['to_ns'])
    assert report['to_ns'] - report['from_ns'] == int(seconds * 1e9)
    assert report['frames'] == len(times) > 0
    assert report['fps'] == pytest.approx(len(times) / seconds, abs=1e-3)
    assert report['p50_ms'] == pytest.approx(times[len(times) // 2] / 1e6, abs=1e-3)
    assert report['p99_ms'] == pytest.approx(times[int(len(times) * 0.99)] / 1e6, abs=1e-3)
    assert report['max_ms'] == pytest.approx(times[-1] / 1e6, abs=1e-3)
    return times


def test_saturating(load, tmp_path):
    log = tmp_path / 'log'
    report = report_of(run(load, '--work', 4, '--draws', 3, '--seconds', 0.2, '--warmup', 0.05,
                           '--log', log))
    spans = spans_in(log)
    check_counts(report, spans, 0.2)
    assert (report['work'], report['draws'], report['missed']) == (4, 3, 0)
    assert 'llvmpipe' in report['renderer']
    for (_, end), (start, _) in zip(spans, spans[1:]):
        assert start == end


@pytest.mark.parametrize('submits', [1, 4])
def test_gpu_time(tmp_path, submits):
    """It is within the time that the frames took."""
    log = tmp_path / 'log'
    args = ['--work', 40, '--draws', 4, '--submits', submits, '--seconds', 0.3, '--warmup', 0.05,
            '--log', log]
    report = report_of(run(BUILD / 'samples/vk-load', *args, '--gpu-time'))
    took_ms = sum(check_counts(report, spans_in(log), 0.3)) / 1e6
    assert took_ms / 20 < report['gpu_ms'] < took_ms
    assert report_of(run(BUILD / 'samples/vk-load', *args))['gpu_ms'] == 0


def draw_from(load, log, *args, told=None):
    """(when it was told to start, its report). told: another word than that."""
    with subprocess.Popen([load, *map(str, args), '--warmup', '0', '--start-at', '-',
                           '--log', log], env=ENV, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == 'ready\n'
        start_ns = time.monotonic_ns() + 100_000_000
        output, _ = process.communicate(f'{told or start_ns}\n', TIMEOUT)
    assert process.returncode == 0
    return start_ns, json.loads(output)


def test_rate(load, tmp_path):
    log = tmp_path / 'log'
    start_ns, report = draw_from(load, log, '--work', 1, '--rate', 50, '--seconds', 1)
    times = check_counts(report, spans_in(log), 1)
    assert report['missed'] == sum(t > 20_000_000 for t in times)
    due = [start for start, _ in spans_in(log)]
    assert all((t - start_ns) % 20_000_000 == 0 for t in due)
    assert len(set(due)) == len(due)


def test_is_told_when_to_start(load, tmp_path):
    log = tmp_path / 'log'
    start_ns, report = draw_from(load, log, '--work', 1, '--seconds', 0.1)
    assert report['from_ns'] == start_ns
    assert spans_in(log)[0][0] >= start_ns


def test_is_told_to_start_now(load, tmp_path):
    log = tmp_path / 'log'
    before_ns = time.monotonic_ns()
    _, report = draw_from(load, log, '--work', 1, '--seconds', 0.1, told='now')
    assert before_ns < report['from_ns'] < time.monotonic_ns()
    assert spans_in(log)[0][0] >= report['from_ns']


def test_late(load, tmp_path):
    log = tmp_path / 'log'
    start_ns = time.monotonic_ns()
    report = report_of(run(load, '--work', 1, '--seconds', 0.001, '--warmup', 0, '--log', log,
                           '--start-at', start_ns))
    assert report['late_ms'] > 1  # no process starts in no time
    assert report['from_ns'] == start_ns
    assert report['frames'] == 0 and spans_in(log) == []


@pytest.mark.parametrize('told', ['', 'now', 'soon\n', '-1\n'])
def test_nobody_says_when_to_start(load, told):
    result = run(load, '--work', 1, '--start-at', '-', input=told)
    assert result.returncode == 1
    assert 'nobody said' in result.stderr


def test_calibration(load):
    report = report_of(run(load, '--frame-ms', 3, '--draws', 2, '--seconds', 0.05))
    assert report['work'] > 1


@pytest.mark.parametrize('args', [
    [], ['--work', '1', '--frame-ms', '1'], ['--work', '0'], ['--work', '1.5'],
    ['--work', '1', '--draws', '0'], ['--frame-ms', '0'], ['--frame-ms', 'nan'],
    ['--work', '1', '--rate', '-1'], ['--work', '1', '--start-at', '0'],
    ['--work', '1', 'extra']])
def test_usage(load, args):
    assert run(load, *args).returncode == 2


@pytest.mark.parametrize('program, args', [
    ('gl-load', ['--platform', 'x']), ('gl-load', ['--submits', '2']),
    ('vk-load', ['--submits', '0']), ('vk-load', ['--submits', '1001']),
    ('vk-load', ['--platform', 'gbm'])])
def test_usage_of_one(program, args):
    assert run(BUILD / 'samples' / program, '--work', 1, *args).returncode == 2


def test_no_such_device():
    result = run(BUILD / 'samples/vk-load', '--work', 1, '--device', 'Voodoo')
    assert result.returncode == 1
    assert 'vk-load: no device "Voodoo"' in result.stderr
