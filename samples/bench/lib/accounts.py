# SPDX-License-Identifier: MIT
"""The GPU time that aliquotd counts for clients of Vulkan, against other clocks.

Of a client alone: the GPU's timestamps around each of its frames. Of two that saturate the rig's
GPU, whose timestamps have the other's frames between them: the processor time of their renderers,
which are the GPU there, and what decodes for it.
"""

from lib.columns import NATIVE, OURS
from lib.environment import Failed
from lib.fair import draw_counted
from lib.load import Load, calibrate, sleep_until
from lib.processor import tree_ns

TARGET_PERCENT = 2


def percent_off(counted, real):
    return 100 * (counted / real - 1)


def run_alone(load, folder, seconds, column):
    """How far aliquotd's count is from the GPU's, in percent."""
    drawn, counters = draw_counted(column, [load], folder, seconds)
    from_ns, to_ns = drawn[0].report['from_ns'], drawn[0].report['to_ns']
    if not counters:
        raise Failed('aliquotd counted nothing')
    counted_ms = counters[0].between(from_ns, to_ns) / 1000
    return {'off': percent_off(counted_ms, drawn[0].report['gpu_ms'])}


def run_together(loads, folder, seconds, column):
    """The same for each, against its renderer's processor time."""
    used = []

    def read_cpu(from_ns, to_ns):
        for time_ns in (from_ns, to_ns):
            sleep_until(time_ns)
            vgpus = column.control.vgpus()[1]
            used.append([tree_ns(vgpus[column.vgpu_name(i)]['rendererPid'])
                         for i in range(len(loads))])

    drawn, counters = draw_counted(column, loads, folder, seconds, read_cpu)
    if not counters:
        raise Failed('aliquotd counted nothing')
    from_ns, to_ns = drawn[0].report['from_ns'], drawn[0].report['to_ns']
    counted = [1000 * c.between(from_ns, to_ns) for c in counters]
    real = [after - before for before, after in zip(*used)]
    return {f'off {i}': percent_off(c, r) for i, (c, r) in enumerate(zip(counted, real))}


def off_row(row):
    """With the target, which what is off either way can meet."""
    if row['value'] is not None:
        row |= {'target': TARGET_PERCENT, 'meets': abs(row['value']) <= TARGET_PERCENT}
    return row


def measure_alone(frames, rounds, place, folder, seconds):
    """Rows of {name: Frame}."""
    rows = []
    for name, frame in frames.items():
        load = Load(frame, calibrate(rounds.columns[NATIVE], folder, frame), gpu_time=True)
        series = rounds.series(f'{place.name}, accounts, {name}',
                               lambda _, column: run_alone(load, folder, seconds, column), [OURS])
        rows.append(off_row(series.row(f'{place.name}: accounts: {name}: count off by', '%',
                                       'off')))
    return rows


def measure_together(frames, rounds, place, folder, seconds):
    """Rows of {name: Frame}, which all draw at once."""
    loads = [Load(frame, calibrate(rounds.columns[NATIVE], folder, frame))
             for frame in frames.values()]
    series = rounds.series(f'{place.name}, accounts, {" and ".join(frames)}',
                           lambda _, column: run_together(loads, folder, seconds, column), [OURS])
    return [off_row(series.row(f'{place.name}: accounts: {name}, together: count off by', '%',
                               f'off {i}'))
            for i, name in enumerate(frames)]
