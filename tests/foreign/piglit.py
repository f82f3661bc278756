# SPDX-License-Identifier: MIT
"""Runs tests of piglit on one column (see columns.py) and gives the status of each.

A shader test is a file; shader_runner runs many of them in one process, which is what makes a run
short. A program test is a command of a process of its own. What a process does not report before it
ends or hangs is found out by another one, so a crash costs the one test that crashed.
"""

import ast
import collections
import contextlib
import gzip
import itertools
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sysconfig
import xml.etree.ElementTree

ROOT = pathlib.Path('/usr/lib') / sysconfig.get_config_var('MULTIARCH') / 'piglit'
LISTS = ROOT / 'tests'

HANG_S = 60  # without a line; generous, since sanitizers and loaded machines are slow

# Of piglit's own statuses the one that counts, and two for processes that end without one.
PASS, CRASH, HANG = 'pass', 'crash', 'hang'


class Batch:
    """A command of piglit with the names of the tests that it reports, in order."""

    def __init__(self, program, arguments, tests, options):
        self.program, self.arguments, self.tests, self.options = program, arguments, tests, options

    def rest_from(self, index):
        return Batch(self.program, self.arguments[index:], self.tests[index:], self.options)

    def without(self, is_left_out):
        """Those that the predicate is false for; the arguments of a program belong to its test."""
        keep = [i for i, test in enumerate(self.tests) if not is_left_out(test)]
        if len(keep) == len(self.tests):
            return self
        return Batch(self.program, [self.arguments[i] for i in keep if i < len(self.arguments)],
                     [self.tests[i] for i in keep], self.options)

    def only(self, test):
        return self.without(lambda other: other != test)

    def command(self):
        return [str(ROOT / 'bin' / self.program), *self.arguments, *self.options]


def tests_of(profile):
    """(type, name, options) of each test in a list of piglit's."""
    with gzip.open(LISTS / f'{profile}.xml.gz') as text:
        for test in xml.etree.ElementTree.parse(text).getroot():
            options = {o.get('name'): ast.literal_eval(o.get('value')) for o in test.iter('option')
                       if o.get('name') in ('prog', 'files', 'command')}
            yield test.get('type'), test.get('name'), options


def is_fit(file):
    """Not for those that a script makes when piglit is built, which are not in the environment, nor
    for those that limit the memory of their process, and so of all tests after them."""
    return file.startswith('tests/') and '\nrlimit ' not in (ROOT / file).read_text('utf-8')


def shader_batches(length=64, profile='quick_shader.no_isolation'):
    """The shader tests, so many in a process at most. Most of a short run are starts of processes
    and of their renderers."""
    files = collections.defaultdict(list)  # by program
    for kind, _, options in tests_of(profile):
        if kind == 'multi_shader':
            files[options['prog']] += filter(is_fit, options['files'])
        else:
            program, *more = options['command']
            files[program] += filter(is_fit, more)
    for program, of_program in files.items():
        for part in itertools.batched(of_program, length):
            names = [file.removeprefix('tests/').removesuffix('.shader_test') for file in part]
            yield Batch(program, [str(ROOT / file) for file in part], names,
                        ['-auto', '-fbo', '-report-subtests'])


def program_batches(names, profile='quick_gl'):
    """One for each name, which has to be in piglit's list."""
    commands = {name: options['command'] for kind, name, options in tests_of(profile)
                if kind == 'gl'}
    for name in names:
        program, *arguments = commands[name]
        yield Batch(program, arguments, [name], ['-auto', '-fbo'])


class Report:
    """What one process of a batch said, by lines."""

    def __init__(self, batch):
        self.batch = batch
        self.status = {}
        self._many = '-report-subtests' in batch.options
        self._current = -1 if self._many else 0

    def line(self, line):
        begun = re.match(r'PIGLIT TEST: (\d+) - ', line)  # said twice
        if begun:
            self._current = int(begun.group(1)) - 1
        elif line.startswith('PIGLIT:'):
            with contextlib.suppress(json.JSONDecodeError):
                self._take(json.loads(line.removeprefix('PIGLIT:')))

    def _take(self, said):
        if not 0 <= self._current < len(self.batch.tests):
            return
        test = self.batch.tests[self._current]
        if self._many and 'subtest' in said:
            self.status[test] = next(iter(said['subtest'].values()))
        elif 'result' in said:
            # Of a batch of many: that the current test ends all by being skipped, or their sum.
            self.status.setdefault(test, said['result'])

    def end(self, why):
        """The process is gone; why: the status of the test it was at. Gives the tests not begun."""
        index = max(self._current, 0)
        if index < len(self.batch.tests):
            self.status.setdefault(self.batch.tests[index], why)
        return self.batch.rest_from(index + 1)


def run_process(batch, environment, prefix):
    """Gives a Report and why it ended."""
    report = Report(batch)
    process = subprocess.Popen([*map(str, prefix), *batch.command()], env=environment, cwd=ROOT,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    with process:
        rest = b''
        while select.select([process.stdout], [], [], HANG_S)[0]:
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return report, CRASH
            *lines, rest = (rest + data).split(b'\n')
            for line in lines:
                report.line(line.decode(errors='replace'))
        os.killpg(process.pid, signal.SIGKILL)
    return report, HANG


def run(batch, environment, prefix=()):
    """{test: status}, with as many processes as it takes."""
    status = {}
    while batch.tests:
        report, why = run_process(batch, environment, prefix)
        batch = report.end(why)
        status.update(report.status)
    return status
