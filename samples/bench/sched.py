# SPDX-License-Identifier: MIT
"""What the scheduler's calls cost, from 1 to 10 000 vGPUs.

usage: sched.py [--json FILE] [--runs N]

A pick, and a whole turn (pick, start, charge, put), of vGPUs that all have work. Figures are medians
over interleaved runs; "spread" is the smallest and the largest.
"""

import argparse
import json
import subprocess
import sys

from lib.daemon import BUILD, require
from lib.report import print_table, progress, row, write_json

BENCH = BUILD / 'samples/sched-bench'
VGPUS = [1, 10, 100, 1000, 10000]
TARGET_PICK_NS = 500  # at the largest number
TIMEOUT = 120  # seconds a run may take


def bench(vgpus):
    result = subprocess.run([BENCH, str(vgpus)], capture_output=True, text=True, timeout=TIMEOUT,
                            check=False)
    if result.returncode != 0:
        sys.exit(f'sched: {vgpus} vGPUs: {result.stderr.strip()}')
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', metavar='FILE', help='where the figures go')
    parser.add_argument('--runs', type=int, default=5, help='of each measurement (5)')
    options = parser.parse_args()

    require(BENCH)
    results = {n: [] for n in VGPUS}
    for i in range(options.runs):
        progress(f'run {i + 1}/{options.runs}')
        for n in VGPUS:
            results[n].append(bench(n))
    rows = []
    for n in VGPUS:
        rows.append(row(f'pick, {n} vGPUs', [r['pick_ns'] for r in results[n]], 'ns', digits=0,
                        target=TARGET_PICK_NS if n == VGPUS[-1] else None))
        rows.append(row(f'turn, {n} vGPUs', [r['turn_ns'] for r in results[n]], 'ns', digits=0))
    if options.json:
        write_json(options.json, 'sched', rows)
    print_table(rows)


if __name__ == '__main__':
    main()
