# SPDX-License-Identifier: MIT
"""What the Vulkan layer costs a submission while the lease is held, and how well it counts the
GPU's time: tests/layer's layer-cost, which is the layer's renderer and broker, and gives it the
grant for good."""

import json

from lib.accounts import off_row, percent_off
from lib.daemon import BUILD
from lib.environment import Failed, base_environment
from lib.report import missing_row, progress, row
from lib.workloads import run_program

LAYER_COST = BUILD / 'tests/layer/layer-cost'
TARGET_NS = 1000
NATIVE = 'no layer'
SECONDS = 10  # about


def missing():
    """Why it can't be measured; None if it can."""
    return None if LAYER_COST.exists() else f'{LAYER_COST} is missing: build with cmocka'


def run():
    """{(how, submissions until all are waited for): ns of a vkQueueSubmit}, and {what each frame
    fills: how far the count of its time is off, in percent}."""
    said = json.loads(run_program([LAYER_COST, '--json'], base_environment() | {
        'ALIQUOT_BUILD': str(BUILD)}, SECONDS))
    return ({(r['how'], r['submissions']): r['submit_ns'] for r in said['costs']},
            {r['fills']: percent_off(r['busy_ns'], r['wall_ns']) for r in said['accounts']})


def measure(pairs):
    """The rows, and whether something failed."""
    series = []
    try:
        for turn in range(pairs):
            progress(f'gate: layer-cost, about {2 * SECONDS} s')
            costs, accounts = run()
            series.append((costs, accounts))
            progress(f'gate {turn + 1}/{pairs}: ' + ', '.join(
                f'{how} {ns} ns of {n}' for (how, n), ns in costs.items()))
    except Failed as e:
        progress(f'gate: {e}')
        return [missing_row('gate: a submission', 'ns', str(e))], True
    rows = []
    for how, n in series[0][0]:
        if how != NATIVE:
            more = [costs[how, n] - costs[NATIVE, n] for costs, _ in series]
            rows.append(row(f'gate: {how}: more for each of {n} submissions', more, 'ns', digits=0,
                            native=[costs[NATIVE, n] for costs, _ in series], target=TARGET_NS))
    return rows + [off_row(row(f'gate: GPU time of frames that fill {16 * fills} MiB: count off by',
                               [accounts[fills] for _, accounts in series], '%'))
                   for fills in series[0][1]], False
