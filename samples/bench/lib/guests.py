# SPDX-License-Identifier: MIT
"""Clients that draw in stock guests, on vGPUs of the column's aliquotd."""

import contextlib
import json
import pathlib
import shlex
import subprocess
import sys
import time

from lib.api import GL
from lib.columns import ALIQUOT, ours
from lib.environment import Failed, check_renderer
from lib.load import TIMEOUT, Drawn
from lib.report import progress

sys.path.append(str(pathlib.Path(__file__).parents[3] / 'tools'))

from vm import accel  # noqa: E402
from vm.error import VmError  # noqa: E402
from vm.guest import Guest, boot, vgpu_arguments  # noqa: E402
from vm.progress import heartbeat  # noqa: E402

BOOT_SECONDS = 240  # on the rig both have one processor
WARMUP_SECONDS = 2  # emulated processors take their time to notice the start
TAIL_SECONDS = 2

# Runs the host's jobs one after the other, until there is nobody who gives any.
SERVE = '''
export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"
touch ready
job=0
while :; do
    until [ -e "job-$job" ]; do sleep 0.1; done
    . "./job-$job"
    job=$((job + 1))
done
'''

# The status is there as soon as the command has ended, even if it did before it was to begin.
JOB = '''
{{
    until [ -e start-{job} ]; do
        [ ! -e cancel-{job} ] || exit
        sleep 0.1
    done
    echo now
}} | {{
    {command} >out-{job} 2>err-{job}
    echo $? >.status-{job}
    mv .status-{job} status-{job}
}}
'''


class LoadGuest(Guest):
    """A guest that runs gl-load when told."""

    def __init__(self, name, folder, socket, place):
        super().__init__(name, folder / name, SERVE, vgpu_arguments(socket),
                         prefix=place.client_command)
        self._jobs = 0

    def new_job(self, command):
        """Its number, N. The command, of which --log=log-N becomes a part, is told of its start
        when there is a file start-N."""
        job = self._jobs
        self._jobs += 1
        words = [*map(str, command), f'--log=log-{job}']
        self.put(f'job-{job}', JOB.format(job=job, command=shlex.join(words)))
        return job

    def text(self, name):
        try:
            return (self.share / name).read_text(encoding='utf-8')
        except FileNotFoundError:
            return ''


class GuestClient:
    """As load.Client, for OpenGL alone. The guest's clock is another one: its frames are told in the
    host's, as if it had begun when it was told to; it does up to some tenths of a second later."""

    def __init__(self, guest, load, seconds, warmup):
        self._guest = guest
        self._start_ns = None
        self._warmup = warmup
        # Who draws all the time does so until all others have been measured, too.
        tail = 0 if load.rate else TAIL_SECONDS
        self._asked = seconds
        self._seconds = seconds + tail
        self._job = guest.new_job(
            [GL.load, '--platform', 'gbm', *load.frame.options(), '--work', load.work,
             '--rate', load.rate, '--seconds', self._seconds, '--warmup', warmup,
             '--start-at', '-'])

    def _name(self, what):
        return f'{what}-{self._job}'

    def _wait(self, condition, what, deadline):
        try:
            self._guest.wait_until(condition, what, max(deadline - time.monotonic(), 0))
        except VmError as e:
            raise Failed(str(e).splitlines()[0]) from None

    def _ended(self):
        return self._guest.has_file(self._name('status'))

    def wait_ready(self):
        self._wait(lambda: self._guest.text(self._name('out')).startswith('ready\n')
                   or self._ended(), 'have gl-load ready', time.monotonic() + TIMEOUT)
        self._check_status()

    def _check_status(self):
        if self._guest.text(self._name('status')).strip() not in ('', '0'):
            last = (self._guest.text(self._name('err')).strip().splitlines() or ['no word'])[-1]
            raise Failed(f'gl-load failed in {self._guest.name}: {last}')

    def start(self, start_ns):
        self._start_ns = start_ns
        self._guest.touch(self._name('start'))

    def result(self, deadline):
        self._wait(self._ended, 'end gl-load', deadline + TAIL_SECONDS)
        self._check_status()
        report = json.loads(self._guest.text(self._name('out')).splitlines()[-1])
        check_renderer(False, report['renderer'])
        spans = [tuple(map(int, line.split()))
                 for line in self._guest.text(self._name('log')).splitlines()]
        from_ns = self._start_ns + int(self._warmup * 1e9)
        shift_ns = from_ns - report['from_ns']
        report |= {'from_ns': from_ns, 'to_ns': from_ns + int(self._asked * 1e9)}
        return Drawn(report, [(a + shift_ns, b + shift_ns) for a, b in spans])

    def stop(self):
        self._guest.touch(self._name('cancel'))
        with contextlib.suppress(Failed):
            self._wait(self._ended, 'end gl-load',
                       time.monotonic() + self._warmup + self._seconds + TIMEOUT)


class Guests:
    """A column in place of aliquot's: each client in a guest of its own."""

    native = False
    warmup = WARMUP_SECONDS

    def __init__(self, ours_column, guests):
        self.shim = ours_column
        self.control = ours_column.control
        self._folder = ours_column.daemon.folder
        self._guests = guests
        self.accel = accel.choose()

    def vgpu_name(self, number):
        return guest_name(number)

    def client(self, number, load, folder, seconds, warmup):
        if load.knobs:
            result = subprocess.run([ALIQUOT, 'set', self.vgpu_name(number), *load.knobs,
                                     '--socket-dir', self._folder], capture_output=True, text=True,
                                    timeout=TIMEOUT, check=False)
            if result.returncode != 0:
                raise Failed(result.stderr.strip())
        return GuestClient(self._guests[number], load, seconds, warmup)


class ShimBesideGuests:
    """A column: the first client draws without a VM, each other one in its guest."""

    native = False
    warmup = WARMUP_SECONDS

    def __init__(self, guests):
        self._guests = guests
        self.control = guests.control

    def vgpu_name(self, number):
        return (self._guests if number else self._guests.shim).vgpu_name(number)

    def client(self, number, load, folder, seconds, warmup):
        column = self._guests if number else self._guests.shim
        return column.client(number, load, folder, seconds, warmup)


def guest_name(number):
    return f'guest-{number}'


@contextlib.contextmanager
def open_guests(place, folder, number):
    """Yields the column of so many guests, which are up. Raises Failed."""
    folder.mkdir(exist_ok=True)
    names = [guest_name(i) for i in range(number)]
    vgpus = [option for name in names for option in ('--vgpu', name)]
    try:
        with ours(place, folder, more=vgpus) as column, contextlib.ExitStack() as stack:
            guests = [LoadGuest(name, folder, column.daemon.folder / f'{name}.sock', place)
                      for name in names]
            with heartbeat(progress, f'{place.name}: booting {number} guests ({accel.choose()})'):
                boot(stack, guests, BOOT_SECONDS)
            yield Guests(column, guests)
    except VmError as e:
        raise Failed(str(e)) from None
