# SPDX-License-Identifier: MIT
"""aliquotd's control interface, without a process for each question."""

import json
import socket
import threading
import time

from lib.environment import Failed

TIMEOUT = 60  # seconds

GPU_TIME = 'busyUsec'  # of a vGPU: as its renderer measured it


class Control:
    """The vGPUs and the totals of an aliquotd, by its socket directory."""

    def __init__(self, folder):
        self._path = folder / 'io.aliquot.Mediator'

    def call(self, method, **parameters):
        call = {'method': f'io.aliquot.Mediator.{method}', 'parameters': parameters}
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(TIMEOUT)
            s.connect(str(self._path))
            s.sendall(json.dumps(call).encode() + b'\0')
            answer = b''
            while not answer.endswith(b'\0'):
                part = s.recv(1 << 16)
                if not part:
                    raise OSError(f'aliquotd ended before it answered {method}')
                answer += part
        answer = json.loads(answer[:-1])
        if 'error' in answer:
            raise OSError(f'{method}: {answer["error"]}')
        return answer.get('parameters', {})

    def vgpus(self):
        """{name: what aliquotd says of it}."""
        return {vgpu['name']: vgpu for vgpu in self.call('ListVGPUs')['vgpus']}

    def totals(self):
        """What the arbiter of the one GPU in use has counted."""
        gpu, = self.call('ListGPUs')['gpus']
        return gpu


class Histogram:
    """Counts of times; bucket i counts what is below 2^i µs, and not below half of that."""

    def __init__(self, before, after):
        """What came between two answers."""
        self.counts = [a - b for a, b in zip(after['counts'], before['counts'])]
        self.count = sum(self.counts)

    def percentile_us(self, share):
        """Within a bucket evenly; None if nothing was counted."""
        left = share * self.count
        for i, count in enumerate(self.counts):
            if count and left <= count:
                low = 2.0 ** (i - 1) if i else 0.0
                return low + (2.0 ** i - low) * left / count
            left -= count
        return None


class Sampler(threading.Thread):
    """Asks for the vGPUs every so often: [(time, {name: vGPU})]."""

    def __init__(self, control, period_s=0.1):
        super().__init__(daemon=True)
        self._control = control
        self._period_s = period_s
        self._stop = threading.Event()
        self._error = None
        self.samples = []

    def run(self):
        while not self._stop.is_set():
            before_ns = time.monotonic_ns()
            try:
                vgpus = self._control.vgpus()
            except OSError as e:
                self._error = e
                return
            self.samples.append(((before_ns + time.monotonic_ns()) // 2, vgpus))
            self._stop.wait(self._period_s)

    def stop(self):
        self._stop.set()
        self.join()
        if self._error:
            raise Failed(f'aliquotd: {self._error}')
