# SPDX-License-Identifier: MIT
"""Memory, idle CPU, start-up time and command round trips of a vGPU.

usage: footprint.py [--json FILE] [--runs N] [--seconds S] [--idle S]

Starts an aliquotd of its own in a temporary folder and measures, against the targets of the
project. Figures are medians over interleaved runs; "spread" is the smallest and the largest.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get('ALIQUOT_BUILD', 'build')).absolute()
BENCH = BUILD / 'samples/aliquot-bench'
ALIQUOTD = BUILD / 'mediator/daemon/aliquotd'
RENDERER = BUILD / 'mediator/renderer/aliquot-renderer'

START_TIMEOUT = 60  # seconds

TARGET_DAEMON_RSS_MIB = 10
TARGET_IDLE_CPU_PERCENT = 0.0
TARGET_FIRST_CLEAR_MS = 150
TARGET_ROUND_TRIP = 1.5  # times a socket ping-pong


def progress(text):
    print(f'footprint: {text}', file=sys.stderr, flush=True)


# ---- processes ----------------------------------------------------------------------------------


def pin_to(cpu):
    """For preexec_fn: what a child of ours and its children run on; None = anywhere."""
    return (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None


class Daemon:
    """A private aliquotd with one vGPU, "bench"."""

    def __init__(self, folder, backend, cpu=None):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / 'bench.sock'
        self.log = open(self.folder.with_suffix('.log'), 'w+', encoding='utf-8')
        ready, ready_end = os.pipe()
        # An empty file, so that the machine's own configuration does not count.
        self.process = subprocess.Popen(
            [ALIQUOTD, '--config', '/dev/null', '--socket-dir', self.folder, '--vgpu', 'bench',
             '--backend', backend, '--gpu', 'software', f'--ready-fd={ready_end}'],
            pass_fds=[ready_end], stderr=self.log, preexec_fn=pin_to(cpu),
            env=os.environ | {'ALIQUOT_RENDERER': str(RENDERER)})
        os.close(ready_end)
        came = select.select([ready], [], [], START_TIMEOUT)[0] and os.read(ready, 1)
        os.close(ready)
        if came != b'\n':
            self.stop()
            self.log.seek(0)
            sys.exit('footprint: aliquotd did not start:\n' + self.log.read())

    def renderers(self):
        """Process ids of its children."""
        pid = self.process.pid
        return [int(p) for p in
                pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(START_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
        self.log.close()


def bench(*args):
    """One measurement by aliquot-bench."""
    result = subprocess.run([BENCH, *map(str, args)], capture_output=True, text=True,
                            timeout=START_TIMEOUT, check=False)
    if result.returncode != 0:
        sys.exit(f'footprint: {" ".join(map(str, args))}: {result.stderr.strip()}')
    return json.loads(result.stdout)


@contextlib.contextmanager
def idle_client(socket):
    """A vGPU that has drawn once and does nothing."""
    command = [BENCH, 'first-clear', '--socket', socket, '--hold']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as client:
        if not client.stdout.readline():
            sys.exit('footprint: no idle vGPU')
        yield client.pid
        client.stdin.close()


# ---- /proc --------------------------------------------------------------------------------------


def memory_mib(pid):
    """(RSS, PSS) of a process."""
    text = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text()
    return tuple(int(re.search(rf'^{key}:\s+(\d+) kB', text, re.M).group(1)) / 1024
                 for key in ('Rss', 'Pss'))


def cpu_seconds(pids):
    """What the processes' threads have run; the kernel counts in ns here, elsewhere in ticks."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
            total += int((task / 'schedstat').read_text().split()[0])
    return total / 1e9


def machine():
    cpu = re.search(r'^model name\s*:\s*(.*)$', pathlib.Path('/proc/cpuinfo').read_text(), re.M)
    return {
        'cpu': cpu.group(1) if cpu else platform.machine(),
        'cpus': len(os.sched_getaffinity(0)),
        'kernel': platform.release(),
        'gpu': 'software',
        'load': os.getloadavg()[0],
    }


# ---- figures ------------------------------------------------------------------------------------


def row(name, values, unit, digits=2, native=None, target=None, at_least=False):
    value = round(statistics.median(values), digits)
    if target is not None:
        target = round(target, digits)
    return {
        'name': name,
        'value': value,
        'unit': unit,
        'native': None if native is None else round(statistics.median(native), digits),
        'peer': None,
        'target': target,
        'meets': None if target is None else bool(value >= target if at_least else value <= target),
        'spread': [round(min(values), digits), round(max(values), digits)],
        'runs': len(values),
    }


def measure_idle(folder, runs, seconds):
    rss, pss, renderer_rss, renderer_pss, cpu = [], [], [], [], []
    with Daemon(folder, 'virgl') as daemon:
        for i in range(runs):
            with idle_client(daemon.socket):
                progress(f'idle vGPU {i + 1}/{runs}: {seconds:g} s')
                pids = [daemon.process.pid, *daemon.renderers()]
                before, start = cpu_seconds(pids), time.monotonic()
                time.sleep(seconds)
                used = cpu_seconds(pids) - before
                cpu.append(100 * used / (time.monotonic() - start))
                for pid in pids[1:]:
                    one_rss, one_pss = memory_mib(pid)
                    renderer_rss.append(one_rss)
                    renderer_pss.append(one_pss)
                one_rss, one_pss = memory_mib(daemon.process.pid)
                rss.append(one_rss)
                pss.append(one_pss)
    return [
        row('aliquotd RSS', rss, 'MiB', target=TARGET_DAEMON_RSS_MIB),
        row('aliquotd PSS', pss, 'MiB'),
        row('idle renderer RSS', renderer_rss, 'MiB', digits=1),
        row('idle renderer PSS', renderer_pss, 'MiB', digits=1),
        row('idle vGPU CPU', cpu, '%', digits=1, target=TARGET_IDLE_CPU_PERCENT),
    ]


def measure_first_clear(folder, runs):
    times = []
    with Daemon(folder, 'virgl') as daemon:
        bench('first-clear', '--socket', daemon.socket)  # libraries into the page cache
        for i in range(runs):
            progress(f'first clear {i + 1}/{runs}')
            times.append(bench('first-clear', '--socket', daemon.socket)['first_clear_ms'])
    return [row('connection to first completed clear', times, 'ms', digits=1,
                target=TARGET_FIRST_CLEAR_MS)]


def measure_ring(folder, runs, seconds, cpu):
    ring, pingpong = [], []
    with Daemon(folder, 'null', cpu) as daemon:
        for i in range(runs):
            progress(f'ring and ping-pong {i + 1}/{runs}, CPU {cpu}: {2 * seconds:g} s')
            ring.append(bench('ring', '--socket', daemon.socket, '--seconds', seconds,
                              '--pin', cpu)['per_s'])
            pingpong.append(bench('pingpong', '--seconds', seconds, '--pin', cpu)['per_s'])
    round_trips, pings = [1e6 / r for r in ring], [1e6 / p for p in pingpong]
    return [
        row('ring round trips, one CPU', ring, '1/s', digits=0, native=pingpong,
            target=statistics.median(pingpong) / TARGET_ROUND_TRIP, at_least=True),
        row('null command round trip, one CPU', round_trips, 'µs', native=pings,
            target=statistics.median(pings) * TARGET_ROUND_TRIP),
    ]


def print_table(rows):
    header = ('figure', 'value', 'spread', 'native', 'target', '')
    lines = [header]
    for r in rows:
        verdict = {None: '', True: 'met', False: 'MISSED'}[r['meets']]
        show = [f'{x:g}' if x is not None else '-' for x in (r['native'], r['target'])]
        lines.append((r['name'], f'{r["value"]:g} {r["unit"]}',
                      f'{r["spread"][0]:g} to {r["spread"][1]:g}', *show, verdict))
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        print('  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', metavar='FILE', help='where the figures go')
    parser.add_argument('--runs', type=int, default=5, help='of each measurement (5)')
    parser.add_argument('--seconds', type=float, default=1, help='of a ring measurement (1)')
    parser.add_argument('--idle', type=float, default=10, help='seconds of idling (10)')
    options = parser.parse_args()

    for program in (BENCH, ALIQUOTD, RENDERER):
        if not os.access(program, os.X_OK):
            sys.exit(f'footprint: {program} is missing; build first, or set ALIQUOT_BUILD')
    cpu = min(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix='aliquot-bench-') as top:
        top = pathlib.Path(top)
        rows = measure_ring(top / 'ring', options.runs, options.seconds, cpu)
        rows += measure_first_clear(top / 'clear', options.runs)
        # Idling is not noisy; three of ten seconds will do.
        rows += measure_idle(top / 'idle', min(options.runs, 3), options.idle)
    report = {'bench': 'footprint', 'machine': machine(), 'rows': rows}
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=2) + '\n',
                                              encoding='utf-8')
    print_table(rows)


if __name__ == '__main__':
    main()
