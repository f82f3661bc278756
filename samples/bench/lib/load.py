# SPDX-License-Identifier: MIT
"""Several gl-load or vk-load at once, natively, through virgl_test_server, or on vGPUs."""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import signal
import subprocess
import time

from lib.api import GL, VULKAN, Api
from lib.environment import Failed, check_renderer
from lib.report import progress

TIMEOUT = 60  # seconds on top of what a run measures
START_NS = 100_000_000  # from when all are ready to when they begin
LONG_SECONDS = 2  # who looks on is told what goes on
LATE_MS = 500  # a client that begins later has not warmed up


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame that takes so long on an idle GPU, in so many draws; with Vulkan, these are divided
    among so many submissions."""
    ms: float
    draws: int = 1
    api: Api = GL
    submits: int = 1

    @property
    def piece_ms(self):
        """What the GPU can't be interrupted in, if it can at all."""
        return self.ms / (self.submits if self.api is VULKAN else self.draws)

    def options(self):
        submits = ['--submits', self.submits] if self.api is VULKAN else []
        return ['--draws', self.draws, *submits]


@dataclasses.dataclass(frozen=True)
class Load:
    """What a client draws, and what a vGPU for it is given (options of aliquot run)."""
    frame: Frame
    work: int  # calibrate() says which
    rate: float = 0
    knobs: tuple = ()
    gpu_time: bool = False  # ask the GPU what it took; Vulkan only

    def options(self):
        return [*self.frame.options(), '--work', self.work, '--rate', self.rate,
                *(['--gpu-time'] if self.gpu_time else [])]


@dataclasses.dataclass
class Drawn:
    """What a client says afterwards."""
    report: dict
    spans: list  # (start, end) of each frame


class Client:
    """A gl-load or vk-load that waits for its start."""

    def __init__(self, column, number, load, folder, seconds, warmup):
        self.column = column
        self._api = load.frame.api
        self._log = folder / f'load-{number}.log'
        self._errors = folder / f'load-{number}.err'
        command = [self._api.load, *load.options(), '--seconds', seconds, '--warmup', warmup,
                   '--start-at', '-', '--log', self._log]
        command, env = column.command(number, load, list(map(str, command)))
        with open(self._errors, 'w', encoding='utf-8') as errors:
            self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=errors, text=True,
                                             process_group=0)

    def _read(self, deadline):
        left = deadline - time.monotonic()
        if not select.select([self._process.stdout], [], [], max(left, 0))[0]:
            raise Failed(f'{self._api.load.name} does not answer')
        line = self._process.stdout.readline()
        if not line:
            last = (self._errors.read_text(encoding='utf-8').strip().splitlines()
                    or ['nothing said'])[-1]
            raise Failed(f'{self._api.load.name} failed: {last}')
        return line

    def wait_ready(self):
        if self._read(time.monotonic() + TIMEOUT) != 'ready\n':
            raise Failed(f'{self._api.load.name} is not ready')

    def start(self, start_ns):
        self._process.stdin.write(f'{start_ns}\n')
        self._process.stdin.flush()

    def result(self, deadline):
        report = json.loads(self._read(deadline))
        check_renderer(self.column.native, report['renderer'], self._api)
        if report['late_ms'] > LATE_MS:
            raise Failed(f'{self._api.load.name} began {report["late_ms"]:.0f} ms late')
        try:
            if self._process.wait(max(deadline - time.monotonic(), 1)) != 0:
                raise Failed(f'{self._api.load.name} failed at its end')
        except subprocess.TimeoutExpired:
            raise Failed(f'{self._api.load.name} does not end') from None
        with open(self._log, encoding='utf-8') as log:
            return Drawn(report, [tuple(map(int, line.split())) for line in log])

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def sleep_until(time_ns):
    time.sleep(max(time_ns - time.monotonic_ns(), 0) / 1e9)


def draw_together(column, loads, folder, seconds, during=None):
    """[Drawn of each]: they begin at one time. during(from_ns, to_ns) runs meanwhile, if given."""
    folder = pathlib.Path(folder)
    warmup = min(column.warmup, seconds)
    if warmup + seconds > LONG_SECONDS:
        progress(f'drawing for {warmup + seconds:g} s, clients: {len(loads)}')
    with contextlib.ExitStack() as stack:
        clients = []
        for number, load in enumerate(loads):
            client = column.client(number, load, folder, seconds, warmup)
            stack.callback(client.stop)
            client.wait_ready()
            clients.append(client)
        start_ns = time.monotonic_ns() + START_NS
        for client in clients:
            client.start(start_ns)
        from_ns = start_ns + int(warmup * 1e9)
        if during:
            during(from_ns, from_ns + int(seconds * 1e9))
        deadline = time.monotonic() + warmup + seconds + TIMEOUT
        return [client.result(deadline) for client in clients]


def calibrate(column, folder, frame):
    """The work that makes the frame take its time when nobody else draws."""
    progress(f'measuring what takes {frame.api.name} {frame.ms:g} ms')
    command = [frame.api.load, *frame.options(), '--frame-ms', frame.ms, '--seconds', 0.01,
               '--warmup', 0]
    command, env = column.command(0, Load(frame, 1), list(map(str, command)))
    try:
        result = subprocess.run(command, env=env, capture_output=True, text=True, check=False,
                                stdin=subprocess.DEVNULL, timeout=TIMEOUT, cwd=folder)
    except subprocess.TimeoutExpired:
        raise Failed('calibration does not end') from None
    if result.returncode != 0:
        raise Failed(f'calibration: {result.stderr.strip()}')
    report = json.loads(result.stdout)
    check_renderer(column.native, report['renderer'], frame.api)
    return report['work']
