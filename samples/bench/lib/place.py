# SPDX-License-Identifier: MIT
"""Where what draws, the clients and the daemon run: anywhere, or on the rig.

The rig is a "GPU" that does not preempt. The software GPU is threads that Linux preempts, so all
who share it look fair; a real GPU does not stop in the middle of what it was given. A process that
draws comes close to that when it is SCHED_FIFO on a processor of its own, with one thread that
rasterises: of several such processes one begins when the other waits. The clients have the other
processor.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess

AUTOGROUP = pathlib.Path('/proc/self/autogroup')
RT_RUNTIME = pathlib.Path('/proc/sys/kernel/sched_rt_runtime_us')
UNLIMITED = '-1'  # the default stops real-time processes for 50 ms a second

PRIORITY = 10
NICE = -20  # clients and aliquotd, so that what else runs here does not count


@dataclasses.dataclass(frozen=True)
class Place:
    name: str
    gpu_command: list      # what goes before the command of a process that draws
    gpu_environment: dict  # and what is added to its environment
    client_command: list   # before that of a client, and of aliquotd
    preempt: str           # how a slice ends on this GPU (aliquotd --preempt)


PLAIN, RIG = 'plain', 'rig'
PLACES = (PLAIN, RIG)

ANYWHERE = Place(PLAIN, [], {}, [], 'cpu')
# As if what draws could not be interrupted.
UNINTERRUPTED = dataclasses.replace(ANYWHERE, name='drain', preempt='drain')


def rig_place():
    """(place, None), or (None, why there is none)."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return None, 'needs two processors'
    gpu = ['chrt', '-f', str(PRIORITY), 'taskset', '-c', str(cpus[0])]
    place = Place(RIG, gpu, {'LP_NUM_THREADS': '1'},
                  ['nice', '-n', str(NICE), 'taskset', '-c', str(cpus[1])], 'drain')
    try:
        tried = subprocess.run([*gpu, 'true'], capture_output=True, text=True, check=False)
    except FileNotFoundError as e:
        return None, f'{e.filename} is missing (package util-linux)'
    if tried.returncode != 0:
        return None, f'no real-time priority: {tried.stderr.strip()}'
    return place, None


@contextlib.contextmanager
def setting(path, value):
    """Yields whether the kernel's setting could be made; as it was at the end."""
    try:
        before = path.read_text().split()[-1]
        path.write_text(value)
    except (OSError, IndexError):
        yield False
        return
    try:
        yield True
    finally:
        path.write_text(before)


def before_other_sessions():
    """Our session comes before others: NICE counts among the processes of a session only. It is
    one of our own where that can be, so that nothing stays however we end."""
    with contextlib.suppress(PermissionError):  # a shell made us leader of a process group
        os.setsid()
    return setting(AUTOGROUP, str(NICE))


def real_time_unlimited():
    """Real-time processes are not throttled."""
    return setting(RT_RUNTIME, UNLIMITED)


def renderer_for(place, renderer, folder):
    """The program that has renderers started by aliquotd run where that place says."""
    if not place.gpu_command:
        return renderer
    script = folder / 'renderer-in-place'
    settings = [f'{name}={value}' for name, value in place.gpu_environment.items()]
    script.write_text(f'#!/bin/sh\nexec env {" ".join(settings)} {" ".join(place.gpu_command)} '
                      f'"{renderer}" "$@"\n')
    script.chmod(0o755)
    return script
