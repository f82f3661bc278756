# SPDX-License-Identifier: MIT
"""Runs aliquotd for a test and speaks to it: its sockets, its log, its control interface."""

import fcntl
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading

BUILD = pathlib.Path(os.environ.get('ALIQUOT_BUILD', 'build')).absolute()
ALIQUOTD = BUILD / 'mediator/daemon/aliquotd'
CLI = BUILD / 'mediator/cli/aliquot'
RENDERER = BUILD / 'mediator/renderer/aliquot-renderer'
MOCK = pathlib.Path(__file__).parent.parent / 'mock/renderer.py'

TIMEOUT = 60  # seconds; generous, since sanitizers and loaded machines are slow


class Log:
    """Lines of a stream, as they come; tests wait for lines instead of sleeping."""

    def __init__(self, stream):
        self.lines = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        for line in stream:
            with self._changed:
                self.lines.append(line.rstrip('\n'))
                self._changed.notify_all()
        stream.close()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def text(self):
        with self._changed:
            return '\n'.join(self.lines)

    def wait(self, pattern, count=1, timeout=TIMEOUT):
        """Waits until count lines match; returns the last one's match."""
        def found():
            matches = [m for m in (re.search(pattern, line) for line in self.lines) if m]
            return matches[count - 1] if len(matches) >= count else None

        with self._changed:
            self._changed.wait_for(lambda: found() or self._closed, timeout)
            match = found()
            assert match, f'no {count} × {pattern!r} in the log:\n' + '\n'.join(self.lines)
            return match

    def join(self):
        self._thread.join(TIMEOUT)


def environment(renderer=MOCK, **extra):
    env = {k: v for k, v in os.environ.items() if not k.startswith(('LISTEN_', 'NOTIFY_'))}
    return env | {'ALIQUOT_RENDERER': str(renderer)} | extra


class Daemon:
    """A running aliquotd. Its socket directory is made by it."""

    def __init__(self, socket_dir, *options, renderer=MOCK, env=None, wait=True, pass_fds=(),
                 prefix=()):
        self.dir = pathlib.Path(socket_dir)
        read_end, low = os.pipe()
        write_end = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 200)  # out of the way of pass_fds
        os.close(low)
        command = [*prefix, ALIQUOTD, '--socket-dir', self.dir, f'--ready-fd={write_end}', *options]
        self.process = subprocess.Popen(
            [str(word) for word in command], pass_fds=(write_end, *pass_fds),
            stderr=subprocess.PIPE, text=True, errors='replace',
            env=environment(renderer, **({'STATE_DIRECTORY': f'{self.dir}-state'} | (env or {}))))
        os.close(write_end)
        self.pid = self.process.pid
        self.log = Log(self.process.stderr)
        self._ready = read_end
        if wait:
            assert self.wait_ready() == b'\n', self.log.text()

    def wait_ready(self):
        """What came over --ready-fd until its end."""
        data = b''
        while True:
            readable, _, _ = select.select([self._ready], [], [], TIMEOUT)
            assert readable, 'not ready in time:\n' + self.log.text()
            chunk = os.read(self._ready, 16)
            if not chunk:
                return data
            data += chunk

    def connect(self, name='aliquot'):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(TIMEOUT)
        sock.connect(str(self.dir / f'{name}.sock'))
        return sock

    def ask(self, method, parameters=None, interface='io.aliquot.Mediator'):
        """The whole answer, which may be an error."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(str(self.dir / 'io.aliquot.Mediator'))
            request = {'method': f'{interface}.{method}', 'parameters': parameters or {}}
            sock.sendall(json.dumps(request).encode() + b'\0')
            data = b''
            while not data.endswith(b'\0'):
                chunk = sock.recv(65536)
                if not chunk:
                    raise ConnectionError('closed without an answer')
                data += chunk
            return json.loads(data[:-1])

    def call(self, method, parameters=None, interface='io.aliquot.Mediator'):
        answer = self.ask(method, parameters, interface)
        assert 'error' not in answer, answer
        return answer['parameters']

    def vgpus(self):
        return {v['name']: v for v in self.call('ListVGPUs')['vgpus']}

    def cli(self, *args, **options):
        return cli(*args, '--socket-dir', str(self.dir), **options)

    def fds(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def fd_targets(self):
        folder = f'/proc/{self.pid}/fd'
        return [os.readlink(f'{folder}/{fd}') for fd in os.listdir(folder)]

    def rss_kib(self):
        with open(f'/proc/{self.pid}/status') as status:
            return int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1))

    def children(self):
        """Process ids; zombies are there too."""
        with open(f'/proc/{self.pid}/task/{self.pid}/children') as children:
            return [int(pid) for pid in children.read().split()]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        status = self.process.wait(TIMEOUT)
        self.log.join()
        os.close(self._ready)
        self._ready = -1
        return status

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill() if exc[0] else self.signal(signal.SIGTERM)
        if self._ready >= 0:
            self.wait()


def echo(connection, data=b'hello'):
    """Proof that a mock renderer serves the connection, from its first byte on."""
    connection.sendall(data)
    return connection.recv(len(data)) == data


def at_end(connection):
    """Waits until the other end has closed."""
    try:
        return connection.recv(1) == b''
    except ConnectionResetError:
        return True


def cli(*args, env=None):
    return subprocess.run([CLI, *args], capture_output=True, text=True, timeout=TIMEOUT, env=env)


def run_daemon(*options, env=None):
    """An aliquotd that should not stay."""
    return subprocess.run([ALIQUOTD, *map(str, options)], capture_output=True, text=True,
                          timeout=TIMEOUT, env=environment(**(env or {})))


def alive(pid):
    """Zombies don't count."""
    try:
        with open(f'/proc/{pid}/stat') as stat:
            return stat.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except FileNotFoundError:
        return False


def wait_gone(pid):
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], TIMEOUT)[0])
    finally:
        os.close(pidfd)


def sanitized():
    return b'__asan_init' in ALIQUOTD.read_bytes()
