# SPDX-License-Identifier: MIT
"""Processes that never outlive the program that started them."""

import ctypes
import signal
import subprocess

from vm.error import VmError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(argv, log, **options):
    """Starts argv with its output appended to the open file `log`. Call it from the main thread:
    the kernel kills the process when the thread that started it ends."""
    try:
        return subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,
            **options,
        )
    except FileNotFoundError as error:
        raise VmError(f"{argv[0]} is missing: {error}.") from error


def stop(process, patience_s=5.0):
    """Ends the process: SIGTERM, then SIGKILL. Fine if it has ended already."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
