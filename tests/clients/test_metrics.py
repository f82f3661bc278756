# SPDX-License-Identifier: MIT
"""Metrics over HTTP: what is served, that Prometheus' own checker likes it, and clients that are not
as they should be."""

import contextlib
import http.client
import re
import socket
import subprocess
import urllib.parse

import pytest
from daemon import TIMEOUT, Daemon, at_end, echo, run_daemon

# As many at a time as mediator/daemon/metrics.c takes.
CONNECTIONS = 32


@pytest.fixture(name='daemon', scope='module')
def start_daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp('metrics')
    (folder / 'conf').write_text('[aliquot]\nmetrics = 127.0.0.1:0\n[vgpu desk]\nweight = 300\n'
                                 'reservation = 12.5%\n[vgpu running]\n')
    with Daemon(folder / 'run', '--config', folder / 'conf') as daemon:
        yield daemon


def address(daemon):
    url = urllib.parse.urlsplit(daemon.call('GetInfo')['metrics'])
    assert url.path == '/metrics'
    return url.hostname, url.port


def request(daemon, method='GET', path='/metrics', body=None, headers=()):
    connection = http.client.HTTPConnection(*address(daemon), timeout=TIMEOUT)
    connection.request(method, path, body, dict(headers))
    with contextlib.closing(connection), connection.getresponse() as response:
        return response.status, response.headers, response.read().decode()


def samples(text):
    return dict(line.rsplit(' ', 1) for line in text.splitlines() if not line.startswith('#'))


def test_metrics(daemon):
    with daemon.connect('running') as connection:
        assert echo(connection)
        status, headers, text = request(daemon)
    assert status == 200
    assert headers['Content-Type'] == 'text/plain; version=0.0.4; charset=utf-8'
    found = samples(text)
    desk = 'vgpu="desk",gpu="software"'
    assert re.search(r'aliquot_build_info\{version="[\d.]+"\} 1\n', text)
    assert found['aliquot_gpu_info{gpu="software",policy="fair",preempt="cpu"}'] == '1'
    assert found[f'aliquot_vgpu_weight{{{desk}}}'] == '300'
    assert found[f'aliquot_vgpu_reservation_ratio{{{desk}}}'] == '0.125000'
    assert found[f'aliquot_vgpu_slice_seconds{{{desk}}}'] == '0.004000000'
    assert found[f'aliquot_vgpu_connected{{{desk}}}'] == '0'
    assert found[f'aliquot_vgpu_wait_seconds_bucket{{{desk},le="+Inf"}}'] == '0'
    running = 'vgpu="running",gpu="software"'
    assert found[f'aliquot_vgpu_connected{{{running}}}'] == '1'
    assert found[f'aliquot_vgpu_memory_bytes{{{running}}}'] == '5000000'
    assert found[f'aliquot_vgpu_contexts{{{running}}}'] == '2'
    assert found[f'aliquot_vgpu_vulkan_contexts{{{running}}}'] == '1'
    assert found[f'aliquot_vgpu_vulkan_devices{{{running}}}'] == '2'
    assert found[f'aliquot_vgpu_vulkan_memory_bytes{{{running}}}'] == '3000000'
    assert found[f'aliquot_vgpu_vulkan_submits_total{{{running}}}'] == '15'
    assert found[f'aliquot_vgpu_vulkan_refused_total{{{running}}}'] == '3'
    assert found[f'aliquot_vgpu_vulkan_memory_bytes{{{desk}}}'] == '0'
    assert found[f'aliquot_vgpu_commands_total{{{running}}}'] == '40'
    assert found[f'aliquot_vgpu_latency_seconds_bucket{{{running},le="0.004096"}}'] == '5'
    assert found[f'aliquot_vgpu_latency_seconds_count{{{running}}}'] == '7'
    assert found[f'aliquot_vgpu_latency_seconds_sum{{{running}}}'] == '200.004500000'
    families = re.findall(r'^# TYPE (\S+) ', text, re.M)
    assert len(families) == len(set(families))


def test_the_checker_of_prometheus(daemon):
    result = subprocess.run(['promtool', 'check', 'metrics'], input=request(daemon)[2],
                            capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


@pytest.mark.parametrize('method, path, status', [
    ('GET', '/', 404), ('GET', '/metrics/', 404), ('GET', '/../etc/passwd', 404),
    ('GET', '/metrics?x=1', 200), ('GET', '/%6detrics', 200), ('HEAD', '/metrics', 405),
    ('POST', '/metrics', 405), ('PUT', '/metrics', 405), ('DELETE', '/metrics', 405),
    ('BREW', '/metrics', 405), ('POST', '/x', 404)])
def test_only_get(daemon, method, path, status):
    body = b'x' * 100000 if method in ('POST', 'PUT') else None
    answer = request(daemon, method, path, body)
    assert answer[0] == status
    if status == 405:
        assert answer[1]['Allow'] == 'GET'


def test_off_unless_configured(tmp_path):
    with Daemon(tmp_path / 'run') as daemon:
        assert daemon.call('GetInfo')['metrics'] is None
        with open(f'/proc/{daemon.pid}/net/tcp', encoding='ascii') as table:
            inodes = {line.split()[9] for line in table.readlines()[1:]}
        assert not {f'socket:[{inode}]' for inode in inodes} & set(daemon.fd_targets())


def test_address_in_use(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        result = run_daemon('--socket-dir', tmp_path / 'run', '--metrics', str(port))
        assert result.returncode == 1
        assert f"can't listen at http://127.0.0.1:{port}/metrics: Address already in use" \
            in result.stderr
        assert not (tmp_path / 'run').exists()


# ---- clients that are not as they should be -------------------------------------------------


def connect(daemon):
    sock = socket.create_connection(address(daemon), TIMEOUT)
    sock.settimeout(TIMEOUT)
    return sock


RUBBISH = {
    'zeros': b'\0' * 100,
    'lines': b'\r\n' * 50,
    'short': b'GET\r\n\r\n',
    'version': b'GET /metrics HTTP/9.9\r\n\r\n',
    'length': b'GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n',
    'headers': b'GET /metrics HTTP/1.1\r\n' + b'X: y\r\n' * 10000 + b'\r\n',
    'path': b'GET /' + b'x' * 100000 + b' HTTP/1.1\r\n\r\n',
}


@pytest.mark.parametrize('kind', RUBBISH)
def test_rubbish(daemon, kind):
    """An error or the end, and others are served."""
    with connect(daemon) as sock, contextlib.suppress(OSError):
        sock.sendall(RUBBISH[kind])
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    assert request(daemon)[0] == 200


def test_clients_that_never_read(daemon):
    """They ask for more than they take; those that say nothing at all keep others waiting for some
    seconds at the most. Guests do not notice."""
    ask = b'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'
    with contextlib.ExitStack() as stack, daemon.connect('desk') as guest:
        assert echo(guest)
        before = daemon.fds()
        for text in ask * 8, b'':
            for _ in range(2 * CONNECTIONS):
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(address(daemon))
                with contextlib.suppress(OSError):
                    sock.sendall(text)
            assert echo(guest)
            assert 'desk' in daemon.vgpus()
            assert daemon.fds() - before <= CONNECTIONS + 1  # with our own to the control socket
            assert request(daemon)[0] == 200
        assert echo(guest)


def test_slow_head(daemon):
    """A request that does not come to its end is not waited for without end."""
    with connect(daemon) as sock:
        sock.sendall(b'GET /metrics HTTP/1.1\r\n')
        assert at_end(sock) or sock.recv(4096) == b''
    assert request(daemon)[0] == 200
