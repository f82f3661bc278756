# SPDX-License-Identifier: MIT
"""Clients that saturate the GPU with weights of their own: what each got of it.

GPU time is counted in frames: those of a client, and parts of one, times what one takes when the
client is alone in the same column; and as aliquotd counted it. Others than aliquot know no weights.
"""

import dataclasses

from lib import shares
from lib.columns import ASKED_FOR, NATIVE, SERVERS
from lib.control import GPU_TIME, Sampler
from lib.load import Load, calibrate, draw_together

WEIGHT_UNIT = 100  # the default weight

TARGET_POINTS = 1
TARGET_WINDOW_POINTS = 3
WINDOW_TARGET_PIECE_MS = 10  # with longer draws it can't be had
TARGET_MIN_MAX = 0.97

ALONE_SECONDS = 2


def calibrate_frames(scenes, folder, column, quick):
    """{frame: work}. In a quick run they are short, so that some get done."""
    frames = {frame for clients in scenes.values() for _, frame in clients}
    return {f: calibrate(column, folder, dataclasses.replace(f, ms=f.ms / 20) if quick else f)
            for f in frames}


def measure_costs(columns, works, folder, seconds):
    """{(column, frame): ms of one that is alone}."""
    return {(name, frame): draw_together(column, [Load(frame, work)], folder,
                                         min(ALONE_SECONDS, seconds))[0].report['p50_ms']
            for name, column in columns.items() for frame, work in works.items()}


def gpu_counters(samples, names):
    """shares.Counter of each vGPU by what aliquotd counted; None if it does not count."""
    series = [[(time_ns, vgpus[name][GPU_TIME]) for time_ns, vgpus in samples
               if GPU_TIME in vgpus.get(name, {})] for name in names]
    return [shares.Counter(s) for s in series] if all(len(s) > 1 for s in series) else None


def draw_counted(column, loads, folder, seconds, during=None):
    """(Drawn of each, gpu_counters() of them), on vGPUs; during: as of draw_together()."""
    sampler = Sampler(column.control)
    sampler.start()
    try:
        drawn = draw_together(column, loads, folder, seconds, during)
    finally:
        sampler.stop()
    return drawn, gpu_counters(sampler.samples, [column.vgpu_name(i) for i in range(len(loads))])


def run_scene(clients, works, costs, folder, seconds, name, column):
    """The figures of one run of a column."""
    weights = [weight for weight, _ in clients]
    loads = [Load(frame, works[frame], knobs=('--weight', str(WEIGHT_UNIT * weight)))
             for weight, frame in clients]
    drawn, counters = (draw_counted(column, loads, folder, seconds) if column.control else
                       (draw_together(column, loads, folder, seconds), None))
    from_ns, to_ns = drawn[0].report['from_ns'], drawn[0].report['to_ns']
    progresses = [shares.Progress(d.spans) for d in drawn]
    client_costs = [costs[name, frame] for _, frame in clients]
    got = shares.shares(progresses, client_costs, from_ns, to_ns)
    counted = counters and shares.shares(counters, [1] * len(clients), from_ns, to_ns)
    had_ms = sum(p.between(from_ns, to_ns) * c for p, c in zip(progresses, client_costs))
    return {
        'error': shares.error_points(got, weights),
        'window': shares.worst_window_points(progresses, client_costs, weights, from_ns, to_ns),
        'counted': counted and shares.error_points(counted, weights),
        'min/max': min(got) / max(got) if got and len(set(weights)) == 1 else None,
        'throughput': had_ms / 1e3 / seconds,
    }


def scene_rows(title, clients, series, seconds, columns):
    piece_ms = max(frame.piece_ms for _, frame in clients)
    window_target = TARGET_WINDOW_POINTS if piece_ms <= WINDOW_TARGET_PIECE_MS else None
    rows = [series.row(f'{title}: share error over {seconds:g} s', 'points', 'error',
                       target=TARGET_POINTS),
            series.row(f'{title}: worst 1 s window', 'points', 'window', target=window_target),
            series.row(f'{title}: share error by the daemon\'s count', 'points', 'counted',
                       target=TARGET_POINTS)]
    if len({weight for weight, _ in clients}) == 1:
        rows.append(series.row(f'{title}: min/max', '×', 'min/max', digits=3,
                               target=TARGET_MIN_MAX, at_least=True))
    rows.append(series.row(f'{title}: GPU time of all', '×', 'throughput', digits=3))
    for column in (SERVERS, *ASKED_FOR):
        if column in columns:
            rows.append(series.row(f'{title}: share error, {column}', 'points', 'error',
                                   column=column))
    for column in (c for c in ASKED_FOR if c in columns):
        rows.append(series.row(f'{title}: worst 1 s window, {column}', 'points', 'window',
                               column=column))
        rows.append(series.row(f'{title}: GPU time of all, {column}', '×', 'throughput', digits=3,
                               column=column))
    return rows


def measure_scenes(scenes, rounds, place, folder, seconds, quick, compared=None):
    """Rows of {scene: [(weight, Frame) of each client]}; compared: names of columns, by default all
    that rounds has."""
    native = rounds.columns.get(NATIVE) or next(iter(rounds.columns.values()))
    columns = {name: rounds.columns[name] for name in compared or rounds.columns}
    works = calibrate_frames(scenes, folder, native, quick)
    costs = measure_costs(columns, works, folder, seconds)
    rows = []
    for scene, clients in scenes.items():
        series = rounds.series(
            f'{place.name}, {scene}',
            lambda name, column: run_scene(clients, works, costs, folder, seconds, name, column),
            list(columns))
        rows += scene_rows(f'{place.name}: {scene}', clients, series, seconds, columns)
    return rows
