# SPDX-License-Identifier: MIT
"""aliquot trace and the numbers of list, while vGPUs really share a GPU."""

import json
import re
import signal
import subprocess
import time

import pytest
from daemon import BUILD, CLI, TIMEOUT, Daemon, echo, environment
from runner import wait_until


def test_list(busy):
    first = busy.vgpus()['first']
    assert first['gpuUsec'] > 0 and first['busyUsec'] > 0 and first['slices'] > 0
    assert first['gpuSubmits'] >= first['gpuCompletions']
    waits = first['waits']
    assert sum(waits['counts']) == waits['count'] > 0
    assert len(waits['counts']) == len(waits['boundsUsec']) + 1
    assert waits['boundsUsec'] == sorted(waits['boundsUsec'])
    assert waits['maxUsec'] <= waits['sumUsec']
    line = next(line for line in busy.cli('list').stdout.splitlines() if line.startswith('first'))
    assert re.search(r' 100 +[\d.]+m?s +[\d.]+m?s +\S+ +\d+$', line)
    gpu, = busy.call('ListGPUs')['gpus']
    assert 0 < gpu['busyUsec'] and 0 < gpu['slices'] and gpu['vgpus'] == 2
    later = busy.vgpus()['first']
    for key in 'gpuUsec', 'busyUsec', 'waitingUsec', 'slices', 'gpuSubmits':
        assert later[key] >= first[key]


def read_trace(path):
    """The spans of each vGPU by name, and how long all took; checks that they are well-formed."""
    trace = json.loads(path.read_text())
    events = trace['traceEvents']
    names = {(e['pid'], e['tid']): e['args']['name'] for e in events if e['name'] == 'thread_name'}
    gpus = [e['args']['name'] for e in events if e['name'] == 'process_name']
    assert gpus == ['GPU software']
    threads = {}
    for event in events:
        if event['ph'] == 'X':
            assert event['dur'] >= 0
            threads.setdefault(names[event['pid'], event['tid']], []).append(event)
    for spans in threads.values():
        spans.sort(key=lambda e: (e['ts'], -e['dur']))
        stack = []
        for span in spans:  # each ends before the next one begins, or has it inside
            end = span['ts'] + span['dur']
            while stack and stack[-1] <= span['ts'] + 0.0005:
                stack.pop()
            assert not stack or end <= stack[-1] + 0.0005, span
            stack.append(end)
    return threads


def read_work(path, begin_us, end_us):
    """What is asynchronous, by name: (begin, end, arguments). Checks that each has a beginning and an
    end, within the trace, and that nothing of one id overlaps."""
    open_ones, last, work = {}, {}, {}
    for event in json.loads(path.read_text())['traceEvents']:
        if event['ph'] not in ('b', 'e'):
            continue
        key = event['pid'], event['cat'], event['id'], event['name']
        assert begin_us <= event['ts'] <= end_us, event
        if event['ph'] == 'b':
            assert key not in open_ones and event['ts'] >= last.get(key, 0), event
            open_ones[key] = event
        else:
            begin = open_ones.pop(key)
            last[key] = event['ts']
            assert begin['ts'] <= event['ts'] and begin['tid'] == event['tid']
            work.setdefault(event['name'], []).append((begin['ts'], event['ts'], begin['args']))
    assert not open_ones
    return work


def read_memory(path):
    """The counters, by name: [(time, {what: bytes}), …]."""
    memory = {}
    for event in json.loads(path.read_text())['traceEvents']:
        if event['ph'] == 'C':
            memory.setdefault(event['name'], []).append((event['ts'], event['args']))
    return memory


def monotonic_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1000


def test_fences(busy, tmp_path):
    path = tmp_path / 'trace.json'
    before, begin_us = busy.vgpus(), monotonic_us()
    result = busy.cli('trace', '--seconds', '1', '-o', str(path))
    assert result.returncode == 0, result.stderr
    assert 'faster than' not in result.stderr
    after = busy.vgpus()
    work = read_work(path, begin_us, monotonic_us())
    assert set(work) == {'first fences', 'second fences'}
    for name in 'first', 'second':
        streams = sum(args['streams'] for _, _, args in work[f'{name} fences'])
        # The histogram is of the same ones.
        assert 0 < streams <= (after[name]['latencies']['count']
                               - before[name]['latencies']['count'])
    memory = read_memory(path)
    assert set(memory) == {'first memory', 'second memory'}
    for samples in memory.values():
        times = [ts for ts, _ in samples]
        assert times == sorted(times) and len(times) >= 2
        assert all(args['resources'] > 0 and args['Vulkan'] == 0 for _, args in samples)


def test_vulkan(busy, tmp_path):
    """A program's submissions, and the memory that it has for its time."""
    path = tmp_path / 'trace.json'
    begin_us = monotonic_us()
    with subprocess.Popen([CLI, 'trace', '--seconds', '600', '-o', path, '--socket-dir', busy.dir],
                          stderr=subprocess.PIPE, text=True) as trace:
        assert 'of 600 s' in trace.stderr.readline()
        maths = subprocess.run(
            [CLI, 'run', '--name', 'maths', '--socket-dir', busy.dir, '--', BUILD /
             'samples/vk-compute', '--size', '128', '--seconds', '1', '--json', tmp_path / 'report'],
            env=environment(ASAN_OPTIONS='detect_leaks=0:verify_asan_link_order=0'),
            capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert maths.returncode == 0, maths.stderr
        assert wait_until(lambda: 'maths' not in busy.vgpus())
        trace.send_signal(signal.SIGINT)
        assert trace.wait(TIMEOUT) == 0
    work = read_work(path, begin_us, monotonic_us())
    assert set(work) >= {'first fences', 'second fences', 'maths Vulkan 1'}
    runs = json.loads((tmp_path / 'report').read_text())['runs']
    assert sum(args['submissions'] for _, _, args in work['maths Vulkan 1']) >= runs > 0
    assert {args['queue'] for _, _, args in work['maths Vulkan 1']} == {0}
    # In the vGPU's slices, as far as the GPU is given away in slices.
    assert any(span['name'] == 'slice' for span in read_trace(path)['maths'])
    vulkan = [args['Vulkan'] for _, args in read_memory(path)['maths memory']]
    assert max(vulkan) >= 3 * 128 * 128 * 4  # three matrices
    assert vulkan[-1] == 0


def test_lies(tmp_path):
    """What a renderer says it did is shown as far as it can be true; the rest is counted."""
    with Daemon(tmp_path / 'run', '--vgpu', 'running', '--vgpu', 'ugly') as daemon:
        with daemon.connect('running') as one, daemon.connect('ugly') as other:
            assert echo(one) and echo(other)
            answer = daemon.call('ReadWork', {'gpu': 'software', 'cursor': 0})
            again = daemon.call('ReadWork', {'gpu': 'software', 'cursor': answer['cursor']})
            vgpus = daemon.vgpus()
        assert (answer['lost'], answer['more'], again['work']) == (0, False, [])
        work = {name: [w for w in answer['work'] if w['vgpu'] == vgpus[name]['number']]
                for name in ('running', 'ugly')}
        kinds = [(w['kind'], w['slot'], w['count']) for w in work['running']]
        assert kinds == [('fence', 0, 3), ('lost', 0, 2), ('vulkan', 7, 2)]
        assert all(w['beginNsec'] <= w['endNsec'] <= answer['timeNsec'] for w in answer['work'])
        assert [(w['kind'], w['count']) for w in work['ugly'] if w['slot'] == 0] == \
            [('lost', 2 ** 63 - 1)]
        assert answer['memory'] == [
            {'number': v['number'], 'resourceBytes': v['resourceBytes'], 'vulkanBytes': 3000000}
            for v in vgpus.values()]
        # What its renderer has left is there when it is gone, and not a second time.
        after = daemon.call('ReadWork', {'gpu': 'software', 'cursor': 0})
        assert after['work'] == answer['work']


def test_trace(busy, tmp_path):
    path = tmp_path / 'trace.json'
    cursor = busy.call('ReadEvents', {'gpu': 'software'})['cursor']
    result = busy.cli('trace', '--seconds', '1', '-o', str(path))
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r'aliquot: \d+ events in [\d.]+ s\n', result.stderr)  # no progress: short
    threads = read_trace(path)
    assert set(threads) == {'first', 'second'}
    assert {e['name'] for spans in threads.values() for e in spans} >= {'slice'}

    # Each slice begins with a grant and ends with what ends one.
    events, more = [], True
    while more:
        answer = busy.call('ReadEvents', {'gpu': 'software', 'cursor': cursor})
        cursor, more = answer['cursor'], answer['more']
        assert answer['lost'] == 0 and len(answer['events']) <= 1024
        events += answer['events']
    times = [e['timeNsec'] for e in events]
    assert times == sorted(times)
    number = {v['name']: v['number'] for v in answer['vgpus']}

    def at(name, *kinds):
        return {round(e['timeNsec'] / 1000, 3) for e in events
                if e['vgpu'] == number[name] and e['kind'] in kinds}

    count = 0
    for name, spans in threads.items():
        begins, ends = at(name, 'grant'), at(name, 'release', 'yield', 'grant')
        slices = [e for e in spans if e['name'] == 'slice']
        for span in slices[:-1]:  # the last one was cut at the end of the trace
            assert round(span['ts'], 3) in begins
            assert any(abs(span['ts'] + span['dur'] - end) < 0.002 for end in ends)
            count += 1
    assert count > 10
    # One vGPU at a time.
    slices = sorted((e['ts'], e['ts'] + e['dur']) for spans in threads.values() for e in spans
                    if e['name'] == 'slice')
    assert all(a[1] <= b[0] + 0.002 for a, b in zip(slices, slices[1:]))


def test_trace_stopped(busy, tmp_path):
    """^C in the middle leaves a whole file, and progress was told."""
    path = tmp_path / 'trace.json'
    with subprocess.Popen([CLI, 'trace', '--seconds', '600', '-o', path, '--socket-dir', busy.dir],
                          stderr=subprocess.PIPE, text=True) as process:
        assert re.match(r'aliquot: \d+ of 600 s, \d+ events\n', process.stderr.readline())
        process.send_signal(signal.SIGINT)
        assert re.match(r'aliquot: \d+ events in', process.stderr.readline())
        assert process.wait(TIMEOUT) == 0
    assert set(read_trace(path)) == {'first', 'second'}


@pytest.mark.parametrize('args, status, message', [
    ([], 2, 'where to? Say it with -o FILE'), (['-o', 'x', '--seconds', 'nan'], 2, '--seconds: '),
    (['-o', 'x', '--seconds', '-1'], 2, '--seconds: '), (['-o', 'x', 'y'], 2, 'nothing but options'),
    (['-o', '/nowhere/x'], 1, '/nowhere/x: No such file or directory'),
    (['-o', '/dev/full', '--seconds', '0.1'], 1, "/dev/full: can't be written")])
def test_trace_mistakes(busy, args, status, message):
    result = busy.cli('trace', *args)
    assert result.returncode == status
    assert message in result.stderr


def test_the_daemon_ends(tmp_path):
    """It says so and ends; what was traced is a whole file."""
    with Daemon(tmp_path / 'run', '--vgpu', 'a') as daemon:
        trace = subprocess.Popen([CLI, 'trace', '--seconds', '600', '-o', tmp_path / 't',
                                  '--socket-dir', daemon.dir], stderr=subprocess.PIPE, text=True)
        assert 'of 600 s' in trace.stderr.readline()
    _, err = trace.communicate(timeout=TIMEOUT)
    assert trace.returncode == 1
    assert 'closed the connection' in err and 'up to the end of the daemon' in err
    assert json.loads((tmp_path / 't').read_text())['traceEvents']
