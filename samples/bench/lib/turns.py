# SPDX-License-Identifier: MIT
"""Columns that do the same one after the other: natively, through virgl_test_server, and on a vGPU
by vtest and by the shim. They take turns, so that ratios are of runs that follow each other."""

from lib.columns import NATIVE, PEER
from lib.environment import (Failed, native_environment, shim_environment,
                             vtest_environment)
from lib.report import missing_row, print_columns, print_table, progress, row

VTEST, OURS = 'vtest', 'shim'
COLUMNS = (NATIVE, PEER, VTEST, OURS)
ALIKE = {VTEST: 'vtest-alike', OURS: 'shim-alike'}  # the client set up as the peer's has to be

TARGET_VTEST_OF_PEER = 0.95


def environments(api, peer_socket, socket):
    """{column: environment}: virgl_test_server and a vGPU are at these sockets."""
    return {NATIVE: native_environment(api), PEER: vtest_environment(peer_socket, api),
            VTEST: vtest_environment(socket, api), OURS: shim_environment(socket, api)}


class Turns:
    """The environment of each column, which of them work for what, and what came of it."""

    def __init__(self, envs):
        self.envs = envs
        self.absent = {}   # (what, column), or (None, column) for all: why it can't be there
        self.notes = {}    # (what, column): why there is no figure although it should
        self.results = {}  # what: (unit, {column: [figure of each round]})

    @property
    def failed(self):
        return bool(self.notes)

    @property
    def columns(self):
        return tuple(self.envs)

    def set_up_alike(self, more):
        """Has Aliquot's columns measured once more, with that added to the environment."""
        self.envs |= {alike: self.envs[column] | more for column, alike in ALIKE.items()}

    def note(self, what, column):
        for key in ((None, column), (what, column)):
            if key in self.absent or key in self.notes:
                return self.absent.get(key) or self.notes[key]
        return None

    def _measures(self, what, column):
        alone = column in ALIKE.values() and self.note(what, PEER)
        return not alone and not self.note(what, column)

    def _round(self, what, turn, measure):
        """{column: figure}; each round begins with another column."""
        start = turn % len(self.columns)
        figures = {}
        for column in self.columns[start:] + self.columns[:start]:
            if not self._measures(what, column):
                continue
            try:
                figures[column] = measure(column, self.envs[column])
            except Failed as e:
                progress(f'{what}, {column}: {e}')
                self.notes[what, column] = str(e)
        return figures

    def rounds(self, what, pairs, unit, measure):
        """{column: [figure of each pair]}, for the columns that never failed; measure(column,
        environment) returns a figure."""
        done = []
        for turn in range(pairs):
            figures = self._round(what, turn, measure)
            done.append(figures)
            shown = ', '.join(f'{c} {figures[c]:.1f}' for c in self.columns if c in figures)
            progress(f'{what} {turn + 1}/{pairs}: {shown} {unit}')
        figures = {c: [f[c] for f in done] for c in self.columns if self._measures(what, c)}
        self.results[what] = unit, figures
        return figures

    def row(self, what, name, unit, column, series, base=None, **more):
        """As report.row(), of series, {column: figures}; base: the column that they are compared
        with, if with one."""
        if column not in series:
            return missing_row(f'{what}: {name}', unit, self.note(what, column) or
                               base and self.note(what, base) or 'nothing to compare with')
        return row(f'{what}: {name}', series[column], unit, native=series.get(NATIVE),
                   peer=series.get(PEER), **more)

    def compared_rows(self, what, target_of_native, target_of_peer):
        """Rows of what rounds() measured; more is better."""
        unit, figures = self.results[what]
        of_native, of_peer = divide(figures, NATIVE), divide(figures, PEER)
        targets = {OURS: target_of_peer, VTEST: TARGET_VTEST_OF_PEER}
        targets |= {alike: targets[c] for c, alike in ALIKE.items() if alike in self.envs}
        return [*(self.row(what, c, unit, c, figures, digits=1) for c in (OURS, VTEST)),
                self.row(what, f'{OURS}/{NATIVE}', '×', OURS, of_native, NATIVE, digits=3,
                         at_least=True, target=target_of_native),
                *(self.row(what, f'{c}/{PEER}', '×', c, of_peer, PEER, digits=3, at_least=True,
                           target=target) for c, target in targets.items())]

    def print_report(self, rows):
        """Medians of all columns, then the rows that these do not show, then who is absent."""
        if self.results:
            lines = [('medians', '', *self.columns)]
            for what, (unit, figures) in self.results.items():
                lines.append((what, unit, *(f'{row(what, figures[c], unit)["value"]:.5g}'
                                            if figures.get(c) else '-' for c in self.columns)))
            print_columns(lines)
            print()
        shown = {f'{what}: {column}' for what in self.results for column in (OURS, VTEST)}
        absent = set(self.absent.values())
        print_table([r for r in rows if r['name'] not in shown and r.get('note') not in absent])
        for column, note in dict.fromkeys((c, n) for (_, c), n in self.absent.items()):
            whats = [what for (what, c), n in self.absent.items() if (c, n) == (column, note)]
            of = '' if None in whats else f' for {", ".join(whats)}'
            print(f'{column} not measured{of}: {note}')


def divide(figures, base):
    """Pair by pair: {column: [ratio to the base]}; nothing without the base."""
    if base not in figures:
        return {}
    return {c: [x / b for x, b in zip(figures[c], figures[base])] for c in figures}
