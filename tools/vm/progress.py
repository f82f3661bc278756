# SPDX-License-Identifier: MIT
"""Says that something which takes long is still at it."""

import contextlib
import threading

_HEARTBEAT_S = 5.0


@contextlib.contextmanager
def heartbeat(say, text):
    """Says what is done, and every few seconds that it still is. say: a function of a text."""
    say(text)
    done = threading.Event()

    def repeat():
        while not done.wait(_HEARTBEAT_S):
            say("  still at it")

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
