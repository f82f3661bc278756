# SPDX-License-Identifier: MIT
"""Those who ask aliquotd how it is, and do it badly, while vGPUs really share a GPU: the shares
stay, others get their answers, and the daemon does not grow."""

import contextlib
import json
import os
import socket
import threading
import urllib.parse

import pytest
from daemon import TIMEOUT, sanitized
from runner import wait_until

COUNTED_USEC = 2_000_000  # of GPU time, of both vGPUs
GROWTH_KIB = 64 * 1024
LIST = json.dumps({'method': 'io.aliquot.Mediator.ListVGPUs'}).encode() + b'\0'
GET = b'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'


def send_until_closed(sock, data, ending):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while not ending.is_set():
            with contextlib.suppress(TimeoutError):
                sock.sendall(data)


def talk_to_control(daemon, data, ending):
    """Sends that without end, and reads nothing; again, whenever the daemon has had enough."""
    while not ending.is_set():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(0.1)
            with contextlib.suppress(BlockingIOError, ConnectionResetError, TimeoutError):
                sock.connect(str(daemon.dir / 'io.aliquot.Mediator'))
                send_until_closed(sock, data, ending)


def ask_for_metrics(daemon, ending):
    url = urllib.parse.urlsplit(daemon.call('GetInfo')['metrics'])
    while not ending.is_set():
        with contextlib.suppress(ConnectionError, TimeoutError), \
                socket.create_connection((url.hostname, url.port), TIMEOUT) as sock:
            sock.settimeout(0.1)
            send_until_closed(sock, GET, ending)


HOSTILE = {
    'control never read': lambda daemon, ending: talk_to_control(daemon, LIST, ending),
    'control without an end': lambda daemon, ending: talk_to_control(
        daemon, b'{"method": "' + b'x' * 65536, ending),
    'control garbage': lambda daemon, ending: talk_to_control(daemon, os.urandom(65536), ending),
    'metrics never read': ask_for_metrics,
}


def busy_usec(daemon):
    vgpus = daemon.vgpus()
    return [vgpus[name]['busyUsec'] for name in ('first', 'second')]


@pytest.mark.parametrize('kind', HOSTILE)
def test_shares_stay(saturated, kind):
    ending, had = threading.Event(), []
    before, rss_kib = busy_usec(saturated), saturated.rss_kib()
    thread = threading.Thread(target=HOSTILE[kind], args=(saturated, ending))
    thread.start()

    def counted():
        had[:] = [now - then for now, then in zip(busy_usec(saturated), before)]
        return sum(had) > COUNTED_USEC

    try:
        assert wait_until(counted)
        # The sanitizer keeps what was freed, too.
        assert sanitized() or saturated.rss_kib() - rss_kib < GROWTH_KIB
    finally:
        ending.set()
        thread.join()
    assert 0.65 < had[1] / sum(had) < 0.85, had
