# SPDX-License-Identifier: MIT
"""aliquot run, and what a program may expect of what stands in for it: signals, exit status,
environment, descriptors."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys

import pytest
from daemon import TIMEOUT, Daemon, environment
from runner import (CONNECT, FAILED, NOT_EXECUTABLE, NOT_FOUND, TELLER, Running, command, print_env,
                    run, wait_until)


@pytest.fixture(name='daemon', scope='module')
def running_daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp('run') / 'run', '--vgpu', 'desk') as daemon:
        yield daemon


# ---- the program ----------------------------------------------------------------------------


@pytest.mark.parametrize('program, status', [
    (['true'], 0), (['sh', '-c', 'exit 7'], 7), (['sh', '-c', 'exit 255'], 255),
    (['sh', '-c', 'kill -TERM $$'], 128 + 15), (['sh', '-c', 'kill -KILL $$'], 128 + 9),
    (['sh', '-c', 'kill -SEGV $$'], 128 + 11)])
def test_exit_status(daemon, program, status):
    result = run(program=program, socket_dir=daemon.dir)
    assert (result.returncode, result.stderr) == (status, '')


def test_no_such_program(daemon, tmp_path):
    result = run(program=['no-such-program-here'], socket_dir=daemon.dir)
    assert result.returncode == NOT_FOUND
    assert result.stderr == 'aliquot: no-such-program-here: No such file or directory\n'
    (tmp_path / 'file').write_text('text')
    result = run(program=[tmp_path / 'file'], socket_dir=daemon.dir)
    assert result.returncode == NOT_EXECUTABLE
    assert 'Permission denied' in result.stderr
    assert set(daemon.vgpus()) == {'desk'}


def test_script_without_interpreter_line(daemon, tmp_path):
    (tmp_path / 'script').write_text('exit 3\n')
    (tmp_path / 'script').chmod(0o755)
    assert run(program=[tmp_path / 'script'], socket_dir=daemon.dir).returncode == 3


def test_stdio_is_the_programs(daemon):
    result = run(program=['sh', '-c', 'cat; echo oops >&2'], socket_dir=daemon.dir, input='hello')
    assert (result.stdout, result.stderr) == ('hello', 'oops\n')


def test_program_inherits_what_we_did(daemon):
    """Descriptors, blocked and ignored signals."""
    show = 'ls /proc/self/fd | tr "\\n" " "; grep -E "^Sig(Blk|Ign)" /proc/self/status'
    alone = subprocess.run(['sh', '-c', show], capture_output=True, text=True, check=True).stdout
    for options in {'socket_dir': daemon.dir}, {}:
        assert run(program=['sh', '-c', show], **options).stdout == alone
    ignoring = ['sh', '-c', 'trap "" PIPE CHLD HUP; exec "$@"', 'sh']
    expected = subprocess.run([*ignoring, 'grep', 'SigIgn', '/proc/self/status'],
                              capture_output=True, text=True, check=True).stdout
    result = subprocess.run(
        [*ignoring, *command(program=['grep', 'SigIgn', '/proc/self/status'],
                             socket_dir=daemon.dir)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, expected)


# ---- environment ----------------------------------------------------------------------------

SHOW = [sys.executable, '-Ic', 'import json, os; print(json.dumps(dict(os.environ)))']
STALE = {'LIBGL_ALWAYS_SOFTWARE': 'true', 'GALLIUM_DRIVER': 'llvmpipe',
         'MESA_LOADER_DRIVER_OVERRIDE': 'zink', 'VN_DEBUG': 'vtest,perf'}


def test_environment_of_vtest(daemon):
    result = run('--name', 'mine', program=SHOW, socket_dir=daemon.dir,
                 env=STALE | {'ALIQUOT_SOCKET': '/x'})
    env = json.loads(result.stdout)
    assert env['VTEST_SOCKET_NAME'] == str(daemon.dir / 'mine.sock')
    assert (env['GALLIUM_DRIVER'], env['LIBGL_ALWAYS_SOFTWARE']) == ('virpipe', '1')
    assert (env['VN_DEBUG'], env['VK_LOADER_DRIVERS_SELECT']) == ('vtest', 'virtio_icd*')
    assert not {'MESA_LOADER_DRIVER_OVERRIDE', 'ALIQUOT_SOCKET', 'LD_PRELOAD'} & set(env)


def test_environment_of_the_shim(daemon, tmp_path):
    shim = tmp_path / 'shim.so'
    shim.touch()
    env = STALE | {'ALIQUOT_SHIM': str(shim)}
    for before, after in [(None, str(shim)), ('/a.so /b.so', f'{shim}:/a.so /b.so'),
                          (f'{shim}:/a.so', f'{shim}:/a.so')]:
        with_preload = env | ({'LD_PRELOAD': before} if before else {})
        result = run('--via=shim', program=SHOW, socket_dir=daemon.dir, env=with_preload)
        seen = json.loads(result.stdout)
        assert seen['LD_PRELOAD'] == after
        assert seen['ALIQUOT_SOCKET'] == str(daemon.dir / 'run-1.sock')
        assert seen['VK_LOADER_DRIVERS_SELECT'] == 'virtio_icd*'
        assert not set(STALE) & set(seen)


@pytest.mark.parametrize('name, message', [
    ('missing.so', 'missing.so: No such file or directory; give its path in $ALIQUOT_SHIM'),
    ('a shim.so', 'LD_PRELOAD takes no path with a blank or colon in it')])
def test_bad_shim(daemon, tmp_path, name, message):
    (tmp_path / 'a shim.so').touch()
    result = run('--via=shim', socket_dir=daemon.dir, env={'ALIQUOT_SHIM': str(tmp_path / name)})
    assert result.returncode == FAILED
    assert message in result.stderr


def test_print_env(tmp_path):
    """It is quoted so that a shell takes the worst path, and undoes what is set."""
    with Daemon(tmp_path / "it's $HOME \"here\"", '--vgpu=desk') as daemon:
        for options, name in [([], 'aliquot'), (['--name=desk'], 'desk')]:
            lines = print_env(daemon.dir, '--via=vtest', *options)
            assert lines.returncode == 0
            shell = subprocess.run(
                ['sh', '-c', lines.stdout + '\nexec "$@"', 'sh', *SHOW], text=True,
                capture_output=True, env=environment() | STALE, check=True)
            env = json.loads(shell.stdout)
            assert env['VTEST_SOCKET_NAME'] == str(daemon.dir / f'{name}.sock')
            assert 'MESA_LOADER_DRIVER_OVERRIDE' not in env
        missing = print_env(daemon.dir, '--via=vtest', '--name=other')
        assert missing.returncode == FAILED and "there is no vGPU 'other'" in missing.stderr
        assert set(daemon.vgpus()) == {'desk'}
    nobody = print_env(tmp_path)
    assert nobody.returncode == FAILED and "can't reach aliquotd" in nobody.stderr


# ---- signals --------------------------------------------------------------------------------


def test_signals_are_passed_on(daemon):
    with Running(program=TELLER, socket_dir=daemon.dir) as running:
        running.out.wait('ready')
        for name in 'HUP', 'INT', 'QUIT', 'USR1', 'USR2', 'WINCH', 'CONT':
            os.kill(running.pid, getattr(signal, 'SIG' + name))
            running.out.wait(f'SIG{name}$')
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait() == 5
        assert running.out.lines[-1] == 'SIGTERM'


def test_stops_and_continues_with_the_program(daemon):
    # In a group of its own, not an orphaned one: the kernel would not stop that.
    with Running(program=CONNECT + ['1'], socket_dir=daemon.dir, process_group=0) as running:
        running.out.wait('connected')
        program, = running.children()

        def stopped(pid):
            return pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] == 'T'

        for stop in running.pid, program:
            os.kill(stop, signal.SIGTSTP)
            assert wait_until(lambda: stopped(running.pid) and stopped(program))
            os.kill(running.pid, signal.SIGCONT)
            assert wait_until(lambda: not stopped(running.pid) and not stopped(program))
        assert running.finish() == 0


def test_sigstop_of_the_program_is_not_ours(daemon):
    with Running(program=TELLER, socket_dir=daemon.dir) as running:
        running.out.wait('ready')
        program, = running.children()
        os.kill(program, signal.SIGSTOP)
        os.kill(running.pid, signal.SIGUSR1)  # we are there to take it, and it waits
        os.kill(program, signal.SIGCONT)
        running.out.wait('SIGUSR1')
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait() == 5


def test_signal_of_the_terminal_comes_once(daemon):
    terminal, end = pty.openpty()
    # setsid(1) makes it the controlling terminal, and stays the same process.
    process = subprocess.Popen(
        ['setsid', '--ctty', *command(program=TELLER, socket_dir=daemon.dir)], stdin=end,
        stdout=end, stderr=end, env=environment())
    os.close(end)
    text = b''

    def read_until(pattern):
        nonlocal text
        while not re.search(pattern, text):
            assert select.select([terminal], [], [], TIMEOUT)[0], text
            text += os.read(terminal, 4096)

    try:
        read_until(b'ready')
        os.write(terminal, b'\x03')
        read_until(b'SIGINT')
        process.send_signal(signal.SIGTERM)  # what we would have passed on comes before
        read_until(b'SIGTERM')
        assert text.count(b'SIGINT') == 1
        assert process.wait(TIMEOUT) == 5
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
