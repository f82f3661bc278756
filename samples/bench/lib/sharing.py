# SPDX-License-Identifier: MIT
"""What the benchmarks of sharing have in common: options, both places, rounds, the report."""

import argparse
import contextlib
import pathlib
import signal
import sys
import tempfile

from lib.api import GL
from lib.columns import ALIQUOT, ASKED_FOR, COLUMNS, EARLY, NATIVE, OURS, PEER, VTEST
from lib.daemon import ALIQUOTD, RENDERER, require
from lib.environment import SHIM, Failed
from lib.peer import require_peer
from lib.place import (ANYWHERE, PLACES, RIG, UNINTERRUPTED, before_other_sessions,
                       real_time_unlimited, rig_place)
from lib.report import machine, missing_row, print_table, progress, row, write_json

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Series:
    """Rounds of all columns for one scene: {column: [figures]}, or why there are none."""

    def __init__(self):
        self.figures = {}  # {column: [{figure: value} of each run]}
        self.notes = {}    # {column: why it failed}

    def of(self, column, figure):
        """The values of a figure; None if the column has none."""
        if column in self.notes or column not in self.figures:
            return None
        values = [f[figure] for f in self.figures[column]]
        return None if None in values else values

    def row(self, name, unit, figure, column=OURS, **more):
        """As report.row(), with native and the peer beside our column."""
        values = self.of(column, figure)
        if values is None:
            return missing_row(name, unit, self.notes.get(column, 'nobody counts that'))
        if column == OURS:
            more = {'native': self.of(NATIVE, figure), 'peer': self.of(PEER, figure)} | more
        return row(name, values, unit, **more)


class Rounds:
    """Measures columns in turns, and remembers whether one failed."""

    def __init__(self, columns, runs):
        self.columns = columns
        self._runs = runs
        self.failed = False

    def series(self, what, measure, columns=None):
        """measure(column's name, column) returns {figure: value}."""
        names = list(columns or self.columns)
        series = Series()
        for turn in range(self._runs):
            for name in names[turn % len(names):] + names[:turn % len(names)]:
                if name in series.notes:
                    continue
                try:
                    figures = measure(name, self.columns[name])
                except Failed as e:
                    progress(f'{what}, {name}: {e}')
                    series.notes[name] = str(e)
                    self.failed = True
                    continue
                series.figures.setdefault(name, []).append(figures)
                shown = ', '.join(f'{k} {v:.2f}' for k, v in figures.items() if v is not None)
                progress(f'{what} {turn + 1}/{self._runs}, {name}: {shown}')
        return series


def add_options(text, seconds, runs, quick_seconds, scenes=None, columns=COLUMNS, vms=False):
    """A parser of the common ones, for parse_options()."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument('--json', metavar='FILE', help='where the figures go')
    parser.add_argument('--seconds', type=float, help=f'of each run ({seconds:g})')
    parser.add_argument('--runs', type=int, help=f'how often each runs ({runs})')
    parser.add_argument('--place', nargs='+', choices=PLACES, default=PLACES,
                        help='plain: what draws runs as any program; rig: on a processor of its '
                             'own that does not preempt it (both)')
    if columns:
        parser.add_argument('--column', nargs='+', choices=(*columns, *ASKED_FOR), default=columns,
                            help=f'only these; {EARLY}: aliquotd hands over early; {VTEST}: its '
                                 'clients come over vtest')
    if scenes:
        parser.add_argument('--scene', nargs='+', choices=scenes, default=scenes,
                            help='only these')
    if vms:
        parser.add_argument('--vms', action='store_true',
                            help='clients in stock guests, too; some minutes more a place')
    parser.add_argument('--quick', action='store_true',
                        help=f'1 run of {quick_seconds:g} s: to see that it works, not for '
                             'figures')
    parser.set_defaults(usual=(seconds, runs), usual_quick=(quick_seconds, 1))
    return parser


def parse_options(parser):
    options = parser.parse_args()
    seconds, runs = options.usual_quick if options.quick else options.usual
    if options.seconds is None:
        options.seconds = seconds
    if options.runs is None:
        options.runs = runs
    if not 0 < options.seconds <= 3600 or options.runs < 1:
        parser.error('--seconds must be in 0 … 3600, --runs at least 1')
    return options


def with_guests(options, rows, failed, measure):
    """What measure() of a benchmark returns, with the rows of its guests if they are asked for."""
    if not options.vms:
        return rows, failed
    try:
        guest_rows, guests_failed = measure()
    except Failed as e:
        progress(e)
        return rows, True
    return rows + guest_rows, failed or guests_failed


@contextlib.contextmanager
def open_place(name):
    """Yields (place, None), or (None, why there is none)."""
    if name != RIG:
        yield UNINTERRUPTED if name == UNINTERRUPTED.name else ANYWHERE, None
        return
    place, why = rig_place()
    if not place:
        yield None, why
        return
    with real_time_unlimited() as unlimited:
        if not unlimited:
            progress('real-time processes stay throttled: the rig has pauses of 50 ms a second')
        yield place, None


def measure_places(options, measure):
    """Rows of all places, whether all ran, and {place: why it is missing}."""
    rows, good, missing = [], True, {}
    # Who only wants to see that it works lets others work, too.
    first = contextlib.nullcontext() if options.quick else before_other_sessions()
    with tempfile.TemporaryDirectory(prefix='aliquot-bench-') as folder, first:
        for name in options.place:
            with open_place(name) as (place, why):
                if place is None:
                    progress(f'no {name}: {why}')
                    missing[name] = why
                    continue
                place_folder = pathlib.Path(folder) / name
                place_folder.mkdir()
                place_rows, failed = measure(options, place, place_folder)
                rows += place_rows
                good = good and not failed
    return rows, good, missing


def end_once(number, frame):
    """Another signal must not end the cleaning up after the first."""
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def run_benchmark(bench, options, measure):
    """measure(options, place, folder) returns rows, and whether something failed. Exits: 1 only if
    something did not run; a missed target is a result."""
    require(GL.load, SHIM, ALIQUOT, ALIQUOTD, RENDERER)
    require_peer()
    # Finally-blocks stop what was started, and put back what was set.
    for number in ENDING:
        signal.signal(number, end_once)
    before = machine()
    rows, good, missing = measure_places(options, measure)
    if options.json:
        write_json(options.json, bench, rows, load_before=before['load'], missing_places=missing)
    print_table(rows)
    for name, why in missing.items():
        print(f'{name} not measured: {why}')
    sys.exit(0 if good else 1)
