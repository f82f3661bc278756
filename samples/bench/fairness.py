# SPDX-License-Identifier: MIT
"""Shares of the GPU among saturating clients against what their weights say.

usage: fairness.py [--json FILE] [--seconds S] [--runs N] [--place plain|rig] [--scene S...]
                   [--column C...] [--quick]

GPU time is counted in frames: those of a client, and parts of one, times what one takes when the
client is alone in the same column. Others than aliquot know no weights. A missed target is a
result; the exit status is 1 only if something did not run.
"""

import dataclasses

from lib import shares
from lib.columns import EARLY, NATIVE, OURS, SERVERS, open_columns, vgpu_name
from lib.control import GPU_TIME, Sampler
from lib.load import Load, calibrate, draw_together
from lib.sharing import Rounds, add_options, parse_options, run_benchmark


@dataclasses.dataclass(frozen=True)
class Frame:
    ms: float
    draws: int


HOG = Frame(126, 100)
SHORT = Frame(31.5, 25)
HOG_IN_ONE = Frame(126, 1)
SHORT_IN_ONE = Frame(31.5, 1)

# A client is (weight, frame).
SCENES = {
    '1:1': [(1, HOG), (1, HOG)],
    '1:3': [(1, HOG), (3, HOG)],
    '1:9': [(1, HOG), (9, HOG)],
    '1:2:4:8': [(1, HOG), (2, HOG), (4, HOG), (8, HOG)],
    'short-frames': [(1, HOG), (1, SHORT)],
    'short-frames-in-one-draw': [(1, HOG_IN_ONE), (1, SHORT_IN_ONE)],
}
WEIGHT_UNIT = 100  # the default weight

TARGET_POINTS = 1
TARGET_WINDOW_POINTS = 3
WINDOW_TARGET_PIECE_MS = 10  # with longer draws it can't be had
TARGET_MIN_MAX = 0.97

ALONE_SECONDS = 2


def frames_of(scenes):
    return {frame for scene in scenes for _, frame in SCENES[scene]}


def calibrate_frames(options, place, folder, column):
    """{frame: work}. In a quick run they are short, so that some get done."""
    return {f: calibrate(column, folder, f.ms / 20 if options.quick else f.ms, f.draws)
            for f in frames_of(options.scene)}


def measure_costs(options, columns, works, folder):
    """{(column, frame): ms of one that is alone}."""
    seconds = min(ALONE_SECONDS, options.seconds)
    return {(name, frame): draw_together(column, [Load(work, frame.draws)], folder,
                                         seconds)[0].report['p50_ms']
            for name, column in columns.items() for frame, work in works.items()}


def gpu_counters(samples, count):
    """shares.Counter of each client by what aliquotd counted; None if it does not count."""
    names = [vgpu_name(i) for i in range(count)]
    series = [[(time_ns, vgpus[name][GPU_TIME]) for time_ns, vgpus in samples
               if GPU_TIME in vgpus.get(name, {})] for name in names]
    return [shares.Counter(s) for s in series] if all(len(s) > 1 for s in series) else None


def run_scene(options, folder, scene, works, costs, name, column):
    """The figures of one run of a column."""
    clients = SCENES[scene]
    weights = [weight for weight, _ in clients]
    loads = [Load(works[frame], frame.draws, knobs=('--weight', str(WEIGHT_UNIT * weight)))
             for weight, frame in clients]
    sampler = Sampler(column.control) if name in (OURS, EARLY) else None
    if sampler:
        sampler.start()
    try:
        drawn = draw_together(column, loads, folder, options.seconds)
    finally:
        if sampler:
            sampler.stop()
    from_ns, to_ns = drawn[0].report['from_ns'], drawn[0].report['to_ns']
    progresses = [shares.Progress(d.spans) for d in drawn]
    client_costs = [costs[name, frame] for _, frame in clients]
    got = shares.shares(progresses, client_costs, from_ns, to_ns)
    counters = sampler and gpu_counters(sampler.samples, len(clients))
    counted = counters and shares.shares(counters, [1] * len(clients), from_ns, to_ns)
    had_ms = sum(p.between(from_ns, to_ns) * c for p, c in zip(progresses, client_costs))
    return {
        'error': shares.error_points(got, weights),
        'window': shares.worst_window_points(progresses, client_costs, weights, from_ns, to_ns),
        'counted': counted and shares.error_points(counted, weights),
        'min/max': min(got) / max(got) if got and len(set(weights)) == 1 else None,
        'throughput': had_ms / 1e3 / options.seconds,
    }


def scene_rows(options, place, scene, series):
    title = f'{place.name}: {scene}'
    piece_ms = max(frame.ms / frame.draws for _, frame in SCENES[scene])
    window_target = TARGET_WINDOW_POINTS if piece_ms <= WINDOW_TARGET_PIECE_MS else None
    rows = [series.row(f'{title}: share error over {options.seconds:g} s', 'points', 'error',
                       target=TARGET_POINTS),
            series.row(f'{title}: worst 1 s window', 'points', 'window', target=window_target),
            series.row(f'{title}: share error by the daemon\'s count', 'points', 'counted',
                       target=TARGET_POINTS)]
    if len({weight for weight, _ in SCENES[scene]}) == 1:
        rows.append(series.row(f'{title}: min/max', '×', 'min/max', digits=3,
                               target=TARGET_MIN_MAX, at_least=True))
    rows.append(series.row(f'{title}: GPU time of all', '×', 'throughput', digits=3))
    for column in (SERVERS, EARLY):
        if column in options.column:
            rows.append(series.row(f'{title}: share error, {column}', 'points', 'error',
                                   column=column))
    if EARLY in options.column:
        rows.append(series.row(f'{title}: worst 1 s window, {EARLY}', 'points', 'window',
                               column=EARLY))
        rows.append(series.row(f'{title}: GPU time of all, {EARLY}', '×', 'throughput', digits=3,
                               column=EARLY))
    return rows


def measure(options, place, folder):
    rows = []
    with open_columns(place, folder, options.column) as columns:
        native = columns.get(NATIVE) or next(iter(columns.values()))
        works = calibrate_frames(options, place, folder, native)
        costs = measure_costs(options, columns, works, folder)
        rounds = Rounds(columns, options.runs)
        for scene in options.scene:
            series = rounds.series(
                f'{place.name}, {scene}',
                lambda name, column: run_scene(options, folder, scene, works, costs, name,
                                               column))
            rows += scene_rows(options, place, scene, series)
    return rows, rounds.failed


def main():
    options = parse_options(add_options(__doc__, seconds=10, runs=3, quick_seconds=0.15,
                                        scenes=list(SCENES)))
    run_benchmark('fairness', options, measure)


if __name__ == '__main__':
    main()
