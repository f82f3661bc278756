# SPDX-License-Identifier: MIT
"""What 1 to 64 saturating vGPUs get done together, and what sharing itself costs.

usage: scale.py [--json FILE] [--seconds S] [--runs N] [--place plain|rig] [--column C...]
                [--vgpus N...] [--quick]

Frames of all clients a second, parts of frames counted, against those of one client in the same
column; the processor time of aliquotd meanwhile; one vGPU with and without a gate before the GPU;
and the price of the scheduler's pick (./run bench sched has more of that). A missed target is a
result; the exit status is 1 only if something did not run.
"""

import json
import subprocess

from lib import shares
from lib.columns import NATIVE, OURS, PEER, open_columns, ours
from lib.daemon import BUILD, require
from lib.environment import Failed
from lib.load import Frame, Load, calibrate, draw_together, sleep_until
from lib.processor import threads_ns
from lib.report import missing_row, progress, row
from lib.sharing import Rounds, add_options, parse_options, run_benchmark

SCHED_BENCH = BUILD / 'samples/sched-bench'

FRAME = Frame(12.6, 10)
SMALL = Frame(1.3)
VGPUS = (1, 2, 4, 8, 16, 32, 64)

TARGET_OF_ONE = 0.97
TARGET_DAEMON_CPU_PERCENT = 2  # with the most vGPUs
TARGET_GATE_PERCENT = 1
TARGET_PICK_NS = 500
PICK_VGPUS = 10_000
GATE_PAIRS = 5
PICK_TIMEOUT = 120  # seconds


def frames_per_second(drawn):
    """Of all clients."""
    from_ns, to_ns = drawn[0].report['from_ns'], drawn[0].report['to_ns']
    frames = sum(shares.Progress(d.spans).between(from_ns, to_ns) for d in drawn)
    return frames / (to_ns - from_ns) * 1e9


# ---- many vGPUs ---------------------------------------------------------------------------------


def run_number(options, folder, number, load, name, column):
    """(frames a second, % of a processor that aliquotd used)."""
    used_ns = []

    def read_cpu(from_ns, to_ns):
        for time_ns in (from_ns, to_ns):
            sleep_until(time_ns)
            used_ns.append(threads_ns(column.daemon.process.pid))

    drawn = draw_together(column, [load] * number, folder, options.seconds,
                          during=read_cpu if name == OURS else None)
    percent = (used_ns[1] - used_ns[0]) / options.seconds / 1e7 if used_ns else None
    return frames_per_second(drawn), percent


def run_numbers(options, place, folder, load, name, column):
    """The figures of one run of a column: all numbers of clients."""
    figures = {}
    for number in options.vgpus:
        fps, cpu = run_number(options, folder, number, load, name, column)
        figures |= {f'fps {number}': fps, f'cpu {number}': cpu,
                    f'of one {number}': fps / figures.get(f'fps {options.vgpus[0]}', fps)}
        progress(f'{place.name}, {name}: {number}: {fps:.2f} fps')
    return figures


def number_rows(options, place, series):
    rows = []
    for number in options.vgpus:
        title = f'{place.name}: {number} vGPUs'
        rows.append(series.row(f'{title}: frames of all', 'fps', f'fps {number}'))
        if number > options.vgpus[0]:
            rows.append(series.row(f'{title}: throughput of {options.vgpus[0]}', '×',
                                   f'of one {number}', digits=3, target=TARGET_OF_ONE,
                                   at_least=True))
        last = number == options.vgpus[-1]
        rows.append(series.row(f'{title}: aliquotd', '% CPU', f'cpu {number}',
                               target=TARGET_DAEMON_CPU_PERCENT if last else None))
    return rows


# ---- the gate -----------------------------------------------------------------------------------


def gate_rows(options, place, folder, works):
    """One vGPU, fair against exclusive; and whether something failed."""
    names = {kind: f'{place.name}: cost of the gate, {kind}' for kind in works}
    rows, failed = [], False
    for kind, load in works.items():
        costs = []
        try:
            for turn in range(1 if options.quick else GATE_PAIRS):
                fps = {}
                for policy in ('fair', 'exclusive')[::-1 if turn % 2 else 1]:
                    with ours(place, folder, policy) as column:
                        fps[policy] = frames_per_second(
                            draw_together(column, [load], folder, options.seconds))
                costs.append(100 * (1 - fps['fair'] / fps['exclusive']))
                progress(f'{names[kind]} {turn + 1}: {costs[-1]:.2f} %')
        except Failed as e:
            progress(f'{names[kind]}: {e}')
            rows.append(missing_row(names[kind], '%', str(e)))
            failed = True
            continue
        rows.append(row(names[kind], costs, '%', target=TARGET_GATE_PERCENT))
    return rows, failed


# ---- the pick -----------------------------------------------------------------------------------


def pick_rows(options):
    name = f'pick, {PICK_VGPUS} vGPUs'
    values = []
    for _ in range(options.runs):
        result = subprocess.run([SCHED_BENCH, str(PICK_VGPUS)], capture_output=True, text=True,
                                check=False, timeout=PICK_TIMEOUT)
        if result.returncode != 0:
            return [missing_row(name, 'ns', result.stderr.strip())], True
        values.append(json.loads(result.stdout)['pick_ns'])
    return [row(name, values, 'ns', digits=0, target=TARGET_PICK_NS)], False


def measure(options, place, folder):
    with open_columns(place, folder, options.column) as columns:
        native = columns.get(NATIVE) or next(iter(columns.values()))
        frame = Load(FRAME, calibrate(native, folder, FRAME))
        small = Load(SMALL, calibrate(native, folder, SMALL))
        rounds = Rounds(columns, options.runs)
        series = rounds.series(
            place.name,
            lambda name, column: run_numbers(options, place, folder, frame, name, column))
        rows = number_rows(options, place, series)
    more, failed = gate_rows(options, place, folder, {'frames of 12.6 ms': frame,
                                                      'frames of 1.3 ms': small})
    rows += more
    if place.name == options.place[0]:
        more, pick_failed = pick_rows(options)
        rows += more
        failed = failed or pick_failed
    return rows, failed or rounds.failed


def main():
    require(SCHED_BENCH)
    parser = add_options(__doc__, seconds=5, runs=3, quick_seconds=0.15,
                         columns=(NATIVE, PEER, OURS))
    parser.add_argument('--vgpus', nargs='+', type=int, metavar='N', default=VGPUS,
                        help=f'how many at once ({" ".join(map(str, VGPUS))})')
    options = parse_options(parser)
    if min(options.vgpus) < 1:
        parser.error('--vgpus must be 1 or more')
    options.vgpus = sorted(set(options.vgpus))
    run_benchmark('scale', options, measure)


if __name__ == '__main__':
    main()
