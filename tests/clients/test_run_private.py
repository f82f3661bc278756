# SPDX-License-Identifier: MIT
"""aliquot run where no daemon runs: the private one that it starts, and its end in every way."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest
from daemon import (ALIQUOTD, CLI, MOCK, RENDERER, TIMEOUT, Daemon, alive, at_end, echo,
                    environment, wait_gone)
from runner import (CONNECT, FAILED, RAW_VIRGL, TELLER, Running, command, wait_until)


@pytest.fixture(name='runtime')
def make_runtime():
    """A short path, as that of a socket has to be."""
    path = pathlib.Path(tempfile.mkdtemp(prefix='a-'))
    yield path
    left = os.listdir(path)
    shutil.rmtree(path)
    assert left == []


def private(runtime, *options, program, **env):
    return Running(*options, program=program, env={'XDG_RUNTIME_DIR': str(runtime)} | env)


def test_private_daemon(runtime):
    with private(runtime, program=CONNECT + ['2']) as running:
        running.out.wait('connected')
        folder, = runtime.iterdir()
        assert folder.stat().st_mode & 0o7777 == 0o700
        daemon, = [pid for pid, comm in running.children().items() if comm == 'aliquotd']
        listed = subprocess.run([CLI, 'list', '--json', '--socket-dir', folder], text=True,
                                capture_output=True, check=True)
        assert [v['name'] for v in json.loads(listed.stdout)] == ['run-1', 'run-1.2']
        assert running.finish() == 0
        assert running.log.text() == ''
        assert not alive(daemon)


def test_long_names(runtime):
    """Cut for the connections after the first. Here, since the path of a socket has to be short."""
    name = 'n' * 63
    with private(runtime, '--name', name, program=CONNECT + ['2']) as running:
        running.out.wait('connected')
        folder, = runtime.iterdir()
        listed = subprocess.run([CLI, 'list', '--json', '--socket-dir', folder], text=True,
                                capture_output=True, check=True)
        assert [v['name'] for v in json.loads(listed.stdout)] == [name, 'n' * 61 + '.2']
        assert running.finish() == 0


def test_private_daemon_where_none_runs(tmp_path):
    """Nothing configured, nothing said: as a user would call it first."""
    usual = pathlib.Path('/run/aliquot') if os.geteuid() == 0 else tmp_path / 'aliquot'
    if usual.exists():
        pytest.skip(f'there is a daemon in {usual}')
    result = subprocess.run(
        [CLI, 'run', '--via=vtest', 'sh', '-c', 'test -S "$VTEST_SOCKET_NAME"'],
        env=environment(XDG_RUNTIME_DIR=str(tmp_path)), capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, '')


def test_stale_socket_counts_as_none(runtime, tmp_path):
    """What a daemon that was killed has left. Root's place is fixed, so as somebody else."""
    if os.geteuid() != 0:
        pytest.skip('another user needs root')
    (tmp_path / 'x').mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        (runtime / 'aliquot').mkdir()
        dead.bind(str(runtime / 'aliquot/io.aliquot.Mediator'))
        dead.listen()
    for path in runtime, runtime / 'aliquot', runtime / 'aliquot/io.aliquot.Mediator':
        os.chown(path, 65534, 65534)
    program = runtime / 'aliquot-cli'
    shutil.copy(CLI, program)
    result = subprocess.run(
        [program, 'run', '--via=vtest', '--', 'true'], capture_output=True, text=True,
        timeout=TIMEOUT, user=65534, group=65534, extra_groups=[], cwd='/', check=False,
        env={'PATH': os.environ['PATH'], 'XDG_RUNTIME_DIR': str(runtime), 'ALIQUOTD': '/bin/false',
             'ALIQUOT_RENDERER': '/bin/false'})
    shutil.rmtree(runtime / 'aliquot')
    program.unlink()
    assert result.returncode == FAILED
    assert 'the private aliquotd could not start (exit status 1)' in result.stderr


@pytest.mark.parametrize('victim', ['aliquot', 'aliquotd'])
def test_killed_with_a_private_daemon(runtime, victim):
    with private(runtime, program=CONNECT + ['1']) as running:
        running.out.wait('connected')
        folder, = runtime.iterdir()
        pids = {comm: pid for pid, comm in running.children().items()}
        children = pathlib.Path(f'/proc/{pids["aliquotd"]}/task/{pids["aliquotd"]}/children')
        renderers = [int(pid) for pid in children.read_text().split()]
        assert len(renderers) == 1
        if victim == 'aliquot':
            os.kill(running.pid, signal.SIGKILL)
            assert wait_gone(pids['aliquotd']) and wait_gone(renderers[0])
            assert wait_until(lambda: not folder.exists())
            running.finish()
        else:
            os.kill(pids['aliquotd'], signal.SIGKILL)
            running.log.wait('has lost its GPU')
            assert running.finish() == 0
            assert wait_gone(renderers[0])
        assert not folder.exists()


def test_private_daemon_that_can_not_start(runtime):
    for env, message in [({'ALIQUOT_MOCK_PROBE': 'fail'}, 'exited with status 1'),
                         ({'ALIQUOT_RENDERER': '/nonexistent'}, '/nonexistent: No such file'),
                         ({'ALIQUOTD': '/nonexistent'}, '/nonexistent: No such file'),
                         ({'ALIQUOTD': '/etc/passwd'}, "can't run /etc/passwd: Permission denied")]:
        with private(runtime, program=['true'], **env) as running:
            assert running.wait() == FAILED
            assert message in running.log.text()


def test_log_of_a_private_daemon(runtime):
    """Its warnings are shown, the rest only if wanted."""
    program = ['sh', '-c', f'{sys.executable} -c "import os, socket; '
               's = socket.socket(socket.AF_UNIX); s.connect(os.environ[\'VTEST_SOCKET_NAME\']); '
               's.recv(1)"']
    with private(runtime, '--name=crash', program=program) as running:
        assert running.wait() == 0
        assert re.fullmatch(r"aliquotd: vGPU 'crash': renderer \d+ was killed by signal 11 .*",
                            running.log.text())
    with private(runtime, '--verbose', program=['true']) as running:
        assert running.wait() == 0
        assert 'aliquotd: ready in ' in running.log.text()


def test_terminals_interrupt_leaves_the_private_daemon(runtime):
    """It is in a session of its own: the program decides what ^C means, and has its GPU for that."""
    with private(runtime, program=TELLER) as running:
        running.out.wait('ready')
        daemon, = [pid for pid, comm in running.children().items() if comm == 'aliquotd']
        assert os.getsid(daemon) == daemon
        os.kill(running.pid, signal.SIGINT)
        running.out.wait('SIGINT')
        assert alive(daemon)
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait() == 5


def test_in_one_another(runtime):
    """The inner one's daemon must not draw on the outer one's vGPU."""
    inner = command(program=['sh', '-c', 'test -S "$VTEST_SOCKET_NAME"'])
    with private(runtime, program=inner, ALIQUOT_SHIM=str(MOCK)) as running:
        assert running.wait() == 0


def test_draws(runtime):
    program = ['sh', '-c', f'"{RAW_VIRGL}" --socket "$VTEST_SOCKET_NAME"']
    with private(runtime, '--gpu=software', program=program,
                 ALIQUOT_RENDERER=str(RENDERER)) as running:
        assert running.wait() == 0, running.log.text()
        assert 'result: ok' in running.out.text()
        assert running.log.text() == ''


def test_mesa_draws(runtime):
    """An unmodified program, with nothing configured."""
    # A library of a build with sanitizers, loaded into a program that has none.
    sanitizer = {'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'}
    result = subprocess.run(
        [CLI, 'run', '--private', '--gpu=software', '--', 'eglinfo', '-B', '-p', 'surfaceless'],
        env=environment(RENDERER, XDG_RUNTIME_DIR=str(runtime), **sanitizer),
        capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert result.returncode == 0, result.stderr
    renderers = re.findall('renderer: (.*)', result.stdout)
    assert renderers and all(text.startswith('virgl (') for text in renderers), result.stdout


# ---- what it rests on: --owner-fd -----------------------------------------------------------


def test_owner_fd(tmp_path):
    """Of a daemon: it stops when the other end is closed, and takes a directory of others along."""
    (tmp_path / 'run').mkdir()
    read_end, write_end = os.pipe()
    with Daemon(tmp_path / 'run', f'--owner-fd={read_end}', pass_fds=[read_end]) as daemon:
        os.close(read_end)
        with daemon.connect() as connection:
            assert echo(connection)
            os.write(write_end, b'whatever')
            assert echo(connection)
            os.close(write_end)
            assert daemon.wait() == 0
            assert at_end(connection)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('value, status, message', [
    ('x', 2, "--owner-fd: 'x' is no number of a descriptor"), ('77', 2, 'descriptor 77 is not open'),
    ('file', 1, "--owner-fd: can't watch it")])
def test_bad_owner_fd(tmp_path, value, status, message):
    with open(tmp_path / 'file', 'wb') as file:
        result = subprocess.run(
            [ALIQUOTD, '--socket-dir', tmp_path / 'run', '--owner-fd',
             value.replace('file', str(file.fileno()))], capture_output=True, text=True,
            timeout=TIMEOUT, env=environment(), pass_fds=[file.fileno()], check=False)
    assert result.returncode == status
    assert message in result.stderr
