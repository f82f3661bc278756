# SPDX-License-Identifier: MIT
"""What a benchmark reports: rows of figures, the machine, a table, the JSON file."""

import json
import os
import pathlib
import platform
import re
import statistics
import sys


def program():
    """The name of the benchmark."""
    return pathlib.Path(sys.argv[0]).stem


def progress(text):
    print(f'{program()}: {text}', file=sys.stderr, flush=True)


def machine():
    cpu = re.search(r'^model name\s*:\s*(.*)$', pathlib.Path('/proc/cpuinfo').read_text(), re.M)
    return {
        'cpu': cpu.group(1) if cpu else platform.machine(),
        'cpus': len(os.sched_getaffinity(0)),
        'kernel': platform.release(),
        'gpu': 'software',
        'load': os.getloadavg()[0],
    }


def row(name, values, unit, digits=2, native=None, peer=None, target=None, at_least=False):
    """A figure: the medians of values and of the same measure natively and with the peer."""
    def median(series):
        return None if series is None else round(statistics.median(series), digits)

    value = median(values)
    if target is not None:
        target = round(target, digits)
    return {
        'name': name,
        'value': value,
        'unit': unit,
        'native': median(native),
        'peer': median(peer),
        'target': target,
        'meets': None if target is None else bool(value >= target if at_least else value <= target),
        'spread': [round(min(values), digits), round(max(values), digits)],
        'runs': len(values),
    }


def missing_row(name, unit, note):
    """A figure that could not be measured."""
    return {'name': name, 'value': None, 'unit': unit, 'native': None, 'peer': None,
            'target': None, 'meets': None, 'spread': None, 'runs': 0, 'note': note}


def print_columns(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print('  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def print_table(rows):
    lines = [('figure', 'value', 'spread', 'native', 'peer', 'target', '')]
    for r in rows:
        if r['value'] is None:
            lines.append((r['name'], '-', '', '-', '-', '-', r['note']))
            continue
        verdict = {None: '', True: 'met', False: 'MISSED'}[r['meets']]
        show = [f'{x:g}' if x is not None else '-'
                for x in (r['native'], r['peer'], r['target'])]
        lines.append((r['name'], f'{r["value"]:g} {r["unit"]}',
                      f'{r["spread"][0]:g} to {r["spread"][1]:g}', *show, verdict))
    print_columns(lines)


def write_json(path, bench, rows, **more):
    report = {'bench': bench, 'machine': machine(), 'rows': rows} | more
    pathlib.Path(path).write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
