# SPDX-License-Identifier: MIT
"""aliquotd's control interface, without a process for each question."""

import json
import socket
import threading
import time

TIMEOUT = 60  # seconds


class Control:
    """The vGPUs and the totals of an aliquotd, by its socket directory."""

    def __init__(self, folder):
        self._path = folder / 'io.aliquot.Mediator'
        self._socket = None

    def call(self, method, **parameters):
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(TIMEOUT)
            self._socket.connect(str(self._path))
        call = {'method': f'io.aliquot.Mediator.{method}', 'parameters': parameters}
        self._socket.sendall(json.dumps(call).encode() + b'\0')
        answer = b''
        while not answer.endswith(b'\0'):
            part = self._socket.recv(1 << 16)
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

    def info(self):
        return self.call('GetInfo')


class Sampler(threading.Thread):
    """Asks for the vGPUs every so often: [(time, {name: vGPU})]."""

    def __init__(self, control, period_s=0.1):
        super().__init__(daemon=True)
        self._control = control
        self._period_s = period_s
        self._stop = threading.Event()
        self.samples = []

    def run(self):
        while not self._stop.is_set():
            before_ns = time.monotonic_ns()
            vgpus = self._control.vgpus()
            self.samples.append(((before_ns + time.monotonic_ns()) // 2, vgpus))
            self._stop.wait(self._period_s)

    def stop(self):
        self._stop.set()
        self.join()
