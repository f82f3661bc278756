# SPDX-License-Identifier: MIT
"""OpenGL workloads natively, with virgl_test_server, and on a vGPU through vtest and the shim.

usage: gl.py [--json FILE] [--seconds S] [--pairs N] [--workload W...] [--quick]

All on the software GPU: an aliquotd and a virgl_test_server of its own in a temporary folder. The
columns take turns, workload by workload, so that ratios are of runs that follow each other.
"Spread" is the smallest and the largest. A missed target is a result; the exit status is 1 only
if something did not run.
"""

import argparse
import contextlib
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

from lib.daemon import ALIQUOTD, BUILD, RENDERER, Daemon, require
from lib.environment import (SHIM, Failed, base_environment, check_renderer, native_environment,
                             shim_environment, vtest_environment)
from lib.peer import require_peer, virgl_test_server
from lib.report import machine, missing_row, print_columns, print_table, progress, row, write_json

GL_BENCH = BUILD / 'samples/gl-bench'
GL_TRIANGLE = BUILD / 'samples/gl-triangle'

NATIVE, PEER, VTEST, OURS = 'native', 'virgl_test_server', 'vtest', 'shim'
COLUMNS = (NATIVE, PEER, VTEST, OURS)

RUN_TIMEOUT = 60  # seconds on top of what a run measures
PROBE_SECONDS = 0.02
SETTLE_SECONDS = 0.1  # the renderer of the run before ends meanwhile

# Where the GPU is the limit, sharing must not be seen.
TARGET_OF_NATIVE = {'fill': 0.98, 'draws-uniforms': 0.98}
TARGET_OF_PEER = {'bare-draws': 1.2, 'clear-finish': 1.2, 'readback': 2, 'upload': 1.1,
                  'stream': 1.3, 'subdata': 5}
TARGET_OF_PEER_ELSEWHERE = 1.0
TARGET_VTEST_OF_PEER = 0.95
TARGET_FIRST_FRAME_MS = 120  # on top of native's


# ---- columns ------------------------------------------------------------------------------------


def environment(column, peer_socket, socket):
    return {NATIVE: native_environment(), PEER: vtest_environment(peer_socket),
            VTEST: vtest_environment(socket), OURS: shim_environment(socket)}[column]


# ---- runs ---------------------------------------------------------------------------------------


def frames_per_second(column, env, workload, seconds):
    time.sleep(SETTLE_SECONDS)
    try:
        result = subprocess.run([GL_BENCH, '--workload', workload, '--seconds', str(seconds)],
                                capture_output=True, text=True, errors='replace', check=False,
                                env=env, stdin=subprocess.DEVNULL,
                                timeout=RUN_TIMEOUT + 2 * seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f'{workload} does not end') from None
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ['nothing said'])[-1]
        raise Failed(f'{workload} ended with status {result.returncode}: {last}')
    check_renderer(column == NATIVE, result.stdout)
    fps = float(re.search(r'([\d.]+) fps', result.stdout).group(1))
    if fps <= 0:
        raise Failed(f'{workload} drew no frame')
    return fps


def first_frame_ms(column, env):
    """From before the start of a process to when it says that its only frame is complete."""
    time.sleep(SETTLE_SECONDS)
    start = time.monotonic()
    command = [GL_TRIANGLE, '--platform', 'surfaceless', '--size', '512x512', '--frames', '1']
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        try:
            said = b''
            while b'frames,' not in said:
                left = start + RUN_TIMEOUT - time.monotonic()
                ready = select.select([process.stdout], [], [], max(left, 0))[0]
                data = os.read(process.stdout.fileno(), 4096) if ready else b''
                if not data:
                    raise Failed('no first frame')
                said += data
            elapsed = time.monotonic() - start
            process.wait(RUN_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failed('gl-triangle does not end') from None
        finally:
            process.kill()  # nothing to do if it has ended
    check_renderer(column == NATIVE, said.decode(errors='replace'))
    return elapsed * 1000


class Rig:
    """The columns, which of them work, and what failed."""

    def __init__(self, envs):
        self.envs = envs
        self.notes = {}  # (what, column): why there is no figure
        self.failed = False

    def probe(self):
        """Ends the benchmark if a column does not work, except vtest, which may not be there."""
        for column in COLUMNS:
            try:
                frames_per_second(column, self.envs[column], 'clear-finish', PROBE_SECONDS)
            except Failed as e:
                if column != VTEST:
                    sys.exit(f'gl: {column} does not work: {e}')
                progress(f'the renderer does not serve vtest: {e}')
                del self.envs[VTEST]
                self.notes[None, VTEST] = f'the renderer does not serve vtest: {e}'

    def note(self, what, column):
        return self.notes.get((None, column)) or self.notes.get((what, column))

    def round(self, what, turn, measure):
        """{column: figure}; each round begins with another column."""
        order = COLUMNS[turn % len(COLUMNS):] + COLUMNS[:turn % len(COLUMNS)]
        figures = {}
        for column in order:
            if self.note(what, column):
                continue
            try:
                figures[column] = measure(column, self.envs[column])
            except Failed as e:
                progress(f'{what}, {column}: {e}')
                self.notes[what, column] = str(e)
                self.failed = True
        return figures

    def rounds(self, what, pairs, unit, measure):
        """{column: [figure of each pair]}, for the columns that never failed."""
        done = []
        for turn in range(pairs):
            figures = self.round(what, turn, measure)
            done.append(figures)
            shown = ', '.join(f'{c} {figures[c]:.1f}' for c in COLUMNS if c in figures)
            progress(f'{what} {turn + 1}/{pairs}: {shown} {unit}')
        return {c: [f[c] for f in done] for c in COLUMNS if not self.note(what, c)}


# ---- figures ------------------------------------------------------------------------------------


def divide(figures, base):
    """Pair by pair: {column: [ratio to the base]}."""
    return {c: [x / b for x, b in zip(figures[c], figures[base])] for c in figures}


def workload_rows(rig, name, figures):
    def one(title, unit, column, series, **more):
        if column not in series:
            return missing_row(title, unit, rig.note(name, column) or 'nothing to compare with')
        return row(title, series[column], unit, native=series.get(NATIVE), peer=series.get(PEER),
                   **more)

    of_native = divide(figures, NATIVE) if NATIVE in figures else {}
    of_peer = divide(figures, PEER) if PEER in figures else {}
    rows = [one(f'{name}: {c}', 'fps', c, figures, digits=1) for c in (OURS, VTEST)]
    rows += [one(f'{name}: {OURS}/{NATIVE}', '×', OURS, of_native, digits=3, at_least=True,
                 target=TARGET_OF_NATIVE.get(name)),
             one(f'{name}: {OURS}/{PEER}', '×', OURS, of_peer, digits=3, at_least=True,
                 target=TARGET_OF_PEER.get(name, TARGET_OF_PEER_ELSEWHERE)),
             one(f'{name}: {VTEST}/{PEER}', '×', VTEST, of_peer, digits=3, at_least=True,
                 target=TARGET_VTEST_OF_PEER)]
    return rows


def first_frame_rows(rig, what, figures):
    rows = []
    for column in (OURS, VTEST):
        if column not in figures or NATIVE not in figures:
            note = rig.note(what, column) or 'nothing to compare with'
            rows += [missing_row(f'{what}: {column}', 'ms', note),
                     missing_row(f'{what}: {column} minus native', 'ms', note)]
            continue
        later = {c: [x - n for x, n in zip(figures[c], figures[NATIVE])] for c in figures}
        rows += [row(f'{what}: {column}', figures[column], 'ms', digits=1,
                     native=figures[NATIVE], peer=figures.get(PEER)),
                 row(f'{what}: {column} minus native', later[column], 'ms', digits=1,
                     native=later[NATIVE], peer=later.get(PEER),
                     target=TARGET_FIRST_FRAME_MS if column == OURS else None)]
    return rows


def print_report(rig, results, rows):
    """Frames a second of all columns, then the ratios."""
    lines = [('fps, medians', *COLUMNS)]
    for name, figures in results.items():
        lines.append((name, *(f'{row(name, figures[c], "fps")["value"]:.0f}' if c in figures
                              else '-' for c in COLUMNS)))
    print_columns(lines)
    print()
    absent = {note for (what, _), note in rig.notes.items() if what is None}
    print_table([r for r in rows if r['unit'] != 'fps' and r.get('note') not in absent])
    for note in absent:
        print(f'{VTEST} not measured: {note}')


# ---- command line -------------------------------------------------------------------------------


def known_workloads():
    listing = subprocess.run([GL_BENCH, '--workload', 'list'], capture_output=True, text=True,
                             check=True, timeout=RUN_TIMEOUT)
    return [line.split()[0] for line in listing.stdout.splitlines()]


def parse_options(workloads):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', metavar='FILE', help='where the figures go')
    parser.add_argument('--seconds', type=float, help='of each run (0.5)')
    parser.add_argument('--pairs', type=int, help='how often each column runs (5)')
    parser.add_argument('--workload', nargs='+', metavar='W', choices=workloads,
                        default=workloads, help=f'only these, of {", ".join(workloads)}')
    parser.add_argument('--quick', action='store_true',
                        help='1 pair of 0.05 s: to see that it works, not for figures')
    options = parser.parse_args()
    if options.seconds is None:
        options.seconds = 0.05 if options.quick else 0.5
    if options.pairs is None:
        options.pairs = 1 if options.quick else 5
    if not 0 < options.seconds <= 3600 or options.pairs < 1:
        parser.error('--seconds must be in 0 … 3600, --pairs at least 1')
    return options


def measure(options, folder):
    """The rig, and {workload: {column: [fps]}}, {column: [ms]}."""
    with contextlib.ExitStack() as stack:
        peer_socket = stack.enter_context(virgl_test_server(folder))
        daemon = stack.enter_context(Daemon(folder / 'aliquot', 'virgl', env=base_environment()))
        rig = Rig({c: environment(c, peer_socket, daemon.socket) for c in COLUMNS})
        rig.probe()  # brings the libraries into the page cache, too
        first_frame = rig.rounds('first frame', options.pairs, 'ms', first_frame_ms)
        results = {}
        for name in options.workload:
            results[name] = rig.rounds(
                name, options.pairs, 'fps',
                lambda column, env: frames_per_second(column, env, name, options.seconds))
        return rig, results, first_frame


def main():
    require(GL_BENCH, GL_TRIANGLE, SHIM, ALIQUOTD, RENDERER)
    require_peer()
    options = parse_options(known_workloads())
    # Finally-blocks stop what was started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    before = machine()
    runs = options.pairs * len(options.workload) * len(COLUMNS)
    progress(f'{runs} runs of {options.seconds:g} s, about '
             f'{runs * (1.2 * options.seconds + 0.5):.0f} s; load {before["load"]:.1f}')
    try:
        with tempfile.TemporaryDirectory(prefix='aliquot-bench-') as folder:
            rig, results, first_frame = measure(options, pathlib.Path(folder))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    rows = [r for name, figures in results.items() for r in workload_rows(rig, name, figures)]
    rows += first_frame_rows(rig, 'first frame', first_frame)
    if options.json:
        write_json(options.json, 'gl', rows, load_before=before['load'])
    print_report(rig, results, rows)
    sys.exit(1 if rig.failed else 0)


if __name__ == '__main__':
    main()
