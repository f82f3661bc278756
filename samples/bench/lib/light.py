# SPDX-License-Identifier: MIT
"""A light client's frames at 60 Hz, alone and beside clients that saturate the GPU. All have the
same weight. A frame counts from when it was due to when it is complete; one that would be due
before the last one's end is left out.
"""

import dataclasses
import statistics

from lib.columns import ASKED_FOR, NATIVE, OURS, PEER, SERVERS
from lib.load import Load, calibrate, draw_together
from lib.place import PLAIN, RIG

RATE_HZ = 60
SLICE_MS = 4
PIECE_MS = 10  # a slice ends in time if the hogs' pieces are no longer

TARGET_FPS = {PLAIN: 59.5, RIG: 59}

FIGURES = (('fps', 'fps', 1), ('p50_ms', 'ms', 2), ('p99_ms', 'ms', 2), ('max_ms', 'ms', 2),
           ('missed', '%', 1))


def calibrate_frames(light, scenes, folder, column, quick):
    """Load of each frame. In a quick run the hogs' are short."""
    hogs = {frame for hogs in scenes.values() for frame in hogs}
    loads = {f: Load(f, calibrate(column, folder,
                                  dataclasses.replace(f, ms=f.ms / 10) if quick else f))
             for f in hogs}
    return loads | {light: Load(light, calibrate(column, folder, light), rate=RATE_HZ)}


def run_scene(loads, folder, seconds, column):
    """The figures of the first."""
    report = draw_together(column, loads, folder, seconds)[0].report
    return {figure: report[figure] for figure, _, _ in FIGURES} | {
        'missed': 100 * (1 - (report['frames'] - report['missed']) / RATE_HZ / seconds)}


def targets(place, hogs, series, alone):
    """{figure: target}."""
    if place.name == PLAIN:
        peer = series.of(PEER, 'p99_ms')
        return {'fps': TARGET_FPS[PLAIN]} | ({'p99_ms': statistics.median(peer)} if peer else {})
    if not hogs:
        return {'fps': TARGET_FPS[RIG]}
    longest_ms = max(hog.piece_ms for hog in hogs)
    if longest_ms > PIECE_MS:
        return {}
    ours = alone and alone.of(OURS, 'p99_ms')
    p99_ms = ours and statistics.median(ours) + SLICE_MS + longest_ms
    return {'fps': TARGET_FPS[RIG]} | ({'p99_ms': p99_ms} if p99_ms else {})


def scene_rows(title, series, target, columns):
    rows = []
    for figure, unit, digits in FIGURES:
        shown = {'missed': 'frames missed or late'}.get(figure, figure.removesuffix('_ms'))
        rows.append(series.row(f'{title}: {shown}', unit, figure, digits=digits,
                               target=target.get(figure), at_least=figure == 'fps'))
        for column in (SERVERS, *ASKED_FOR):
            if column in columns and figure in ('fps', 'p99_ms'):
                rows.append(series.row(f'{title}: {shown}, {column}', unit, figure, column=column,
                                       digits=digits))
    return rows


def measure_scenes(light, scenes, rounds, place, folder, seconds, quick, compared=None):
    """Rows of {scene: [Frame of each hog]} beside a client with that light frame; compared: names
    of columns, by default all that rounds has."""
    columns = list(compared or rounds.columns)
    native = rounds.columns.get(NATIVE) or next(iter(rounds.columns.values()))
    loads = calibrate_frames(light, scenes, folder, native, quick)
    rows, alone = [], None
    # What the others are compared with comes first.
    for scene, hogs in sorted(scenes.items(), key=lambda item: bool(item[1])):
        series = rounds.series(
            f'{place.name}, {scene}',
            lambda name, column: run_scene([loads[f] for f in [light, *hogs]], folder, seconds,
                                           column), columns)
        if not hogs:
            alone = series
        rows += scene_rows(f'{place.name}: {scene}', series,
                           targets(place, hogs, series, alone), columns)
    return rows
