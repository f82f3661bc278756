# SPDX-License-Identifier: MIT
"""What it costs to give the GPU from one vGPU to the next.

usage: handoff.py [--json FILE] [--seconds S] [--runs N] [--place plain|rig] [--scene S...]
                  [--column C...] [--quick]

From the end of a slice to the next vGPU's first submission, and how long nobody had work on the GPU
while all wanted it: both as aliquotd counts them. The yardstick is a ping-pong over a socket
between two processors: a handoff, too, wakes two processes, one after the other. A missed target is
a result; the exit status is 1 only if something did not run.
"""

import dataclasses
import json
import os
import statistics
import subprocess

from lib import shares
from lib.columns import EARLY, NATIVE, OURS, open_columns
from lib.daemon import BUILD, require
from lib.control import Histogram
from lib.environment import Failed
from lib.load import Frame, Load, calibrate, draw_together, sleep_until
from lib.sharing import Rounds, add_options, parse_options, run_benchmark

BENCH = BUILD / 'samples/aliquot-bench'

HOG = Frame(126, 100)
SLICE = '4ms'
SCENES = {'2-hogs': 2, '8-hogs': 8}

TARGET_HANDOFF = 1.5  # times the ping-pong
TARGET_IDLE_PERCENT = 2
PINGPONG_SECONDS = 0.5
TIMEOUT = 60  # seconds


def pingpong_us(options, place):
    """Median of a round trip between the processors that aliquotd and what draws run on."""
    cpus = sorted(os.sched_getaffinity(0))
    result = subprocess.run(
        [*place.gpu_command, BENCH, 'pingpong', '--pin', str(cpus[-1]), '--pin-other',
         str(cpus[0]), '--seconds', str(min(PINGPONG_SECONDS, options.seconds))],
        capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if result.returncode != 0:
        raise Failed(f'pingpong: {result.stderr.strip()}')
    return json.loads(result.stdout)['p50_us']


def run_scene(options, place, folder, loads, column):
    totals = []

    def read_totals(from_ns, to_ns):
        for time_ns in (from_ns, to_ns):
            sleep_until(time_ns)
            totals.append(column.control.totals())

    yardstick_us = pingpong_us(options, place)
    drawn = draw_together(column, loads, folder, options.seconds, during=read_totals)
    before, after = totals
    handoffs = Histogram(before['handoffs'], after['handoffs'])
    elapsed_us = after['elapsedUsec'] - before['elapsedUsec']
    busy_us = after['busyUsec'] - before['busyUsec']
    return {'pingpong': yardstick_us,
            'p50': handoffs.percentile_us(0.5),
            'p99': handoffs.percentile_us(0.99),
            'frames': sum(shares.Progress(d.spans).between(d.report['from_ns'], d.report['to_ns'])
                          for d in drawn) / options.seconds,
            'idle': 100 * (1 - busy_us / elapsed_us),
            'rate': handoffs.count / elapsed_us * 1e6}


def scene_rows(place, scene, series, column):
    title = f'{place.name}: {scene}' + (f', {column}' if column != OURS else '')
    yardstick = series.of(column, 'pingpong')
    target = TARGET_HANDOFF * statistics.median(yardstick) if yardstick else None
    return [series.row(f'{title}: handoff p50', 'µs', 'p50', column, digits=1, native=yardstick,
                       target=target),
            series.row(f'{title}: handoff p99', 'µs', 'p99', column, digits=1),
            series.row(f'{title}: GPU idle', '%', 'idle', column, target=TARGET_IDLE_PERCENT),
            series.row(f'{title}: handoffs', '1/s', 'rate', column, digits=1),
            series.row(f'{title}: frames of all', '1/s', 'frames', column)]


def measure(options, place, folder):
    rows = []
    with open_columns(place, folder, (NATIVE, *options.column)) as columns:
        hog = dataclasses.replace(HOG, ms=HOG.ms / 10) if options.quick else HOG
        load = Load(hog, calibrate(columns[NATIVE], folder, hog), knobs=('--slice', SLICE))
        rounds = Rounds(columns, options.runs)
        for scene in options.scene:
            series = rounds.series(
                f'{place.name}, {scene}',
                lambda name, column: run_scene(options, place, folder, [load] * SCENES[scene],
                                               column), options.column)
            for column in options.column:
                rows += scene_rows(place, scene, series, column)
    return rows, rounds.failed


def main():
    require(BENCH)
    options = parse_options(add_options(__doc__, seconds=10, runs=3, quick_seconds=0.15,
                                        scenes=list(SCENES), columns=(OURS,)))
    run_benchmark('handoff', options, measure)


if __name__ == '__main__':
    main()
