# SPDX-License-Identifier: MIT
"""A vGPU's share of the GPU as the operator sets and sees it: options and keys, "aliquot set", what
is kept over restarts, and what the control interface says to those who ask for nonsense."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
from daemon import TIMEOUT, Daemon, cli, echo, run_daemon
from runner import CONNECT, Running, run, wait_until

KNOBS = ('weight', 'reservation', 'cap', 'slice')
DEFAULT = (100, '0%', '100%', '4ms')


def knobs(vgpu):
    return tuple(vgpu[key] for key in KNOBS)


# ---- configuration and command line ---------------------------------------------------------


def test_configured(tmp_path):
    (tmp_path / 'conf').write_text('[aliquot]\nweight = 50\nslice = 2 ms\npolicy = fixed\n'
                                   '[vgpu a]\nreservation = 12.5%\n[vgpu b]\nweight = 7\ncap = 30\n')
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf', '--policy=fair', '--preempt=drain',
                '--parallelism=2', '--reset-after=5s') as daemon:
        vgpus = daemon.vgpus()
        assert knobs(vgpus['a']) == (50, '12.5%', '100%', '2ms')
        assert knobs(vgpus['b']) == (7, '0%', '30%', '2ms')
        gpu, = daemon.call('ListGPUs')['gpus']
        assert (gpu['gpu'], gpu['policy'], gpu['preempt'], gpu['parallelism'], gpu['reserved'],
                gpu['vgpus']) == ('software', 'fair', 'drain', 2, '12.5%', 2)


@pytest.mark.parametrize('option, message', [
    ('--policy=greedy', "--policy: 'greedy' is no value for policy; allowed: fair, equal, fixed or"),
    ('--preempt=now', "--preempt: 'now' is no value for preempt; allowed: auto, cpu or drain"),
    ('--parallelism=0', "--parallelism: '0' is out of range for parallelism; allowed: 1 to 64"),
    ('--reset-after=1ms', "--reset-after: '1ms' is out of range for reset-after; allowed: 100ms to"),
    ('--metrics=localhost:80', "--metrics: 'localhost:80' is no value for metrics; allowed: off, PO"),
    ('--state-dir=', "--state-dir: '' is no value for state-dir; allowed: a directory"),
])
def test_bad_options(tmp_path, option, message):
    result = run_daemon('--socket-dir', tmp_path / 'run', option)
    assert result.returncode == 1
    assert message in result.stderr


def test_not_admitted_at_the_start(tmp_path):
    (tmp_path / 'conf').write_text('[vgpu a]\nreservation = 60%\n[vgpu b]\nreservation = 40%\n')
    result = run_daemon('--socket-dir', tmp_path / 'run', '--config', tmp_path / 'conf')
    assert result.returncode == 1
    assert "vGPU 'b': a reservation of 40% is more than its GPU has left" in result.stderr


# ---- renderers that do not keep to it --------------------------------------------------------


def processor_s(pid):
    with open(f'/proc/{pid}/stat') as stat:
        fields = stat.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def test_draws_without_saying_so(tmp_path):
    """What the processors of a software GPU do is seen, and held to the cap, whatever is said."""
    (tmp_path / 'conf').write_text('[vgpu burn]\ncap = 20%\n[vgpu running]\ncap = 20%\n')
    one = str(min(os.sched_getaffinity(0)))
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf',
                prefix=('taskset', '-c', one)) as daemon:
        with daemon.connect('burn'), daemon.connect('running') as other:
            assert echo(other)
            daemon.log.wait(r"vGPU 'burn': renderer \d+ uses the processors beyond its cap")
            pid, stops = daemon.vgpus()['burn']['rendererPid'], daemon.vgpus()['burn']['stops']
            had, since = processor_s(pid), time.monotonic()
            assert wait_until(lambda: daemon.vgpus()['burn']['stops'] >= stops + 6)
            # From the start of one stop to that of another: 20 % and a look.
            assert processor_s(pid) - had < 0.5 * (time.monotonic() - since)
            assert echo(other)
            vgpus = daemon.vgpus()
            assert (vgpus['burn']['gpuUsec'], vgpus['running']['stops']) == (0, 0)


# ---- aliquot set ----------------------------------------------------------------------------


def test_set(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'desk', '--vgpu', 'other') as daemon:
        with daemon.connect('desk') as connection:
            assert echo(connection)
            result = daemon.cli('set', 'desk', '--weight', '300', '--cap', '50%')
            assert (result.returncode, result.stderr) == (0, '')
            assert result.stdout == 'desk: weight 300, reservation 0%, cap 50%, slice 4ms\n'
            result = daemon.cli('set', '--reservation=20%', '--slice=0.5ms', 'desk', '--json')
            assert json.loads(result.stdout) == {'name': 'desk', 'weight': 300, 'cap': '50%',
                                                 'reservation': '20%', 'slice': '0.5ms'}
            assert knobs(daemon.vgpus()['desk']) == (300, '20%', '50%', '0.5ms')
            assert knobs(daemon.vgpus()['other']) == DEFAULT
            daemon.log.wait(r"vGPU 'desk': weight 300, reservation 20%, cap 50%, slice 0.5ms, by "
                            r'aliquot \(pid \d+, uid')
            assert echo(connection)  # it has noticed nothing
        assert not (tmp_path / 'run-state').exists()


@pytest.mark.parametrize('args, message', [
    (['desk', '--weight', '0'], "--weight: '0' is out of range; allowed: 1 to 10000"),
    (['desk', '--weight', 'NaN'], "--weight: 'NaN' is no value"),
    (['desk', '--reservation', '96%'], "--reservation: '96%' is out of range; allowed: 0 to 95"),
    (['desk', '--cap', '-5%'], "--cap: '-5%' is no value"),
    (['desk', '--slice', '1s'], "--slice: '1s' is out of range; allowed: 0.5ms to 30ms"),
    (['desk'], 'nothing to set'), (['desk', '--persist'], 'nothing to set'),
    (['--weight=5'], 'the name of a vGPU is missing'),
    (['a', 'b', '--weight=5'], 'one vGPU at a time')])
def test_set_usage(args, message):
    result = cli('set', *args)
    assert (result.returncode, result.stdout) == (2, '')
    assert message in result.stderr and "Try 'aliquot set --help'" in result.stderr


def test_set_refused(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'a', '--vgpu', 'b') as daemon:
        assert daemon.cli('set', 'a', '--reservation=60%').returncode == 0
        for args, error, message in [
                (['b', '--reservation=36%'], 'NotAdmitted',
                 "vGPU 'b': a reservation of 36% is more than its GPU has left: 60% are reserved, "
                 'and at most 95% can be'),
                (['a', '--cap=50%'], 'BadValue', "vGPU 'a': its cap is below its reservation"),
                (['c', '--weight=5'], 'NoSuchVGPU', "there is no vGPU 'c'"),
                (['x' * 100, '--weight=5'], 'NoSuchVGPU', "there is no vGPU 'xxx")]:
            result = daemon.cli('set', *args)
            assert (result.returncode, result.stdout) == (1, '')
            assert message in result.stderr
            parameters = {'name': args[0]}
            key, value = args[1][2:].split('=')
            parameters[key] = int(value) if key == 'weight' else value
            assert daemon.ask('SetVGPU', parameters)['error'] == f'io.aliquot.Mediator.{error}'
        assert knobs(daemon.vgpus()['a']) == (100, '60%', '100%', '4ms')
        assert knobs(daemon.vgpus()['b']) == DEFAULT
        assert daemon.cli('set', 'b', '--reservation=35%').returncode == 0


NOBODY = 65534
# Calls SetVGPU and prints the error or nothing; with a second name it claims a vGPU of that before.
SET_AS = '''
import json, socket, sys
path, target, claim = sys.argv[1:]
def call(more, **request):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    s.sendall(json.dumps(request | ({"more": True} if more else {})).encode() + b"\\0")
    data = b""
    while not data.endswith(b"\\0"):
        data += s.recv(65536)
    return s, json.loads(data[:-1])
if claim:
    kept, made = call(True, method="io.aliquot.Mediator.CreateVGPU", parameters={"name": claim})
    assert "error" not in made, made
_, answer = call(False, method="io.aliquot.Mediator.SetVGPU",
                 parameters={"name": target, "weight": 9999})
print(answer.get("error", ""))
'''


@pytest.mark.skipif(os.geteuid() != 0, reason='another user needs root')
def test_set_of_others():
    """Who may connect may change what was made for him, and nothing else."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix='aliquotd-'))  # pytest's own is closed to others
    folder.chmod(0o755)
    (folder / 'conf').write_text('[aliquot]\nallow-users = nobody\n[vgpu desk]\n')
    try:
        with Daemon(folder / 'run', '--config', folder / 'conf') as daemon, \
                Running('--name=roots', program=CONNECT + ['1'], socket_dir=daemon.dir) as running:
            running.out.wait('connected')

            def set_as_nobody(target, claim=''):
                result = subprocess.run(
                    ['/usr/bin/python3', '-I', '-c', SET_AS, daemon.dir / 'io.aliquot.Mediator',
                     target, claim], capture_output=True, text=True, timeout=TIMEOUT, user=NOBODY,
                    group=NOBODY, extra_groups=[], cwd='/', check=False)
                assert result.returncode == 0, result.stderr
                return result.stdout.strip()

            assert set_as_nobody('desk') == 'io.aliquot.Mediator.NotPermitted'
            assert set_as_nobody('roots', 'his') == 'io.aliquot.Mediator.NotPermitted'
            assert set_as_nobody('his', 'his') == ''
            assert knobs(daemon.vgpus()['desk']) == knobs(daemon.vgpus()['roots']) == DEFAULT
            assert running.finish() == 0
    finally:
        shutil.rmtree(folder)


# ---- aliquot run ----------------------------------------------------------------------------


def test_run_with_a_share(tmp_path):
    with Daemon(tmp_path / 'run') as daemon, \
            Running('--name=mine', '--weight=300', '--reservation=10%', '--cap=50%', '--slice=2ms',
                    program=CONNECT + ['2'], socket_dir=daemon.dir) as running:
        running.out.wait('connected')
        for name in 'mine', 'mine.2':
            assert knobs(daemon.vgpus()[name]) == (300, '10%', '50%', '2ms')
        assert [daemon.vgpus()[name]['shareOf'] for name in ('mine', 'mine.2')] == [None, 'mine']
        # What is set for one is for all connections, later ones too: they have one share.
        assert daemon.cli('set', 'mine', '--weight=7', '--reservation=60%',
                          '--cap=90%').returncode == 0
        with daemon.connect('mine') as connection:
            assert echo(connection)
            for name in 'mine', 'mine.2', 'mine.3':
                assert knobs(daemon.vgpus()[name]) == (7, '60%', '90%', '2ms')
            assert daemon.cli('set', 'mine.3', '--reservation=50%').returncode == 0
            for name in 'mine', 'mine.2', 'mine.3':
                assert knobs(daemon.vgpus()[name]) == (7, '50%', '90%', '2ms')
            gpu, = daemon.call('ListGPUs')['gpus']
            assert (gpu['reserved'], gpu['vgpus']) == ('50%', 3)
        refused = daemon.cli('set', 'mine', '--weight=8', '--persist')
        assert refused.returncode == 1
        assert 'only what configured ones have can be kept' in refused.stderr
        assert daemon.vgpus()['mine']['weight'] == 7
        assert running.finish() == 0


def test_run_refused(tmp_path):
    with Daemon(tmp_path / 'run', '--vgpu', 'a') as daemon:
        assert daemon.cli('set', 'a', '--reservation=60%').returncode == 0
        result = run('--reservation=40%', socket_dir=daemon.dir)
        assert result.returncode == 125
        assert 'a reservation of 40% is more than its GPU has left' in result.stderr
        result = run('--reservation=30%', '--cap=20%', socket_dir=daemon.dir)
        assert result.returncode == 125
        assert 'its cap is below its reservation' in result.stderr
        result = run('--weight=many', socket_dir=daemon.dir)
        assert result.returncode == 2
        assert "--weight: 'many' is no value; allowed: 1 to 10000" in result.stderr
        assert set(daemon.vgpus()) == {'a'}


def test_private_daemon_has_its_own_state(tmp_path):
    """What is kept for the machine's daemon is not for that of a program."""
    (tmp_path / 'vgpus.conf').write_text('[vgpu desk]\nweight = 5\n')
    result = run('--weight=300', env={'STATE_DIRECTORY': str(tmp_path)})
    assert (result.returncode, result.stderr) == (0, '')


# ---- kept over restarts ---------------------------------------------------------------------


def test_persist(tmp_path):
    options = ['--vgpu', 'a', '--vgpu', 'b', '--state-dir', tmp_path / 'deep/state']
    with Daemon(tmp_path / 'run', *options) as daemon:
        assert daemon.cli('set', 'a', '--weight=300', '--slice=2ms', '--persist').returncode == 0
        assert daemon.cli('set', 'a', '--cap=50%', '--persist').returncode == 0
        assert daemon.cli('set', 'b', '--cap=60%').returncode == 0  # not kept
    with Daemon(tmp_path / 'run', *options) as daemon:
        assert knobs(daemon.vgpus()['a']) == (300, '0%', '50%', '2ms')
        assert knobs(daemon.vgpus()['b']) == DEFAULT
    assert os.listdir(tmp_path / 'deep/state') == ['vgpus.conf']


def test_kept_reservations_that_move(tmp_path):
    """They are possible together, but not one by one in the order of the file."""
    (tmp_path / 'conf').write_text('[vgpu a]\nreservation = 20%\n[vgpu b]\nreservation = 60%\n')
    (tmp_path / 'vgpus.conf').write_text('[vgpu a]\nreservation = 70%\n'
                                         '[vgpu b]\nreservation = 10%\n')
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf', '--state-dir', tmp_path) as daemon:
        assert daemon.vgpus()['a']['reservation'] == '70%'
        assert daemon.vgpus()['b']['reservation'] == '10%'


@pytest.mark.parametrize('text, warning, expected', [
    ('[vgpu gone]\nweight = 5\n', "there is no vGPU 'gone'; what is kept for it is ignored", 100),
    ('[vgpu a]\nreservation = 50%\nweight = 9\n', "a reservation of 50% is more than its GPU has "
     'left', 100),
    ('[vgpu a]\nweight = 9\n[vgpu \x1b[2J]\n', 'is no name for a vGPU', 9),
    ('[vgpu a]\nweight = 9\nslice = nan\n', "vgpus.conf:3: 'nan' is no value for slice", 9),
    ('[vgpu a]\nweight = 99999999999999999999\n', 'out of range for weight', 100),
    ('[vgpu a]\nweight = 9\nbackend = virgl\n', 'only weight, reservation, cap and slice', 9),
])
def test_bad_state_is_a_warning(tmp_path, text, warning, expected):
    (tmp_path / 'conf').write_text('[vgpu a]\nbackend = null\n[vgpu b]\nbackend = null\n'
                                   'reservation = 60%\n')
    (tmp_path / 'vgpus.conf').write_text(text)
    with Daemon(tmp_path / 'run', '--config', tmp_path / 'conf', '--state-dir', tmp_path) as daemon:
        daemon.log.wait(re.escape(warning))
        assert daemon.vgpus()['a']['weight'] == expected
        assert daemon.vgpus()['a']['backend'] == 'null'
        assert '\x1b' not in daemon.log.text()


def test_persist_that_fails(tmp_path):
    (tmp_path / 'file').write_text('')
    with Daemon(tmp_path / 'run', '--vgpu', 'a', '--state-dir', tmp_path / 'file/x') as daemon:
        result = daemon.cli('set', 'a', '--weight=5', '--persist')
        assert result.returncode == 1
        assert "vGPU 'a': the change is in force, but not kept: " in result.stderr
        assert f'{tmp_path}/file/x/vgpus.conf' in result.stderr
        assert daemon.ask('SetVGPU', {'name': 'a', 'weight': 5, 'persist': True})['error'] \
            == 'io.aliquot.Mediator.NotKept'
        assert daemon.vgpus()['a']['weight'] == 5


# ---- hostile clients ------------------------------------------------------------------------

INVALID = 'org.varlink.service.InvalidParameter'
BAD = 'io.aliquot.Mediator.BadValue'


@pytest.mark.parametrize('method, parameters, error', [
    ('SetVGPU', {}, INVALID),
    ('SetVGPU', {'name': None}, INVALID),
    ('SetVGPU', {'name': 7}, INVALID),
    ('SetVGPU', {'name': 'a', 'weight': '300'}, BAD),
    ('SetVGPU', {'name': 'a', 'weight': [1]}, INVALID),
    ('SetVGPU', {'name': 'a', 'weight': 1.5}, INVALID),
    ('SetVGPU', {'name': 'a', 'weight': 10 ** 30}, INVALID),
    ('SetVGPU', {'name': 'a', 'weight': 2 ** 63 - 1}, BAD),
    ('SetVGPU', {'name': 'a', 'weight': -2 ** 63}, BAD),
    ('SetVGPU', {'name': 'a', 'weight': -1}, BAD),
    ('SetVGPU', {'name': 'a', 'weight': 0}, BAD),
    ('SetVGPU', {'name': 'a', 'cap': 50}, INVALID),
    ('SetVGPU', {'name': 'a', 'cap': 'NaN'}, BAD),
    ('SetVGPU', {'name': 'a', 'cap': '-inf%'}, BAD),
    ('SetVGPU', {'name': 'a', 'cap': ''}, BAD),
    ('SetVGPU', {'name': 'a', 'reservation': '1e9%'}, BAD),
    ('SetVGPU', {'name': 'a', 'reservation': '9' * 100000}, BAD),
    ('SetVGPU', {'name': 'a', 'slice': '-2ms'}, BAD),
    ('SetVGPU', {'name': 'a', 'slice': '2ms\nweight = 7'}, BAD),
    ('SetVGPU', {'name': 'a', 'persist': 'yes'}, INVALID),
    ('SetVGPU', {'name': 'a', 'colour': 'red'}, INVALID),
    ('ReadEvents', {}, INVALID),
    ('ReadEvents', {'gpu': 'software', 'cursor': -1}, INVALID),
    ('ReadEvents', {'gpu': 'software', 'cursor': 'x'}, INVALID),
    ('ReadEvents', {'gpu': 'x' * 100000}, 'io.aliquot.Mediator.NoSuchGPU'),
    ('ReadWork', {}, INVALID),
    ('ReadWork', {'gpu': 'software', 'cursor': -1}, INVALID),
    ('ReadWork', {'gpu': 'software', 'cursor': 'x'}, INVALID),
    ('ReadWork', {'gpu': 'x' * 100000}, 'io.aliquot.Mediator.NoSuchGPU'),
    ('ListGPUs', {'x': 1}, INVALID),
])
def test_nonsense_is_refused(hostile_daemon, method, parameters, error):
    answer = hostile_daemon.ask(method, parameters)
    assert answer['error'] == error
    assert knobs(hostile_daemon.vgpus()['a']) == DEFAULT
    if error == BAD:
        assert 'allowed: ' in answer['parameters']['message']


@pytest.fixture(name='hostile_daemon', scope='module')
def start_hostile_daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp('hostile') / 'run', '--vgpu', 'a') as daemon:
        yield daemon


def test_events_of_nobody(hostile_daemon):
    for cursor in None, 0, 2 ** 63 - 1:
        answer = hostile_daemon.call('ReadEvents', {'gpu': 'software', 'cursor': cursor})
        assert (answer['events'], answer['lost'], answer['more']) == ([], 0, False)
        assert answer['cursor'] == 0
        assert answer['vgpus'] == [{'number': 1, 'name': 'a'}]
        answer = hostile_daemon.call('ReadWork', {'gpu': 'software', 'cursor': cursor})
        assert (answer['work'], answer['lost'], answer['more']) == ([], 0, False)
        assert answer['cursor'] == 0
        assert answer['memory'] == [{'number': 1, 'resourceBytes': 0, 'vulkanBytes': 0}]


def test_clients_that_never_read(hostile_daemon):
    """Answers that nobody takes are bounded, and others get theirs."""
    request = json.dumps({'method': 'io.aliquot.Mediator.ListVGPUs'}).encode() + b'\0'
    with hostile_daemon.connect('a') as guest:
        assert echo(guest)
        for _ in range(4):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
                deaf.settimeout(TIMEOUT)
                deaf.connect(str(hostile_daemon.dir / 'io.aliquot.Mediator'))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    while True:
                        deaf.sendall(request)
                size = 0
                with contextlib.suppress(ConnectionResetError):
                    while chunk := deaf.recv(1 << 20):
                        size += len(chunk)
                assert size < 1 << 20
            assert echo(guest)
            assert 'a' in hostile_daemon.vgpus()
        hostile_daemon.log.wait(r'control: \S+ \(pid \d+, uid \d+\) asks and does not read')


def test_varlinkctl(hostile_daemon):
    """The reference client reads the description and calls."""
    address = str(hostile_daemon.dir / 'io.aliquot.Mediator')
    result = subprocess.run(['varlinkctl', 'introspect', address, 'io.aliquot.Mediator'],
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    for text in ('method SetVGPU', 'method ReadEvents', 'method ReadWork', 'error NotAdmitted',
                 'waits: Histogram'):
        assert text in result.stdout
    result = subprocess.run(['varlinkctl', '--json=short', 'call', address,
                             'io.aliquot.Mediator.ListVGPUs', '{}'],
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert knobs(json.loads(result.stdout)['vgpus'][0]) == DEFAULT
