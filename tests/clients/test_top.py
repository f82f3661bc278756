# SPDX-License-Identifier: MIT
"""aliquot top: its numbers while vGPUs really share a GPU, lines, JSON, and in a terminal."""

import contextlib
import json
import os
import re
import subprocess

import pytest
from daemon import CLI, TIMEOUT, Daemon, cli
from runner import wait_until


def test_top_json(busy):
    result = busy.cli('top', '--json', '--interval', '0.3', '--count', '3')
    assert (result.returncode, result.stderr) == (0, '')
    samples = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(samples) == 3
    for sample in samples:
        assert sample['intervalUsec'] > 0
        shares = [v['sharePercent'] for v in sample['vgpus']]
        assert shares == sorted(shares, reverse=True)
        assert {v['name'] for v in sample['vgpus']} == {'first', 'second'}
        assert 0 < sum(shares) < 110
        assert all(0 <= v['waitingPercent'] < 110 for v in sample['vgpus'])
        assert all(v['memoryBytes'] > 0 for v in sample['vgpus'])
    assert sum(v['submitsPerSecond'] for s in samples for v in s['vgpus']) > 0
    assert any(v['latencyP99Usec'] for s in samples for v in s['vgpus'])


def test_top_lines(busy):
    """Not on a terminal: tables in plain lines of at most 80 characters."""
    result = busy.cli('top', '--interval', '0.2', '--count', '2', '--sort', 'name')
    assert (result.returncode, result.stderr) == (0, '')
    assert '\x1b' not in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith('NAME ') for line in lines) == 2
    assert [line.split()[0] for line in lines if 'running' in line] == ['first', 'second'] * 2
    assert re.match(r'GPU software: busy [\d.]+%, fair, reserved 0%, vGPUs: 2', lines[0])


def test_top_into_a_closed_pipe(busy):
    process = subprocess.Popen([CLI, 'top', '--interval', '0.05', '--socket-dir', busy.dir],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline()
    process.stdout.close()
    assert (process.wait(TIMEOUT), process.stderr.read()) == (0, b'')
    process.stderr.close()


# ---- a terminal -----------------------------------------------------------------------------


class Terminal:
    """aliquot top in a terminal of tmux, with a server of its own."""

    def __init__(self, folder, daemon, width, height):
        self.tmux = ['tmux', '-S', str(folder / 'tmux'), '-f', '/dev/null']
        command = (f'{CLI} top --interval 0.2 --socket-dir {daemon.dir}; echo "status $?"; '
                   f'stty -a | grep -o -e "-echo " ; exec cat')
        self.run('new-session', '-d', '-x', str(width), '-y', str(height), command)

    def run(self, *args):
        env = {k: v for k, v in os.environ.items() if not k.startswith('TMUX')}
        return subprocess.run(self.tmux + list(args), capture_output=True, text=True, env=env,
                              timeout=TIMEOUT, check=True).stdout

    def lines(self):
        return self.run('capture-pane', '-p').split('\n')[:-1]

    def wait(self, condition):
        assert wait_until(lambda: condition(self.lines())), '\n'.join(self.lines())
        return self.lines()

    def close(self):
        subprocess.run(self.tmux + ['kill-server'], check=False, timeout=TIMEOUT)


@pytest.fixture(name='terminal')
def open_terminal(request, busy, tmp_path):
    width, height = getattr(request, 'param', (80, 24))
    terminal = Terminal(tmp_path, busy, width, height)
    yield terminal
    terminal.close()


def row_names(lines):
    return [line.split()[0] for line in lines if line.startswith(('first', 'second'))]


def test_top_on_a_terminal(terminal):
    lines = terminal.wait(lambda lines: row_names(lines) and '%' in lines[0])
    assert lines[0].startswith('GPU software: busy ')
    assert lines[1].split()[:4] == ['NAME', 'STATE', 'SHARE', 'WAIT']
    assert sorted(row_names(lines)) == ['first', 'second']
    assert lines[4].startswith('q quit')
    assert all(not line for line in lines[5:])
    terminal.run('send-keys', 'n')
    terminal.wait(lambda lines: row_names(lines) == ['first', 'second'])
    terminal.run('send-keys', 's')  # the heavier one has more
    terminal.wait(lambda lines: row_names(lines) == ['second', 'first'])
    terminal.run('send-keys', 'q')
    lines = terminal.wait(lambda lines: 'status 0' in lines)
    # The screen from before is back, without a trace, and so are the settings of the terminal.
    assert [line for line in lines if line] == ['status 0']


@pytest.mark.parametrize('key', ['C-c', 'Q'])
def test_top_ends(terminal, key):
    terminal.wait(row_names)
    terminal.run('send-keys', key)
    lines = terminal.wait(lambda lines: any('status' in line for line in lines))
    assert 'status 0' in lines[0]


@pytest.mark.parametrize('terminal', [(40, 10)], indirect=True)
def test_top_on_a_narrow_terminal(terminal):
    lines = terminal.wait(lambda lines: len(row_names(lines)) == 2 and '%' in lines[0])
    assert lines[1].split() == ['NAME', 'SHARE', 'WAIT', 'P99', 'SUB/S']
    assert max(map(len, lines)) <= 40
    assert [line[:4] for line in lines[:5]] == ['GPU ', 'NAME', lines[2][:4], lines[3][:4], 'q qu']


def test_top_resized(terminal):
    """It fits at once, and nothing of the larger picture stays."""
    terminal.wait(lambda lines: len(row_names(lines)) == 2)
    for width, height in (40, 8), (20, 4), (10, 2), (200, 50), (80, 24):
        terminal.run('resize-window', '-x', str(width), '-y', str(height))

        def fits(lines):
            title = [line.split() for line in lines if line.startswith('NAME')]
            return (len(lines) == height and max(map(len, lines)) <= width and len(title) == 1
                    and ('WEIGHT' in title[0]) == (width >= 80)
                    and ('SHARE' in title[0]) == (width >= 20)
                    and sum(line.startswith('q quit') for line in lines) == 1)

        terminal.wait(fits)
    terminal.run('send-keys', 'q')
    terminal.wait(lambda lines: 'status 0' in lines)


MANY = [f'customer-database-{i:02}' for i in range(20)]


def test_top_of_many(tmp_path):
    """20 vGPUs with long names in 80 columns and 24 lines: all are there, and can be told apart. In
    fewer lines it says how many are not."""
    vgpus = [option for name in MANY for option in ('--vgpu', name)]
    with Daemon(tmp_path / 'run', *vgpus) as daemon, \
            contextlib.closing(Terminal(tmp_path, daemon, 80, 24)) as terminal:

        def names(lines):
            return [line.split()[0] for line in lines if line.startswith('customer-')]

        lines = terminal.wait(lambda lines: names(lines) and '%' in lines[0])
        assert names(lines) == MANY  # all equal in what they had, so by name
        assert max(map(len, lines)) <= 80
        assert lines[1].split()[:4] == ['NAME', 'STATE', 'SHARE', 'WAIT']
        assert lines[22].startswith('q quit') and not lines[23]
        terminal.run('resize-window', '-x', '80', '-y', '12')
        lines = terminal.wait(lambda lines: len(lines) == 12 and lines[11].startswith('q quit'))
        assert names(lines) == MANY[:8]
        assert lines[10] == '... 12 more'
        terminal.run('resize-window', '-x', '200', '-y', '24')
        lines = terminal.wait(lambda lines: len(lines) == 24 and names(lines) == MANY)
        assert lines[1].split()[-1] == 'GPU'
        for key in 'swplumn':
            terminal.run('send-keys', key)
        terminal.wait(lambda lines: names(lines) == MANY)
        terminal.run('send-keys', 'q')
        terminal.wait(lambda lines: 'status 0' in lines)


def test_top_stopped_and_continued(busy, tmp_path):
    """^Z gives the terminal back; fg takes it again."""
    terminal = Terminal.__new__(Terminal)
    terminal.tmux = ['tmux', '-S', str(tmp_path / 'tmux'), '-f', '/dev/null']
    terminal.run('new-session', '-d', '-x', '80', '-y', '24', 'env PS1=prompt: sh -i')
    try:
        terminal.wait(lambda lines: any('prompt:' in line for line in lines))
        terminal.run('send-keys', f'{CLI} top --interval 0.2 --socket-dir {busy.dir}', 'Enter')
        terminal.wait(lambda lines: len(row_names(lines)) == 2)
        terminal.run('send-keys', 'C-z')
        terminal.wait(lambda lines: any('Stopped' in line for line in lines))
        terminal.run('send-keys', 'fg', 'Enter')
        terminal.wait(lambda lines: lines[0].startswith('GPU software')
                      and len(row_names(lines)) == 2)
        terminal.run('send-keys', 'q')
        terminal.wait(lambda lines: any('Stopped' in line for line in lines))
    finally:
        terminal.close()


@pytest.mark.parametrize('args, message', [
    (['--interval', '0'], '--interval: '), (['--interval', 'inf'], '--interval: '),
    (['--count', '0'], '--count: '), (['--count', '-1'], '--count: '),
    (['--sort', 'colour'], '--sort: allowed are share'), (['x'], 'nothing but options')])
def test_top_usage(args, message):
    result = cli('top', *args)
    assert (result.returncode, result.stdout) == (2, '')
    assert message in result.stderr


def test_the_daemon_ends(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'a') as daemon:
        top = subprocess.Popen([CLI, 'top', '--json', '--interval', '0.05', '--socket-dir',
                                daemon.dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
        assert json.loads(top.stdout.readline())['vgpus'][0]['name'] == 'a'
    _, err = top.communicate(timeout=TIMEOUT)
    assert top.returncode == 1
    assert 'closed the connection' in err
