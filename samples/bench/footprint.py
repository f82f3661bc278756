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
import re
import statistics
import subprocess
import sys
import tempfile
import time

from lib.daemon import ALIQUOTD, BUILD, RENDERER, START_TIMEOUT, Daemon, require
from lib.report import print_table, progress, row, write_json

BENCH = BUILD / 'samples/aliquot-bench'

TARGET_DAEMON_RSS_MIB = 10
TARGET_IDLE_CPU_PERCENT = 0.0
TARGET_FIRST_CLEAR_MS = 150
TARGET_ROUND_TRIP = 1.5  # times a socket ping-pong


# ---- processes ----------------------------------------------------------------------------------


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


# ---- figures ------------------------------------------------------------------------------------


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', metavar='FILE', help='where the figures go')
    parser.add_argument('--runs', type=int, default=5, help='of each measurement (5)')
    parser.add_argument('--seconds', type=float, default=1, help='of a ring measurement (1)')
    parser.add_argument('--idle', type=float, default=10, help='seconds of idling (10)')
    options = parser.parse_args()

    require(BENCH, ALIQUOTD, RENDERER)
    cpu = min(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix='aliquot-bench-') as top:
        top = pathlib.Path(top)
        rows = measure_ring(top / 'ring', options.runs, options.seconds, cpu)
        rows += measure_first_clear(top / 'clear', options.runs)
        # Idling is not noisy; three of ten seconds will do.
        rows += measure_idle(top / 'idle', min(options.runs, 3), options.idle)
    if options.json:
        write_json(options.json, 'footprint', rows)
    print_table(rows)


if __name__ == '__main__':
    main()
