# SPDX-License-Identifier: MIT
"""Frame times of a light client alone, and beside clients that saturate the GPU.

usage: latency.py [--json FILE] [--seconds S] [--runs N] [--place plain|rig] [--scene S...]
                  [--column C...] [--quick]

The light one draws 60 small frames a second; all have the same weight. A frame counts from when it
was due to when it is complete; one that would be due before the last one's end is left out. A
missed target is a result; the exit status is 1 only if something did not run.
"""

import statistics

from lib.columns import EARLY, NATIVE, OURS, PEER, SERVERS, open_columns
from lib.load import Load, calibrate, draw_together
from lib.place import PLAIN, RIG
from lib.sharing import Rounds, add_options, parse_options, run_benchmark

LIGHT_MS, LIGHT_HZ = 1.3, 60
HOG_MS, HOG_DRAWS = 126, 100

# {scene: (hogs, draws of a hog's frame)}
ALONE = 'alone'
SCENES = {
    ALONE: (0, 1),
    'hog': (1, HOG_DRAWS),
    'hog-in-one-draw': (1, 1),
    '4-hogs': (4, HOG_DRAWS),
}
IN_PIECES = ('hog', '4-hogs')  # where a slice can end in time

TARGET_FPS = {PLAIN: 59.5, RIG: 59}
SLICE_MS = 4

FIGURES = (('fps', 'fps', 1), ('p50_ms', 'ms', 2), ('p99_ms', 'ms', 2), ('max_ms', 'ms', 2),
           ('missed', '%', 1))


def calibrate_frames(options, folder, column):
    """{draws: work} of a hog's frame, and the work of the light one's."""
    hog_ms = HOG_MS / 10 if options.quick else HOG_MS
    hogs = {draws: calibrate(column, folder, hog_ms, draws)
            for draws in sorted({d for n, d in map(SCENES.get, options.scene) if n})}
    return hogs, calibrate(column, folder, LIGHT_MS, 1)


def run_scene(options, folder, scene, hogs, light, column):
    number, draws = SCENES[scene]
    loads = [Load(light, rate=LIGHT_HZ)]
    loads += [Load(hogs[draws], draws) for _ in range(number)]
    report = draw_together(column, loads, folder, options.seconds)[0].report
    return {figure: report[figure] for figure, _, _ in FIGURES} | {
        'missed': 100 * (1 - (report['frames'] - report['missed']) / LIGHT_HZ / options.seconds)}


def targets(place, scene, series, alone):
    """{figure: target}."""
    if place.name == PLAIN:
        peer = series.of(PEER, 'p99_ms')
        return {'fps': TARGET_FPS[PLAIN]} | ({'p99_ms': statistics.median(peer)} if peer else {})
    if scene not in IN_PIECES:
        return {'fps': TARGET_FPS[RIG]} if scene == ALONE else {}
    ours = alone and alone.of(OURS, 'p99_ms')
    p99_ms = ours and statistics.median(ours) + SLICE_MS + HOG_MS / HOG_DRAWS
    return {'fps': TARGET_FPS[RIG]} | ({'p99_ms': p99_ms} if p99_ms else {})


def scene_rows(options, place, scene, series, alone):
    target = targets(place, scene, series, alone)
    rows = []
    for figure, unit, digits in FIGURES:
        shown = {'missed': 'frames missed or late'}.get(figure, figure.removesuffix('_ms'))
        title = f'{place.name}: {scene}: {shown}'
        rows.append(series.row(title, unit, figure, digits=digits, target=target.get(figure),
                               at_least=figure == 'fps'))
        for column in (SERVERS, EARLY):
            if column in options.column and figure in ('fps', 'p99_ms'):
                rows.append(series.row(f'{title}, {column}', unit, figure, column=column,
                                       digits=digits))
    return rows


def measure(options, place, folder):
    rows, alone = [], None
    with open_columns(place, folder, options.column) as columns:
        native = columns.get(NATIVE) or next(iter(columns.values()))
        hogs, light = calibrate_frames(options, folder, native)
        rounds = Rounds(columns, options.runs)
        for scene in options.scene:
            series = rounds.series(
                f'{place.name}, {scene}',
                lambda name, column: run_scene(options, folder, scene, hogs, light, column))
            if scene == ALONE:
                alone = series
            rows += scene_rows(options, place, scene, series, alone)
    return rows, rounds.failed


def main():
    options = parse_options(add_options(__doc__, seconds=10, runs=3, quick_seconds=0.15,
                                        scenes=list(SCENES)))
    # What the others are compared with comes first.
    options.scene = sorted(options.scene, key=lambda scene: scene != ALONE)
    run_benchmark('latency', options, measure)


if __name__ == '__main__':
    main()
