# SPDX-License-Identifier: MIT
"""An aliquot-renderer process: started, measured from outside, stopped."""

import collections
import os
import pathlib
import re
import select
import signal
import subprocess
from dataclasses import dataclass

from . import WAIT

PROGRAM = 'mediator/renderer/aliquot-renderer'

# The quarantine of freed memory would look like a leak to measure(); a report must end the process
# so that no test can pass over it.
SANITIZERS = {
    'ASAN_OPTIONS': 'exitcode=99:quarantine_size_mb=1:thread_local_quarantine_size_kb=64:'
                    'allocator_may_return_null=1:detect_leaks={leaks}',
    'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1:exitcode=99',
}
REPORT = re.compile(r'AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:')
LINE = re.compile(r'^(?:<(?P<level>[0-7])>)?aliquot-renderer\[(?P<vgpu>[^]]*)\]: (?P<text>.*)$')


def program():
    build = os.environ.get('ALIQUOT_BUILD')
    assert build, 'ALIQUOT_BUILD must name the build directory'
    return pathlib.Path(build) / PROGRAM


@dataclass
class Footprint:
    """What a process holds."""
    fds: collections.Counter  # by kind: socket, memfd:…, anon_inode:…, paths
    memfds: int  # mappings of memfds that tests made, or that vtest clients got
    anon_kib: int  # resident memory of its own


class Renderer:
    """One renderer that listens on a socket of its own in folder, backed by --backend backend."""

    def __init__(self, folder, name='vgpu', backend='null', args=()):
        self.name, self.backend = name, backend
        self.path = pathlib.Path(folder) / f'{name}.sock'
        self.log_path = pathlib.Path(folder) / f'{name}.log'
        self.path.unlink(missing_ok=True)  # of one that was killed
        self._log_offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        env = dict(os.environ)
        for key, value in SANITIZERS.items():
            env[key] = value.format(leaks=int(backend == 'null'))
        ready, ready_theirs = os.pipe()
        try:
            with open(self.log_path, 'ab') as log:
                self.process = subprocess.Popen(
                    [program(), '--name', name, '--backend', backend, '--listen', self.path,
                     '--ready-fd', str(ready_theirs), *args],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                    pass_fds=[ready_theirs])
            os.close(ready_theirs)
            ready_theirs = -1
            assert select.select([ready], [], [], WAIT)[0], 'the renderer does not get ready'
            assert os.read(ready, 1) == b'\n', f'the renderer does not start:\n{self.log()}'
        finally:
            os.close(ready)
            if ready_theirs >= 0:
                os.close(ready_theirs)
        self.new_lines()

    @property
    def pid(self):
        return self.process.pid

    @property
    def keeps_freed_memory(self):
        """AddressSanitizer's allocator gives back little of what GL drivers free."""
        size = re.search(r'^VmSize:\s+(\d+) kB', self._proc('status'), re.M)
        return self.backend == 'virgl' and int(size[1]) > 1 << 32  # its shadow: terabytes

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        """Ends it the proper way; fails on a wrong exit status or a sanitizer's report."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError('SIGTERM does not end the renderer') from None
        assert not REPORT.search(self.log()), self.log()
        assert status == 0, f'exit status {status}:\n{self.log()}'
        assert not self.path.exists(), 'the socket is left behind'

    def kill(self):
        self.process.kill()
        self.process.wait()

    def wait_end(self):
        """Waits until it ends by itself; returns its exit status."""
        return self.process.wait(WAIT)

    # ---- seen from outside

    def measure(self):
        fds = collections.Counter()
        for entry in pathlib.Path(f'/proc/{self.pid}/fd').iterdir():
            try:
                fds[re.sub(r'\[\d+\]|:\d+', '', os.readlink(entry))] += 1
            except FileNotFoundError:
                pass
        anon = re.search(r'^RssAnon:\s+(\d+) kB', self._proc('status'), re.M)
        return Footprint(fds, len(re.findall('/memfd:aliquot-v?test', self._proc('maps'))), int(anon[1]))

    def _proc(self, name):
        return pathlib.Path(f'/proc/{self.pid}/{name}').read_text()

    def cpu_ticks(self):
        """Processor time used so far, in clock ticks."""
        stat = self._proc('stat').rpartition(')')[2].split()
        return int(stat[11]) + int(stat[12])

    def log(self):
        return self.log_path.read_text(errors='replace')

    def new_lines(self):
        """Lines logged since the last call."""
        with open(self.log_path, 'rb') as log:
            log.seek(self._log_offset)
            data = log.read()
        data = data[:data.rfind(b'\n') + 1]  # the last one may be half written
        self._log_offset += len(data)
        return data.decode(errors='replace').splitlines()
