# SPDX-License-Identifier: MIT
"""aliquotd's control interface, without a process for each question."""

import json
import socket
import threading

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
        """(CLOCK_MONOTONIC in ns, {name: what aliquotd says of the vGPU})."""
        answer = self.call('ListVGPUs')
        return answer['monotonicUsec'] * 1000, {vgpu['name']: vgpu for vgpu in answer['vgpus']}

    def totals(self):
        """What the arbiter of the one GPU in use has counted."""
        gpu, = self.call('ListGPUs')['gpus']
        return gpu


class Histogram:
    """What a histogram of aliquotd counted between two answers."""

    def __init__(self, before, after):
        self._bounds_us = after['boundsUsec']
        self._counts = [a - b for a, b in zip(after['counts'], before['counts'])]
        self.count = sum(self._counts)

    def percentile_us(self, share):
        """Within a bucket evenly; above the last bound, that one. None if nothing was counted."""
        left, low_us = share * self.count, 0.0
        for high_us, count in zip(self._bounds_us, self._counts):
            if count and left <= count:
                return low_us + (high_us - low_us) * left / count
            left -= count
            low_us = float(high_us)
        return low_us if self.count else None


class Sampler(threading.Thread):
    """Asks for the vGPUs every so often: [(time, {name: vGPU})]."""

    def __init__(self, control, period_s=0.1):
        super().__init__(daemon=True)
        self._control = control
        self._period_s = period_s
        self._ending = threading.Event()
        self._error = None
        self.samples = []

    def run(self):
        while not self._ending.is_set():
            try:
                self.samples.append(self._control.vgpus())
            except OSError as e:
                self._error = e
                return
            self._ending.wait(self._period_s)

    def stop(self):
        self._ending.set()
        self.join()
        if self._error:
            raise Failed(f'aliquotd: {self._error}')
