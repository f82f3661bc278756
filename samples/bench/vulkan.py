# SPDX-License-Identifier: MIT
"""Vulkan workloads natively and on a vGPU, by Venus through the shim.

usage: vulkan.py [--json FILE] [--seconds S] [--pairs N] [--workload W...] [--quick]

On the software GPU. Both take turns, workload by workload, so that ratios are of runs that follow
each other. "Spread" is the smallest and the largest. virgl_test_server has no column: its Venus maps
device memory by dma-bufs alone, which a software GPU has only with udmabuf. A missed target is a
result; the exit status is 1 only if something did not run.
"""

import argparse
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from lib.daemon import ALIQUOTD, BUILD, RENDERER, Daemon, require
from lib.environment import SHIM, Failed, base_environment, shim_environment
from lib.report import machine, missing_row, print_table, progress, row, write_json

VK_BENCH = BUILD / 'samples/vk-bench'
DRIVERS = '/usr/share/vulkan/icd.d/{}_icd.json'

RUN_TIMEOUT = 60  # seconds on top of what a run measures
SETTLE_SECONDS = 0.1  # the renderer of the run before ends meanwhile
# Where the GPU is the limit, sharing must not be seen.
TARGET_OF_NATIVE = {'compute-fill': 0.98, 'draws-prerecorded': 0.98}


def rate(env, workload, seconds, native):
    """(how often a second, its unit)"""
    time.sleep(SETTLE_SECONDS)
    try:
        result = subprocess.run([VK_BENCH, '--workload', workload, '--seconds', str(seconds)],
                                capture_output=True, text=True, errors='replace', check=False,
                                env=env, stdin=subprocess.DEVNULL, timeout=RUN_TIMEOUT + seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f'{workload} does not end') from None
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ['nothing said'])[-1]
        raise Failed(f'{workload} ended with status {result.returncode}: {last}')
    if ('Venus' in result.stdout) == native:
        raise Failed(f'ran on something else: {result.stdout.strip()[:200]}')
    value, unit = re.search(rf'^{workload} +([\d.]+) (\S+)', result.stdout, re.M).groups()
    return float(value), unit


def measure(options, environments):
    """The rows, and whether something failed."""
    rows, failed = [], False
    for name in options.workload:
        figures = {column: [] for column in environments}
        try:
            for turn in range(options.pairs):
                order = list(environments)[::-1 if turn % 2 else 1]
                for column in order:
                    value, unit = rate(environments[column], name, options.seconds,
                                       column == 'native')
                    figures[column].append(value)
                progress(f'{name} {turn + 1}/{options.pairs}: ' +
                         ', '.join(f'{c} {v[-1]:.1f}' for c, v in figures.items()) + f' {unit}')
        except Failed as e:
            progress(str(e))
            rows.append(missing_row(f'{name}: shim', '1/s', str(e)))
            failed = True
            continue
        ratios = [x / n for x, n in zip(figures['shim'], figures['native'])]
        rows += [row(f'{name}: shim', figures['shim'], unit, digits=1, native=figures['native']),
                 row(f'{name}: shim/native', ratios, '×', digits=3, at_least=True,
                     native=[1] * len(ratios), target=TARGET_OF_NATIVE.get(name))]
    return rows, failed


def parse_options():
    listing = subprocess.run([VK_BENCH, '--workload', 'list'], capture_output=True, text=True,
                             check=True, timeout=RUN_TIMEOUT).stdout
    workloads = [line.split()[0] for line in listing.splitlines()]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', metavar='FILE', help='where the figures go')
    parser.add_argument('--seconds', type=float, help='of each run (0.5)')
    parser.add_argument('--pairs', type=int, help='how often each column runs (5)')
    parser.add_argument('--workload', nargs='+', metavar='W', choices=workloads,
                        default=workloads, help=f'only these, of {", ".join(workloads)}')
    parser.add_argument('--quick', action='store_true',
                        help='1 pair of 0.05 s: to see that it works, not for figures')
    options = parser.parse_args()
    options.seconds = options.seconds or (0.05 if options.quick else 0.5)
    options.pairs = options.pairs or (1 if options.quick else 5)
    if not 0 < options.seconds <= 3600 or options.pairs < 1:
        parser.error('--seconds must be in 0 … 3600, --pairs at least 1')
    return options


def main():
    require(VK_BENCH, SHIM, ALIQUOTD, RENDERER)
    options = parse_options()
    # Finally-blocks stop what was started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    before = machine()
    try:
        with tempfile.TemporaryDirectory(prefix='aliquot-bench-') as folder, \
                Daemon(pathlib.Path(folder) / 'aliquot', 'virgl', env=base_environment()) as daemon:
            rows, failed = measure(options, {
                'native': base_environment() | {'VK_DRIVER_FILES': DRIVERS.format('lvp')},
                'shim': shim_environment(daemon.socket) | {
                    'VK_DRIVER_FILES': DRIVERS.format('virtio')}})
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    if options.json:
        write_json(options.json, 'vulkan', rows, load_before=before['load'])
    print_table(rows)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
