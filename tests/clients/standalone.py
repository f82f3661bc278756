# SPDX-License-Identifier: MIT
"""Runs a stand-alone aliquot-renderer for a test."""

import os
import pathlib
import select
import subprocess

BUILD = pathlib.Path(os.environ.get('ALIQUOT_BUILD', 'build')).absolute()
RENDERER = BUILD / 'mediator/renderer/aliquot-renderer'

TIMEOUT = 60  # seconds; generous, since sanitizers and loaded machines are slow


class Renderer:
    def __init__(self, folder, name='test', backend='virgl'):
        self.socket = pathlib.Path(folder) / f'{name}.sock'
        self._log = open(pathlib.Path(folder) / f'{name}.log', 'w+', encoding='utf-8')
        ready, ready_end = os.pipe()
        self.process = subprocess.Popen(
            [RENDERER, '--name', name, '--backend', backend, '--gpu', 'software',
             '--listen', self.socket, '--ready-fd', str(ready_end)],
            pass_fds=[ready_end], stderr=self._log)
        os.close(ready_end)
        came = select.select([ready], [], [], TIMEOUT)[0] and os.read(ready, 1)
        os.close(ready)
        assert came == b'\n', self.log()

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        status = self.stop()
        log = self.log()
        self._log.close()
        assert status == 0 or exc[0], log
