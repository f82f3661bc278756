# SPDX-License-Identifier: MIT
"""The vGPU of "aliquot run" in a daemon that runs: its life, its connections, refusals, and daemons
that are not as they should be."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest
from daemon import CLI, TIMEOUT, Daemon, alive, at_end, echo, wait_gone
from runner import CONNECT, FAILED, Running, print_env, run, wait_until


@pytest.fixture(name='daemon', scope='module')
def running_daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp('run') / 'run', '--vgpu', 'desk') as daemon:
        yield daemon


# ---- the vGPU -------------------------------------------------------------------------------


def test_vgpu_lives_as_long_as_the_program(daemon):
    with Running('--name=mine', program=CONNECT + ['1'], socket_dir=daemon.dir) as first, \
            Running(program=CONNECT + ['0'], socket_dir=daemon.dir) as second, \
            Running(program=CONNECT + ['0'], socket_dir=daemon.dir) as third:
        for running in first, second, third:
            running.out.wait('connected')
        vgpus = daemon.vgpus()
        assert set(vgpus) == {'desk', 'mine', 'run-1', 'run-2'}
        assert [vgpus[name]['kind'] for name in ('mine', 'run-1')] == ['claimed'] * 2
        assert vgpus['mine']['state'] in ('connected', 'running')
        assert vgpus['run-1']['state'] == 'idle'
        assert (daemon.dir / 'mine.sock').exists()
        assert first.finish() == 0
        assert not (daemon.dir / 'mine.sock').exists()
        assert second.finish() == 0 and third.finish() == 0
    assert wait_until(lambda: set(daemon.vgpus()) == {'desk'})
    assert sorted(os.listdir(daemon.dir)) == ['aliquot.sock', 'aliquotd.lock', 'desk.sock',
                                              'io.aliquot.Mediator']


def test_several_connections(daemon):
    with Running('--name=many', program=CONNECT + ['3'], socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        vgpus = daemon.vgpus()
        names = ['many', 'many.2', 'many.3']
        assert sorted(set(vgpus) - {'desk'}) == names
        assert len({vgpus[name]['rendererPid'] for name in names}) == 3
        assert {vgpus[name]['socket'] for name in names} == {str(daemon.dir / 'many.sock')}
        assert 'many.3' in daemon.cli('list').stdout
        # One ends: its name is free again, and the others have not noticed.
        os.kill(vgpus['many.2']['rendererPid'], signal.SIGKILL)
        daemon.log.wait(r"vGPU 'many.2': renderer \d+ was killed by signal 9")
        with daemon.connect('many') as connection:
            assert echo(connection)
            assert sorted(set(daemon.vgpus()) - {'desk'}) == names
        assert running.finish() == 0
    assert wait_until(lambda: set(daemon.vgpus()) == {'desk'})


def test_as_many_vgpus_as_allowed(tmp_path):
    (tmp_path / 'conf').write_text('[aliquot]\nmax-vgpus = 3\n')
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf') as daemon, \
            Running('--name=a', program=CONNECT + ['3'], socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        with daemon.connect('a') as connection:
            assert at_end(connection)
        daemon.log.wait("vGPU 'a': refused one more connection")
        refused = run(socket_dir=daemon.dir)
        assert refused.returncode == FAILED
        assert 'there are 3 vGPUs, as many as max-vgpus allows' in refused.stderr
        assert running.finish() == 0
        assert run(socket_dir=daemon.dir).returncode == 0


def test_connections_of_one_vgpu_are_bounded(tmp_path):
    """At the bound, one that comes when another has just gone waits for that one's renderer."""
    (tmp_path / 'conf').write_text('[aliquot]\nmax-vgpus = 2\n')
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf') as daemon, \
            Running('--name=a', program=CONNECT + ['0'], socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        first, second = daemon.connect('a'), daemon.connect('a')
        assert echo(first) and echo(second)
        for _ in range(3):
            second.close()
            second = daemon.connect('a')
            assert echo(second)
        assert 'refused' not in daemon.log.text()
        assert running.finish() == 0
        # The program is gone, and its vGPU with it; whoever else is connected has lost it.
        assert at_end(first) and at_end(second)
        first.close(), second.close()


def test_killed_with_sigkill(daemon):
    with Running('--name=mine', program=CONNECT + ['2'], socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        program, = running.children()
        renderers = [v['rendererPid'] for n, v in daemon.vgpus().items() if n.startswith('mine')]
        assert len(renderers) == 2
        os.kill(running.pid, signal.SIGKILL)
        assert all(wait_gone(pid) for pid in renderers)
        assert wait_until(lambda: set(daemon.vgpus()) == {'desk'})
        assert not (daemon.dir / 'mine.sock').exists()
        assert alive(program)  # which has lost its GPU, and ends by itself
        running.finish()
        assert wait_gone(program)


def test_name_is_free_again_at_once(daemon):
    """Even if the renderer before takes its time to end: it is killed two seconds later."""
    with Running('--name=hang', program=CONNECT + ['1'], socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        assert running.finish() == 0
    assert 'hang' in daemon.vgpus()
    result = run('--name=hang', program=['sh', '-c', 'test -S "$VTEST_SOCKET_NAME"'],
                 socket_dir=daemon.dir)
    assert (result.returncode, result.stderr) == (0, '')


def test_settings(daemon):
    with Running('--name=mine', '--backend=null', '--max-memory=64M', program=CONNECT + ['1'],
                 socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        vgpu = daemon.vgpus()['mine']
        assert (vgpu['backend'], vgpu['gpu']) == ('null', 'none')
        arguments = pathlib.Path(f'/proc/{vgpu["rendererPid"]}/cmdline').read_text().split('\0')
        assert arguments[arguments.index('--max-memory') + 1] == str(64 << 20)
        assert running.finish() == 0


# ---- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize('options, message', [
    (['--name=desk'], "there is a vGPU 'desk' already (configured)"),
    (['--name=aliquot'], "the name 'aliquot' is kept"),
    (['--name=auto-1'], "the name 'auto-1' is kept"),
    (['--gpu=egl:7'], "there is no GPU 'egl:7'; there are: software")])
def test_refused_by_the_daemon(daemon, options, message):
    result = run(*options, socket_dir=daemon.dir)
    assert result.returncode == FAILED
    assert message in result.stderr


def test_name_of_another_run(daemon):
    with Running('--name=mine', program=CONNECT + ['0'], socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        result = run('--name=mine', socket_dir=daemon.dir)
        assert result.returncode == FAILED
        assert "there is a vGPU 'mine' already (claimed)" in result.stderr
        assert running.finish() == 0


def test_configured_vgpus_only(tmp_path):
    (tmp_path / 'conf').write_text('[aliquot]\non-demand = no\n[vgpu desk]\n')
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf') as daemon:
        result = run(socket_dir=daemon.dir)
        assert result.returncode == FAILED
        assert 'makes no vGPUs but the configured ones' in result.stderr
        assert print_env(daemon.dir, '--via=vtest').returncode == FAILED
        assert print_env(daemon.dir, '--via=vtest', '--name=desk').returncode == 0


@pytest.mark.parametrize('options', [
    [], ['--name'], ['--name=../x', 'true'], ['--via=magic', 'true'], ['--gpu=fast', 'true'],
    ['--backend=gl', 'true'], ['--max-memory=1', 'true'], ['--max-memory=many', 'true'],
    ['--unknown', 'true'], ['--print-env', 'true'], ['--print-env', '--private'],
    ['--print-env', '--gpu=software'], ['--private', '--socket-dir=/x', 'true']])
def test_usage(options):
    result = subprocess.run([CLI, 'run', *options], capture_output=True, text=True,
                            timeout=TIMEOUT, check=False)
    assert (result.returncode, result.stdout) == (2, '')
    assert 'aliquot: ' in result.stderr


def test_help():
    result = subprocess.run([CLI, 'run', '--help'], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, '')
    assert '--print-env' in result.stdout


def test_options_after_the_program_are_its_own(daemon):
    result = subprocess.run([CLI, '--socket-dir', daemon.dir, 'run', '--via=vtest', 'echo',
                             '--name', '--help', '--'], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, '--name --help --\n')


def test_no_daemon_in_the_named_directory(tmp_path):
    result = run(socket_dir=tmp_path)
    assert result.returncode == FAILED
    assert f"can't reach aliquotd at {tmp_path}/io.aliquot.Mediator" in result.stderr


@pytest.fixture(name='open_dir')
def make_open_dir():
    """A directory that other users can reach, which pytest's own is not."""
    path = pathlib.Path(tempfile.mkdtemp(prefix='aliquot-'))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(os.geteuid() != 0, reason='another user needs root')
@pytest.mark.parametrize('mode, message', [
    ('0660', 'This user may not talk to it: see allow-users'),
    ('0666', 'closed the connection: it is stopping, or this user may not talk to it')])
def test_wrong_permissions(open_dir, mode, message):
    """Found as the user's own daemon, by XDG_RUNTIME_DIR: no private one in its place."""
    (open_dir / 'conf').write_text(f'[aliquot]\nsocket-mode = {mode}\n')
    program = open_dir / 'aliquot'  # the build may be where others can't go
    shutil.copy(CLI, program)
    with Daemon(open_dir / 'aliquot-run', '--config', open_dir / 'conf'):
        (open_dir / 'runtime').mkdir()
        (open_dir / 'runtime/aliquot').symlink_to(open_dir / 'aliquot-run')
        result = subprocess.run(
            [program, 'run', '--via=vtest', '--', 'true'], capture_output=True, text=True,
            timeout=TIMEOUT, user=65534, group=65534, extra_groups=[], cwd='/', check=False,
            env={'PATH': os.environ['PATH'], 'XDG_RUNTIME_DIR': str(open_dir / 'runtime')})
        assert result.returncode == FAILED
        assert message in result.stderr


# ---- a daemon that is not as it should be ---------------------------------------------------


@contextlib.contextmanager
def fake_daemon(folder, **answers):
    """Answers each call with what is given for its method; None: closes."""
    def serve(connection):
        with connection:
            data = b''
            while chunk := connection.recv(4096):
                data += chunk
                while b'\0' in data:
                    message, data = data.split(b'\0', 1)
                    answer = answers[json.loads(message)['method'].rsplit('.', 1)[1]]
                    if answer is None:
                        return
                    connection.sendall(answer if isinstance(answer, bytes)
                                       else json.dumps(answer).encode() + b'\0')

    def accept(listener):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / 'io.aliquot.Mediator'))
        listener.listen()
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def own_version():
    return subprocess.run([CLI, '--version'], capture_output=True, text=True,
                          check=True).stdout.split()[1]


def test_daemon_of_another_version(tmp_path):
    with fake_daemon(tmp_path, GetInfo={'parameters': {'version': '0.0.9'}}):
        result = run(socket_dir=tmp_path)
    assert result.returncode == FAILED
    assert f'has version 0.0.9, this is aliquot {own_version()}. Restart it' in result.stderr


@pytest.mark.parametrize('answer', [
    None, b'rubbish\0', {'parameters': {}, 'continues': True},
    {'parameters': {'name': 7, 'socket': []}, 'continues': True},
    {'parameters': {'name': 'a', 'socket': '/a'}},
    {'error': 'org.varlink.service.MethodNotFound', 'parameters': {}},
    {'error': 'io.aliquot.Mediator.Failed', 'parameters': {'message': 'out of luck'}}])
def test_bad_answers(tmp_path, answer):
    with fake_daemon(tmp_path, GetInfo={'parameters': {'version': own_version()}},
                     CreateVGPU=answer):
        result = run(program=['echo', 'not reached'], socket_dir=tmp_path)
    assert (result.returncode, result.stdout) == (FAILED, '')
    assert result.stderr.startswith('aliquot: aliquotd') and result.stderr.count('\n') == 1
    assert 'Sanitizer' not in result.stderr


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_daemon_dies_in_the_middle(tmp_path, number):
    with Daemon(tmp_path / 'run') as daemon, \
            Running(program=CONNECT + ['1'], socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        daemon.signal(number)
        daemon.wait()
        running.log.wait("aliquotd is gone .*'run-1' with it; .* has lost its GPU")
        assert running.process.poll() is None
        assert running.finish() == 0
