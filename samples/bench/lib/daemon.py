# SPDX-License-Identifier: MIT
"""A private aliquotd for a benchmark, and where the build has its programs."""

import os
import pathlib
import select
import subprocess
import sys

from lib.place import ANYWHERE, renderer_for
from lib.report import program

BUILD = pathlib.Path(os.environ.get('ALIQUOT_BUILD', 'build')).absolute()
ALIQUOTD = BUILD / 'mediator/daemon/aliquotd'
RENDERER = BUILD / 'mediator/renderer/aliquot-renderer'

START_TIMEOUT = 60  # seconds


def require(*paths):
    """Ends the benchmark if something it needs has not been built."""
    for path in paths:
        if not path.exists():
            sys.exit(f'{program()}: {path} is missing; build first, or set ALIQUOT_BUILD')


def stop(process):
    process.terminate()
    try:
        process.wait(START_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def pin_to(cpu):
    """For preexec_fn: what a child of ours and its children run on; None = anywhere."""
    return (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None


class Daemon:
    """A private aliquotd on the software GPU; options: by default one vGPU, "bench"."""

    def __init__(self, folder, backend, cpu=None, env=None, options=('--vgpu', 'bench'),
                 place=ANYWHERE):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / 'bench.sock'
        self._log = open(self.folder.with_suffix('.log'), 'w+', encoding='utf-8')
        renderer = renderer_for(place, RENDERER, self.folder.parent)
        ready, ready_end = os.pipe()
        # An empty file, so that the machine's own configuration does not count. A process group
        # of its own: Ctrl-C is for us, and then we stop it. No session: Linux would share the
        # processors among sessions first (sched(7), autogroup), and compare nothing across them.
        self.process = subprocess.Popen(
            [*place.client_command, ALIQUOTD, '--config', '/dev/null',
             '--socket-dir', self.folder, '--backend', backend, '--gpu', 'software',
             f'--ready-fd={ready_end}', *options],
            pass_fds=[ready_end], stderr=self._log, preexec_fn=pin_to(cpu),
            process_group=0,
            env=(os.environ if env is None else env) | {'ALIQUOT_RENDERER': str(renderer)})
        os.close(ready_end)
        try:
            came = select.select([ready], [], [], START_TIMEOUT)[0] and os.read(ready, 1)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(ready)
        if came != b'\n':
            self.stop()
            sys.exit(f'{program()}: aliquotd did not start:\n' + self.log())

    def log(self):
        # At a place of our own: the offset is the daemon's, too.
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors='replace')

    def renderers(self):
        """Process ids of its children."""
        pid = self.process.pid
        return [int(p) for p in
                pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]

    def stop(self):
        stop(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
        self._log.close()
