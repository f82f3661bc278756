# SPDX-License-Identifier: MIT
"""CreateVGPU of the control interface, called by hand."""

import json
import socket

from daemon import TIMEOUT

MEDIATOR = 'io.aliquot.Mediator'


class Claim:
    def __init__(self, daemon, more=True, **parameters):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(str(daemon.dir / MEDIATOR))
        request = {'method': f'{MEDIATOR}.CreateVGPU', 'parameters': parameters}
        self.send(request | ({'more': True} if more else {}))

    def send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b'\0')

    def answer(self):
        data = b''
        while not data.endswith(b'\0'):
            chunk = self.socket.recv(65536)
            assert chunk
            data += chunk
        return json.loads(data[:-1])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()
