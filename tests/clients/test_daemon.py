# SPDX-License-Identifier: MIT
"""aliquotd: readiness, sockets, one renderer a connection, its end in every way, a clean stop."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from daemon import (ALIQUOTD, RENDERER, TIMEOUT, Daemon, at_end, echo, environment, run_daemon,
                    sanitized, wait_gone)

# ---- start ----------------------------------------------------------------------------------


def test_ready_by_fd_and_notify(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(TIMEOUT)
        notify.bind(str(tmp_path / 'notify'))
        env = {'NOTIFY_SOCKET': str(tmp_path / 'notify')}
        with Daemon(tmp_path / 'run', '--vgpu', 'desk', '--vgpu=ci', env=env) as daemon:
            assert b'READY=1' in notify.recv(4096).split(b'\n')
            assert sorted(os.listdir(daemon.dir)) == [
                'aliquot.sock', 'aliquotd.lock', 'ci.sock', 'desk.sock', 'io.aliquot.Mediator']
            daemon.signal(signal.SIGTERM)
            assert b'STOPPING=1' in notify.recv(4096).split(b'\n')
            assert daemon.wait() == 0


def test_socket_modes(tmp_path):
    with Daemon(tmp_path / 'run') as daemon:
        assert daemon.dir.stat().st_mode & 0o7777 == 0o755
        assert (daemon.dir / 'aliquot.sock').stat().st_mode & 0o7777 == 0o660
    config = tmp_path / 'conf'
    config.write_text('[aliquot]\nsocket-group = 12345\nsocket-mode = 0620\n')
    if os.geteuid() != 0:
        pytest.skip('another group needs root')
    with Daemon(tmp_path / 'run', '--config', config) as daemon:
        status = daemon.dir.stat()
        assert (status.st_mode & 0o7777, status.st_gid) == (0o750, 12345)
        status = (daemon.dir / 'aliquot.sock').stat()
        assert (status.st_mode & 0o7777, status.st_gid) == (0o620, 12345)


def test_stale_socket_is_replaced(tmp_path):
    (tmp_path / 'run').mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / 'run/desk.sock'))
        dead.listen()
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        daemon.log.wait('replaced the stale socket')
        with daemon.connect('desk') as connection:
            assert echo(connection)


def test_killed_daemon_is_succeeded(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as first:
        connection = first.connect('desk')
        assert echo(connection)
        renderer = first.vgpus()['desk']['rendererPid']
        first.signal(signal.SIGKILL)
        first.wait()
    assert wait_gone(renderer)
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as second:
        with second.connect('desk') as connection:
            assert echo(connection)


def test_live_daemon_is_not_disturbed(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        other = run_daemon('--socket-dir', tmp_path / 'run', '--vgpu', 'desk')
        assert other.returncode == 1
        assert f'another aliquotd (pid {daemon.pid})' in other.stderr
        with daemon.connect('desk') as connection:
            assert echo(connection)


def test_live_socket_of_another_is_refused(tmp_path):
    (tmp_path / 'run').mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as live:
        live.bind(str(tmp_path / 'run/desk.sock'))
        live.listen()
        other = run_daemon('--socket-dir', tmp_path / 'run', '--vgpu', 'desk')
        assert other.returncode == 1
        assert f'a live process (pid {os.getpid()}) listens there' in other.stderr
        assert os.listdir(tmp_path / 'run') == ['desk.sock']


def test_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/desk.sock').write_text('precious')
    other = run_daemon('--socket-dir', tmp_path / 'run', '--vgpu', 'desk')
    assert other.returncode == 1
    assert 'no socket' in other.stderr
    assert (tmp_path / 'run/desk.sock').read_text() == 'precious'
    assert os.listdir(tmp_path / 'run') == ['desk.sock']


def test_directory_that_all_may_write_is_refused(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run').chmod(0o777)
    other = run_daemon('--socket-dir', tmp_path / 'run')
    assert other.returncode == 1
    assert 'everybody may write in it' in other.stderr


def test_path_too_long_for_a_socket(tmp_path):
    other = run_daemon('--socket-dir', tmp_path / ('x' * 100))
    assert other.returncode == 1
    assert 'too long' in other.stderr
    assert os.listdir(tmp_path) == []


def test_socket_activation(tmp_path):
    def listen(name):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(tmp_path / name))
        sock.listen()
        return sock

    with listen('mine.sock') as vgpu, listen('any.sock') as on_demand:
        # LISTEN_PID must be the daemon's own: a wrapper that execs knows it.
        wrapper = [sys.executable, '-c',
                   'import os, sys\n'
                   'for target, fd in enumerate(map(int, sys.argv[1:3]), 3):\n'
                   '    os.dup2(fd, target)\n'
                   'env = os.environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2",\n'
                   '                    "LISTEN_FDNAMES": "desk:aliquot"}\n'
                   'os.execve(sys.argv[3], sys.argv[3:], env)\n',
                   fcntl.fcntl(vgpu, fcntl.F_DUPFD_CLOEXEC, 100),
                   fcntl.fcntl(on_demand, fcntl.F_DUPFD_CLOEXEC, 100)]
        with Daemon(tmp_path / 'run', prefix=wrapper, pass_fds=wrapper[3:]) as daemon:
            os.close(wrapper[3])
            os.close(wrapper[4])
            vgpus = daemon.vgpus()
            assert vgpus['desk']['socket'] == str(tmp_path / 'mine.sock')
            for name, kind in ('mine', 'configured'), ('any', 'on-demand'):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(TIMEOUT)
                    connection.connect(str(tmp_path / f'{name}.sock'))
                    assert echo(connection)
                    assert kind in [v['kind'] for v in daemon.vgpus().values() if v['peer']]
            assert daemon.stop() == 0
        # They are the service manager's to remove.
        assert (tmp_path / 'mine.sock').exists() and (tmp_path / 'any.sock').exists()


# ---- which GPU ------------------------------------------------------------------------------

TWO_GPUS = ('{"gpus": [{"id": "/dev/dri/renderD128", "gl_renderer": "Some GPU"},'
            ' {"id": "egl:0", "usable": false, "error": "no OpenGL"}, {"id": "software"}],'
            ' "auto": "/dev/dri/renderD128", "why": "the first with hardware"}')


@pytest.mark.parametrize('option, gpu, why', [
    ('auto', '/dev/dri/renderD128', 'the first with hardware'),
    ('software', 'software', 'as configured')])
def test_gpu_choice(tmp_path, option, gpu, why):
    env = {'ALIQUOT_MOCK_PROBE': TWO_GPUS}
    with Daemon(tmp_path / 'run', '--gpu', option, env=env) as daemon:
        info = daemon.call('GetInfo')
        assert (info['gpu'], info['why']) == (gpu, why)
        daemon.log.wait(f'GPU {gpu}: {why}')
        with daemon.connect() as connection:
            assert echo(connection)
            assert f'mock virgl on {gpu}' in daemon.vgpus()['auto-1']['gl']


def test_missing_gpu_names_those_that_exist(tmp_path):
    failed = run_daemon('--socket-dir', tmp_path / 'run', '--gpu=/dev/dri/renderD129',
                        env={'ALIQUOT_MOCK_PROBE': TWO_GPUS})
    assert failed.returncode == 1
    assert ("there is no GPU '/dev/dri/renderD129'; there are: /dev/dri/renderD128 (Some GPU), "
            'egl:0 (unusable: no OpenGL), software') in failed.stderr
    failed = run_daemon('--socket-dir', tmp_path / 'run', '--gpu=egl:0',
                        env={'ALIQUOT_MOCK_PROBE': TWO_GPUS})
    assert "can't use the GPU 'egl:0'" in failed.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('probe, message', [
    ('fail', 'exited with status 1'), ('crash', 'was killed by signal 6'),
    ('nonsense', "can't be understood"), ('{"gpus": 7}', "can't be understood"),
    ('{"gpus": [], "auto": null, "why": "no driver"}', 'no GPU can be used'),
    ('x' * 100000, 'no answer')])
def test_bad_probe(tmp_path, probe, message):
    failed = run_daemon('--socket-dir', tmp_path / 'run', env={'ALIQUOT_MOCK_PROBE': probe})
    assert failed.returncode == 1
    assert message in failed.stderr
    assert os.listdir(tmp_path) == []


def test_null_backend_needs_no_probe(tmp_path):
    with Daemon(tmp_path / 'run', '--backend=null', env={'ALIQUOT_MOCK_PROBE': 'crash'}) as daemon:
        assert daemon.call('GetInfo')['gpu'] == 'none'


def test_missing_renderer(tmp_path):
    failed = run_daemon('--socket-dir', tmp_path / 'run',
                        env={'ALIQUOT_RENDERER': '/nonexistent/renderer'})
    assert failed.returncode == 1
    assert '/nonexistent/renderer: No such file' in failed.stderr


# ---- connections ----------------------------------------------------------------------------


def test_connection_is_handed_on_unread(tmp_path):
    """Bytes sent before the renderer exists reach it, and it gets no descriptor but its own."""
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        with daemon.connect('desk') as connection:
            assert echo(connection, b'first bytes')
            # stdio, the broker's socket, counters, memory, trace, lease; SERVE still waits in the socket
            assert 'fds [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]' in daemon.vgpus()['desk']['gl']


def test_second_connection_is_closed(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        with daemon.connect('desk') as first, daemon.connect('desk') as second:
            assert at_end(second)
            daemon.log.wait(r"vGPU 'desk': refused a second connection")
            assert echo(first)


def test_on_demand_names_and_bound(tmp_path):
    config = tmp_path / 'conf'
    config.write_text('[aliquot]\nmax-vgpus = 2\n')
    with Daemon(tmp_path / 'run', '--config', config) as daemon:
        first, second = daemon.connect(), daemon.connect()
        assert echo(first) and echo(second)
        assert set(daemon.vgpus()) == {'auto-1', 'auto-2'}
        with daemon.connect() as third:
            assert at_end(third)
        daemon.log.wait('as many as max-vgpus allows')
        first.close()
        daemon.log.wait("vGPU 'auto-1': renderer .* exited with status 0")
        with daemon.connect() as fourth:
            assert echo(fourth)
            assert set(daemon.vgpus()) == {'auto-1', 'auto-2'}  # the smallest free number
        second.close()


def test_on_demand_can_be_off(tmp_path):
    config = tmp_path / 'conf'
    config.write_text('[aliquot]\non-demand = no\n[vgpu desk]\n')
    with Daemon(tmp_path / 'run', '--config', config) as daemon:
        assert not (daemon.dir / 'aliquot.sock').exists()
        assert list(daemon.vgpus()) == ['desk']


def test_killed_renderer_frees_the_vgpu(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        for _ in range(2):
            with daemon.connect('desk') as connection:
                assert echo(connection)
                renderer = daemon.vgpus()['desk']['rendererPid']
                os.kill(renderer, signal.SIGKILL)
                assert at_end(connection)
                daemon.log.wait(rf"vGPU 'desk': renderer {renderer} was killed by signal 9 \(.*\) "
                                r'after \d+\.\d+ s')
        assert daemon.vgpus()['desk']['state'] == 'idle'
        assert daemon.children() == []


def test_a_hundred_connections_leave_nothing(tmp_path):
    """Back to back: each finds the vGPU free, although the renderer before may still be ending."""
    renderer = RENDERER if RENDERER.exists() else None
    options = {'renderer': renderer} if renderer else {}
    with Daemon(tmp_path / 'run', '--vgpu', 'desk', '--backend', 'null', **options) as daemon:
        def connect(count):
            done = len(re.findall(r"'desk': renderer \d+ (exited|was)", daemon.log.text()))
            for _ in range(count):
                daemon.connect('desk').close()
                done += 1
                daemon.log.wait(r"'desk': renderer \d+ (exited|was)", count=done)

        connect(10)
        fds, rss = daemon.fds(), daemon.rss_kib()
        connect(100)
        assert daemon.fds() == fds
        assert daemon.children() == []
        assert 'refused' not in daemon.log.text()
        if not sanitized():  # which keep freed memory for a while
            assert daemon.rss_kib() <= rss + 128


def test_own_descriptors_stay(tmp_path):
    """Starting a renderer closes nothing that the daemon had."""
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        def first():
            return [os.readlink(f'/proc/{daemon.pid}/fd/{fd}') for fd in range(3)]

        before = first()
        with daemon.connect('desk') as connection:
            assert echo(connection)
            assert first() == before


def test_return_at_once_finds_the_vgpu_free(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        for _ in range(5):
            with daemon.connect('desk') as connection:
                assert echo(connection)
        assert 'refused' not in daemon.log.text()


# ---- renderers that misbehave ---------------------------------------------------------------


@pytest.mark.parametrize('mode', ['rubbish', 'long', 'version', 'length', 'unknown', 'early',
                                  'descriptor', 'flood'])
def test_renderer_that_breaks_the_protocol_is_killed(tmp_path, mode):
    with Daemon(tmp_path / 'run', '--vgpu', mode, '--vgpu', 'desk') as daemon:
        with daemon.connect(mode) as connection, daemon.connect('desk') as neighbour:
            assert at_end(connection)
            daemon.log.wait(rf"vGPU '{mode}': renderer \d+ broke the protocol \(.*\), killing it")
            daemon.log.wait(rf"vGPU '{mode}': renderer \d+ was killed by signal 9")
            assert echo(neighbour)
        assert daemon.vgpus()[mode]['state'] == 'idle'


@pytest.mark.parametrize('mode, how', [('exit', 'exited with status 3'),
                                       ('crash', 'was killed by signal 11')])
def test_renderer_that_ends_at_once(tmp_path, mode, how):
    with Daemon(tmp_path / 'run', '--vgpu', mode) as daemon:
        for count in 1, 2:
            with daemon.connect(mode) as connection:
                assert at_end(connection)
                daemon.log.wait(how, count=count)
        assert daemon.vgpus()[mode]['state'] == 'idle'


def test_hanging_renderer_ends_with_its_peer(tmp_path):
    """Nothing ends it but the daemon: a moment of grace, then SIGKILL."""
    with Daemon(tmp_path / 'run', '--vgpu', 'hang') as daemon:
        with daemon.connect('hang') as connection:
            assert echo(connection)
        daemon.log.wait("vGPU 'hang': renderer .* is still there .* after its connection ended, "
                        "killing it")
        daemon.log.wait("vGPU 'hang': renderer .* was killed by signal 9")
        assert daemon.vgpus()['hang']['state'] == 'idle'


def test_texts_and_counters_of_a_renderer_are_tamed(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'ugly') as daemon:
        with daemon.connect('ugly') as connection:
            assert echo(connection)
            vgpu = daemon.vgpus()['ugly']
            assert vgpu['gl'] == '?[31m?'
            assert vgpu['submits'] == 2 ** 63 - 1
            table = daemon.cli('list').stdout
            assert '\x1b' not in table and max(map(len, table.splitlines())) <= 80


# ---- stop -----------------------------------------------------------------------------------


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_stop_leaves_nothing(tmp_path, number):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk', '--vgpu', 'deaf', '--vgpu',
                'silent') as daemon:
        connections = [daemon.connect(name) for name in ('desk', 'deaf', 'aliquot', 'silent')]
        assert all(echo(connection) for connection in connections[:3])
        renderers = daemon.children()
        assert len(renderers) == 4
        daemon.signal(number)
        assert all(at_end(connection) for connection in connections)
        assert daemon.wait() == 0
        assert not any(os.path.exists(f'/proc/{pid}') for pid in renderers)
    assert not (tmp_path / 'run').exists()


def test_stop_empties_a_directory_that_was_there(tmp_path):
    (tmp_path / 'run').mkdir()
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        assert daemon.stop() == 0
    assert os.listdir(tmp_path / 'run') == []


def test_second_signal_is_impatient(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'deaf') as daemon:
        with daemon.connect('deaf') as connection:
            assert echo(connection)
            daemon.signal(signal.SIGTERM)
            daemon.log.wait('stopping')
            daemon.signal(signal.SIGINT)
            assert daemon.wait() == 0
        assert 'does not heed SIGTERM' not in daemon.log.text()


# ---- footprint, and the real renderer -------------------------------------------------------


def test_footprint(tmp_path, record_property):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        with daemon.connect('desk') as connection:
            assert echo(connection)
            daemon.vgpus()
            record_property('rss_kib', daemon.rss_kib())
            print(f'aliquotd: {daemon.rss_kib()} KiB RSS')
            if not sanitized():
                assert daemon.rss_kib() <= 10 * 1024


def test_real_renderer(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk', '--backend=null', renderer=RENDERER) as daemon:
        with daemon.connect('desk') as connection:
            daemon.log.wait("vGPU 'desk': ready")
            # GET_FEATURES of vhost-user: 12 bytes of header and a u64 come back
            connection.sendall(bytes([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]))
            answer = connection.recv(64)
            assert answer[:4] == bytes([1, 0, 0, 0]) and len(answer) == 20
            vgpu = daemon.vgpus()['desk']
            assert vgpu['state'] == 'connected' and vgpu['gl']
        daemon.log.wait("vGPU 'desk': connection of .* ended: ")
        daemon.log.wait(r"vGPU 'desk': renderer \d+ exited with status 0")
        assert daemon.stop() == 0


@pytest.mark.parametrize('args, status, out, err', [
    (['--help'], 0, 'Usage: aliquotd', ''), (['--version'], 0, 'aliquotd ', ''),
    (['--unknown'], 2, '', "unrecognized option '--unknown'"),
    (['stray'], 2, '', "unexpected argument 'stray'"),
    (['--ready-fd', 'x'], 2, '', '--ready-fd'), (['--ready-fd=77'], 2, '', 'is not open'),
    (['--gpu', 'fast'], 1, '', "--gpu: 'fast' is no value for gpu; allowed: auto, software"),
    (['--vgpu', '../x'], 1, '', 'is no name for a vGPU'),
    (['--vgpu', 'a', '--vgpu', 'a'], 1, '', "vGPU 'a' is configured already")])
def test_command_line(args, status, out, err):
    result = subprocess.run([ALIQUOTD, *args], capture_output=True, text=True, timeout=TIMEOUT,
                            env=environment())
    assert result.returncode == status
    assert out in result.stdout and err in result.stderr
