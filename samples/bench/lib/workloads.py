# SPDX-License-Identifier: MIT
"""gl-bench and vk-bench: which workloads there are, one run of one, and the command line of the
benchmarks that have them run in several columns, one after the other."""

import argparse
import re
import signal
import subprocess
import sys
import time

from lib.environment import Failed, check_renderer

TIMEOUT = 60  # seconds on top of what a run measures
SETTLE_SECONDS = 0.1  # the renderer of the run before ends meanwhile


def run_program(command, env, seconds, timeout=TIMEOUT):
    """What it printed; seconds: what it measures."""
    time.sleep(SETTLE_SECONDS)
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors='replace',
                                check=False, env=env, stdin=subprocess.DEVNULL,
                                timeout=timeout + 2 * seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f'did not end within {timeout + 2 * seconds:g} s') from None
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ['nothing said'])[-1]
        raise Failed(f'ended with status {result.returncode}: {last}')
    return result.stdout


def run_workload(api, env, workload, seconds, native, timeout=TIMEOUT):
    """(figure, its unit) of a run; native: it must draw without anybody between."""
    said = run_program([api.bench, '--workload', workload, '--seconds', str(seconds)], env,
                       seconds, timeout)
    check_renderer(native, said, api)
    match = re.search(rf'^{workload} +([\d.]+) (\S+)', said, re.M)
    if not match or float(match[1]) <= 0:
        raise Failed(f'{workload} got nothing done')
    return float(match[1]), match[2]


def known_workloads(api):
    listing = subprocess.run([api.bench, '--workload', 'list'], capture_output=True, text=True,
                             check=True, timeout=TIMEOUT)
    return [line.split()[0] for line in listing.stdout.splitlines()]


def add_options(text, workloads):
    """A parser of the common ones, for parse_options()."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument('--json', metavar='FILE', help='where the figures go')
    parser.add_argument('--seconds', type=float, help='of each run (0.5)')
    parser.add_argument('--pairs', type=int, help='how often each column runs (5)')
    parser.add_argument('--workload', nargs='+', metavar='W', choices=workloads,
                        default=workloads, help=f'only these, of {", ".join(workloads)}')
    parser.add_argument('--quick', action='store_true',
                        help='1 pair of 0.05 s: to see that it works, not for figures')
    return parser


def parse_options(parser):
    options = parser.parse_args()
    if options.seconds is None:
        options.seconds = 0.05 if options.quick else 0.5
    if options.pairs is None:
        options.pairs = 1 if options.quick else 5
    if not 0 < options.seconds <= 3600 or options.pairs < 1:
        parser.error('--seconds must be in 0 … 3600, --pairs at least 1')
    return options
