# SPDX-License-Identifier: MIT
"""A guest on another renderer that sends good commands all the time, in a thread of its own."""

import threading

from . import WAIT
from . import virtio_gpu as vg
from .guest import Guest


class Neighbour:
    """Runs from construction to stop(); unharmed() proves that it still gets right answers."""

    def __init__(self, path):
        self._guest = Guest(path)
        self._changed = threading.Condition()
        self._rounds = 0
        self._error = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        guest = self._guest
        try:
            backing = guest.memory.alloc(64 * 64 * 4)
            while not self._stopping:
                guest.ok(vg.create_2d(1, 64, 64))
                guest.ok(vg.attach_backing(1, [(backing, 64 * 64 * 4)]))
                guest.ok(vg.transfer_2d(1, 0, 0, 64, 64))
                guest.ok(vg.flush(1, 0, 0, 64, 64))
                guest.ok(vg.unref(1))
                with self._changed:
                    self._rounds += 1
                    self._changed.notify_all()
        except BaseException as error:  # handed to the test
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def unharmed(self, rounds=5):
        """Waits until it has done some more rounds."""
        with self._changed:
            goal = self._rounds + rounds
            self._changed.wait_for(lambda: self._error or self._rounds >= goal, WAIT)
            if self._error:
                raise AssertionError('the neighbour was hurt') from self._error
            assert self._rounds >= goal, 'the neighbour stands still'

    def stop(self):
        self._stopping = True
        self._thread.join()
        self._guest.close()
        if self._error:
            raise AssertionError('the neighbour was hurt') from self._error
