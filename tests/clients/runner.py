# SPDX-License-Identifier: MIT
"""Runs "aliquot run" for a test, and programs for it to run."""

import contextlib
import os
import pathlib
import subprocess
import sys
import threading

from daemon import BUILD, CLI, TIMEOUT, Log, environment

RAW_VIRGL = BUILD / 'samples/raw-virgl'
SHIM = pathlib.Path(os.environ.get('ALIQUOT_SHIM',
                                   BUILD / 'guest-driver/shim/libaliquot-shim.so'))
# Exit status for want of a vGPU, of a program that can be run, of a program.
FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127

# A program that tells which signals it gets; TERM ends it.
TELLER = [sys.executable, '-uc', '''
import signal, sys
names = ['HUP', 'INT', 'QUIT', 'USR1', 'USR2', 'WINCH', 'CONT', 'TERM']
numbers = [getattr(signal, 'SIG' + name) for name in names]
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print('ready', flush=True)
while True:
    number = signal.sigwait(numbers)
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(5)
''']

# Connects to the vGPU as often as its argument says, shows that each connection is served, and waits
# for the end of its input.
CONNECT = [sys.executable, '-uc', '''
import os, socket, sys
sockets = []
for _ in range(int(sys.argv[1])):
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ['VTEST_SOCKET_NAME'])
    s.sendall(b'hello')
    assert s.recv(5) == b'hello'
    sockets.append(s)
print('connected', flush=True)
sys.stdin.read()
''']


def command(*options, program, socket_dir=None):
    where = ['--socket-dir', socket_dir] if socket_dir else ['--private']
    return [str(word) for word in [CLI, 'run', '--via=vtest', *where, *options, '--', *program]]


def run(*options, program=('true',), socket_dir=None, env=None, **more):
    return subprocess.run(command(*options, program=program, socket_dir=socket_dir),
                          capture_output=True, text=True, timeout=TIMEOUT,
                          env=environment(**(env or {})), check=False, **more)


def print_env(socket_dir, *options, **env):
    return subprocess.run([CLI, 'run', '--print-env', '--socket-dir', socket_dir, *options],
                          capture_output=True, text=True, timeout=TIMEOUT,
                          env=environment(**env), check=False)


class Running:
    """aliquot run in the background; its lines come in out, its messages in log."""

    def __init__(self, *options, program, socket_dir=None, env=None, **more):
        self.process = subprocess.Popen(
            command(*options, program=program, socket_dir=socket_dir), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(**(env or {})), **more)
        self.pid = self.process.pid
        self.out, self.log = Log(self.process.stdout), Log(self.process.stderr)

    def finish(self):
        """Ends its input, for programs that wait for that."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        return self.wait()

    def wait(self):
        status = self.process.wait(TIMEOUT)
        self.log.join()
        self.out.join()
        return status

    def children(self):
        text = pathlib.Path(f'/proc/{self.pid}/task/{self.pid}/children').read_text()
        return {int(pid): pathlib.Path(f'/proc/{pid}/comm').read_text().strip()
                for pid in text.split()}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


def wait_until(condition):
    """For what comes about without telling; polled."""
    done = threading.Event()
    for _ in range(TIMEOUT * 20):
        if condition():
            return True
        done.wait(0.05)
    return False
