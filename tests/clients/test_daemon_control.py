# SPDX-License-Identifier: MIT
"""What aliquotd tells and whom: the control interface, the aliquot program, who may connect, and
what it says about bad configuration."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
from daemon import Daemon, at_end, cli, echo, run_daemon

NOBODY = 65534

FIELDS = {'name', 'state', 'kind', 'socket', 'peer', 'gpu', 'backend', 'gl', 'rendererPid',
          'resources', 'resourceBytes', 'contexts', 'submits', 'commands', 'fences', 'rejected',
          'flushes', 'mappedBlobs', 'vulkanContexts', 'vulkanDevices', 'vulkanBytes',
          'vulkanSubmits', 'vulkanRefused', 'vulkanUsec', 'connectedUsec', 'number', 'weight',
          'reservation', 'cap', 'slice', 'lease', 'gpuUsec', 'busyUsec', 'waitingUsec', 'cappedUsec',
          'slices', 'debtUsec', 'overrunUsec', 'gpuSubmits', 'gpuCompletions', 'inFlight', 'cuts',
          'resets', 'faults', 'floods', 'stops', 'waits', 'latencies', 'shareOf'}


def test_list_json(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'running', '--vgpu', 'idle', '--vgpu',
                'silent') as daemon:
        with daemon.connect('running') as connection, daemon.connect('silent'):
            assert echo(connection)
            result = daemon.cli('list', '--json')
            assert (result.returncode, result.stderr) == (0, '')
            running, idle, silent = json.loads(result.stdout)
            for vgpu in running, idle, silent:
                assert set(vgpu) == FIELDS
                assert vgpu['kind'] == 'configured'
                assert vgpu['socket'] == str(daemon.dir / f'{vgpu["name"]}.sock')
            assert running['state'] == 'running'
            peer = running['peer']
            assert (peer['pid'], peer['uid'], peer['gid']) == (os.getpid(), os.getuid(),
                                                               os.getgid())
            assert peer['comm'] == pathlib.Path('/proc/self/comm').read_text().strip()
            assert running['rendererPid'] in daemon.children()
            counters = {'resources': 3, 'resourceBytes': 5000000, 'contexts': 2, 'commands': 40,
                        'submits': 7, 'fences': 6, 'rejected': 1, 'flushes': 9, 'mappedBlobs': 4,
                        'vulkanContexts': 1, 'vulkanBytes': 3000000, 'vulkanDevices': 2,
                        'vulkanSubmits': 15, 'vulkanRefused': 3}
            assert {key: running[key] for key in counters} == counters
            assert abs(running['connectedUsec'] / 1e6 - time.time()) < 300
            assert idle['state'] == 'idle'
            assert [idle[key] for key in ('peer', 'gl', 'rendererPid', 'connectedUsec')] \
                == [None] * 4
            assert idle['submits'] == 0
            assert (silent['state'], silent['gl']) == ('starting', None)


def test_list_table(tmp_path):
    name = 'a-name-as-long-as-fits-a-path'  # with pytest's own folder before it
    with Daemon(tmp_path / 'run', '--vgpu', name, '--vgpu', 'desk') as daemon:
        with daemon.connect(name) as connection:
            assert echo(connection)
            lines = daemon.cli('list').stdout.splitlines()
            assert max(map(len, lines)) <= 80
            assert lines[0].split() == ['NAME', 'STATE', 'PEER', 'GPU', 'WEIGHT', 'GPUTIME', 'WAITING',
                                        'MEMORY', 'VK']
            assert lines[1].startswith('a-name-as-lo~')
            assert lines[1].split()[-2:] == ['7.6M', '1']  # resources and Vulkan's together
            assert lines[2].split()[:3] == ['desk', 'idle', '-']


def test_info(tmp_path):
    with Daemon(tmp_path / 'run') as daemon:
        info = json.loads(daemon.cli('info', '--json').stdout)
        assert info['pid'] == daemon.pid
        assert info['socketDir'] == str(daemon.dir)
        assert {'version', 'gpu', 'why'} <= set(info)
        text = daemon.cli('info').stdout
        assert f'pid {daemon.pid}' in text and info['why'] in text


def test_introspection(tmp_path):
    with Daemon(tmp_path / 'run') as daemon:
        service = 'org.varlink.service'
        info = daemon.call('GetInfo', interface=service)
        assert 'io.aliquot.Mediator' in info['interfaces']
        text = daemon.call('GetInterfaceDescription', {'interface': 'io.aliquot.Mediator'},
                           interface=service)['description']
        assert all(f'method {name}' in text for name in ('ListVGPUs', 'ListGPUs', 'GetInfo', 'CreateVGPU',
                                                      'SetVGPU', 'ReadEvents'))
        assert all(field in text for field in FIELDS)


def test_rubbish_on_the_control_socket(tmp_path):
    with Daemon(tmp_path / 'run') as daemon:
        for rubbish in b'\0', b'{}\0', b'[1,2\0', b'{"method": 7}\0':
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(30)
                sock.connect(str(daemon.dir / 'io.aliquot.Mediator'))
                sock.sendall(rubbish)
                while sock.recv(4096):  # an error or the end, but no hang
                    break
        assert daemon.vgpus() == {}


def test_no_daemon(tmp_path):
    result = cli('list', '--socket-dir', str(tmp_path))
    assert (result.returncode, result.stdout) == (1, '')
    assert str(tmp_path / 'io.aliquot.Mediator') in result.stderr
    assert f"aliquotd --socket-dir {tmp_path}" in result.stderr


@pytest.mark.parametrize('args, status, out, err', [
    (['--help'], 0, 'list', ''), (['list', '--help'], 0, 'Usage: aliquot list', ''),
    (['--version'], 0, 'aliquot ', ''), ([], 2, '', 'a command is missing'),
    (['frobnicate'], 2, '', "unknown command 'frobnicate'"),
    (['list', 'x'], 2, '', "unexpected argument 'x'"),
    (['list', '--x'], 2, '', 'unrecognized option')])
def test_cli_command_line(args, status, out, err):
    result = cli(*args)
    assert result.returncode == status
    assert out in result.stdout and err in result.stderr


# ---- who may connect ------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='another user needs root')


@pytest.fixture
def open_dir():
    """A directory that other users can reach, which pytest's own is not."""
    path = pathlib.Path(tempfile.mkdtemp(prefix='aliquotd-'))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def visit(path, talk, uid=NOBODY, gid=NOBODY, groups=()):
    """Connects as another user; what comes back is 'served' or 'closed'."""
    program = ('import socket, sys\n'
               's = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.settimeout(60)\n'
               's.connect(sys.argv[1])\n'
               'try:\n'
               '    s.sendall(sys.argv[2].encode().replace(b"@", b"\\0"))\n'
               '    print("served" if s.recv(4096) else "closed")\n'
               'except (BrokenPipeError, ConnectionResetError):\n'
               '    print("closed")\n')
    result = subprocess.run(['/usr/bin/python3', '-I', '-c', program, str(path), talk],
                            capture_output=True, text=True, timeout=120, user=uid, group=gid,
                            extra_groups=groups, cwd='/')
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


CALL = '{"method": "io.aliquot.Mediator.GetInfo"}@'


@needs_root
def test_strangers_are_refused(open_dir):
    config = open_dir / 'conf'
    config.write_text('[aliquot]\nsocket-mode = 0666\n[vgpu desk]\n')
    with Daemon(open_dir / 'run', '--config', config) as daemon:
        assert visit(daemon.dir / 'desk.sock', 'hello') == 'closed'
        daemon.log.wait(rf"vGPU 'desk': refused \S+ \(pid \d+, uid {NOBODY}\)")
        assert visit(daemon.dir / 'aliquot.sock', 'hello') == 'closed'
        assert visit(daemon.dir / 'io.aliquot.Mediator', CALL) == 'closed'
        assert daemon.children() == []
        for _ in range(20):
            assert visit(daemon.dir / 'desk.sock', 'hello') == 'closed'
        assert daemon.log.text().count("vGPU 'desk': refused") <= 10


@needs_root
@pytest.mark.parametrize('policy, gid, groups', [
    ('allow-users = 65534', NOBODY, []), ('allow-users = nobody', NOBODY, []),
    ('allow-groups = 4242', 4242, []), ('allow-groups = 1 4242', NOBODY, [7, 4242])])
def test_allowed_peers_are_served(open_dir, policy, gid, groups):
    config = open_dir / 'conf'
    config.write_text(f'[aliquot]\n{policy}\n[vgpu desk]\n')
    with Daemon(open_dir / 'run', '--config', config) as daemon:
        assert visit(daemon.dir / 'desk.sock', 'hello', gid=gid, groups=groups) == 'served'
        assert visit(daemon.dir / 'io.aliquot.Mediator', CALL, gid=gid, groups=groups) == 'served'
        assert visit(daemon.dir / 'desk.sock', 'hello', uid=NOBODY - 1, gid=NOBODY - 1) == 'closed'


# ---- configuration --------------------------------------------------------------------------


@pytest.mark.parametrize('text, message', [
    ('[gpu]\n', ':1: unknown section [gpu]; known are: [aliquot], [vgpu NAME]'),
    ('[aliquot]\ngpu = auto\nspeed = 9\n', ":3: unknown key 'speed' in [aliquot]; known are: "),
    ('[vgpu a]\nsocket-dir = /x\n', ":2: unknown key 'socket-dir' in [vgpu NAME]; known are: weight"),
    ('\n[vgpu a]\nbackend = opengl\n', ":3: 'opengl' is no value for backend; allowed: virgl or n"),
    ('[vgpu a]\nscanouts = 17\n', ":2: '17' is out of range for scanouts; allowed: 0 to 16"),
    ('gpu = auto\n', ":1: 'gpu' stands before the first section"),
    ('[aliquot]\nnonsense\n', ':2: expected key = value'),
    ('[vgpu auto-3]\n', ":1: the name 'auto-3' is kept"),
    ('[aliquot]\nallow-users = no-such-user-here\n', ':2: '),
])
def test_bad_configuration(tmp_path, text, message):
    config = tmp_path / 'bad.conf'
    config.write_text(text)
    for mode in [['--check-config'], []]:
        result = run_daemon('--config', config, '--socket-dir', tmp_path / 'run', *mode)
        assert result.returncode == 1
        assert f'{config}{message}' in result.stderr
        assert not (tmp_path / 'run').exists()


def test_check_config(tmp_path):
    config = tmp_path / 'good.conf'
    config.write_text('[aliquot]\n  gpu = egl:1\n\n# a vGPU\n[vgpu a]\nmax-memory = 2G\n')
    result = run_daemon('--config', config, '--check-config')
    assert (result.returncode, result.stdout + result.stderr) == (0, '')
    result = run_daemon('--config', tmp_path / 'missing.conf', '--check-config')
    assert result.returncode == 1
    assert 'missing.conf: No such file' in result.stderr


def test_example_configuration():
    example = pathlib.Path(__file__).parents[2] / 'docs/aliquot.conf.example'
    assert run_daemon('--config', example, '--check-config').returncode == 0


def test_command_line_wins(tmp_path):
    config = tmp_path / 'conf'
    config.write_text(f'[aliquot]\nsocket-dir = {tmp_path}/other\nbackend = virgl\n'
                      '[vgpu a]\nsize = 640x480\n')
    with Daemon(tmp_path / 'run', '--config', config, '--backend', 'null') as daemon:
        with daemon.connect('a') as connection:
            assert echo(connection)
            assert daemon.vgpus()['a']['gl'].startswith('mock null on None 640x480')
        assert not (tmp_path / 'other').exists()


def test_at_end_of_refused_connection(tmp_path):
    """A vGPU of the configuration takes one connection; the one on demand does not share it."""
    with Daemon(tmp_path / 'run', '--vgpu', 'a') as daemon:
        with daemon.connect('a') as first, daemon.connect('a') as second, daemon.connect() as third:
            assert echo(first) and at_end(second) and echo(third)


def test_latencies_of_vulkan(tmp_path):
    """They come on top, as far as there was time for them."""
    begin = time.monotonic()
    with Daemon(tmp_path / 'run', '--vgpu', 'vulkan', '--vgpu', 'ugly') as daemon:
        with daemon.connect('vulkan') as one, daemon.connect('ugly') as other:
            assert echo(one) and echo(other)
            vgpus = daemon.vgpus()
            passed_us = 1e6 * (time.monotonic() - begin)
        counted = vgpus['vulkan']['latencies']
        assert counted['count'] == sum(counted['counts']) == 7 + 4
        assert counted['counts'][3] == 4 and counted['boundsUsec'][3] == 8
        assert (counted['sumUsec'], counted['maxUsec']) == (200004520, 100000000)
        lied = vgpus['ugly']['latencies']
        assert 7 < lied['count'] == sum(lied['counts']) < 7 + passed_us
        assert lied['counts'][26] == 0 and lied['counts'][27] == 2
        assert 200004500 < lied['sumUsec'] < 200004500 + passed_us * passed_us
        assert lied['maxUsec'] == 100000000


def test_latencies_outlive_the_renderer(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk') as daemon:
        for n in 1, 2:
            with daemon.connect('desk') as connection:
                assert echo(connection)
                latencies = daemon.vgpus()['desk']['latencies']
                assert latencies['count'] == sum(latencies['counts']) == 7 * n
                assert latencies['counts'][10] == 5 * n and latencies['counts'][27] == 2 * n
                assert latencies['boundsUsec'][10] == 1024
                assert (latencies['sumUsec'], latencies['maxUsec']) == (200004500 * n, 100000000)
            daemon.log.wait(r"vGPU 'desk': has had", count=n)
            assert daemon.vgpus()['desk']['latencies'] == latencies
