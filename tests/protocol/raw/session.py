# SPDX-License-Identifier: MIT
"""One test's use of a renderer, with the checks that every test ends with: a fresh guest is served,
the process holds what it held before, and the log says what it should."""

import contextlib
import re

from . import virtio_gpu as vg
from .display import Display
from .guest import Guest
from .renderer import LINE, REPORT
from .vhost_user import FrontEnd

# Growth of resident memory that is the allocator's business: arenas, and a sanitizer's own memory.
ANON_SLACK_KIB = 32 << 10
# What is logged of a connection without faults, and of commands that were answered with an error
# (of which only some are logged).
ORDINARY = re.compile(r': (front-end connected'
                      r'|connection ended: the (front-end|client) closed the connection'
                      r'|vtest client: .*'
                      r'|[A-Z0-9_a-z ]+ refused: .*'
                      r'|display: closed by the front-end; going on without it'
                      r'|virglrenderer: .*'
                      r'|[0-9]+ messages like the next one were dropped)$')


class Session:
    """connections and guests made here are closed at the end of the test, at the latest."""

    def __init__(self, renderer, baseline):
        self.renderer, self.baseline = renderer, baseline
        self._stack = contextlib.ExitStack()
        self._expected = 0
        renderer.new_lines()

    def connect(self):
        """A connection on which nothing has been said."""
        front_end = FrontEnd(self.renderer.path)
        self._stack.callback(front_end.close)
        return front_end

    def guest(self, **options):
        return self._stack.enter_context(Guest(self.renderer.path, **options))

    def keep(self, thing):
        """Has thing closed at the end of the test."""
        self._stack.callback(thing.close)
        return thing

    def expect_lines(self, count=1):
        """The test makes the renderer complain this many times (more)."""
        self._expected += count

    def any_lines(self):
        """How much the renderer complains is chance here."""
        self._expected = None

    def refused(self, front_end):
        """The connection must be closed by the renderer, with one line in the log."""
        front_end.await_close()
        self.expect_lines()

    def finish(self):
        """The checks. Closes all connections first."""
        self._stack.close()
        assert self.renderer.alive(), f'the renderer died:\n{self.renderer.log()}'
        now = probe(self.renderer)
        more, fewer = now.fds - self.baseline.fds, self.baseline.fds - now.fds
        assert not more and not fewer, f'descriptors: {more} more, {fewer} fewer'
        assert now.memfds == self.baseline.memfds, 'mappings'
        grown = now.anon_kib - self.baseline.anon_kib
        if self.renderer.keeps_freed_memory:
            grown = 0
        assert grown <= ANON_SLACK_KIB, f'memory: {grown} KiB more'
        check_log(self.renderer, self._expected)


def check_log(renderer, expected):
    """Every new line names the vGPU, and as many as expected are about more than one command."""
    lines = renderer.new_lines()
    assert not REPORT.search('\n'.join(lines)), '\n'.join(lines)
    for line in lines:
        match = LINE.match(line)
        assert match and match['vgpu'] == renderer.name, f'a line that names no vGPU: {line}'
    complaints = [line for line in lines if not ORDINARY.search(line)]
    text = '\n'.join(lines)
    assert expected is None or len(complaints) == expected, \
        f'{len(complaints)} complaints, not {expected}:\n{text}'


def warm_up(renderer):
    """Has the renderer make what it keeps for good: the event loop's timer, buffers."""
    with Guest(renderer.path, display=Display()) as guest:
        guest.expect(vg.OK_DISPLAY_INFO, vg.get_display_info())
    probe(renderer)


def probe(renderer):
    """A fresh guest does a little work; returns the renderer's footprint meanwhile.

    Connections are served one after the other, so all that came before is over by then."""
    with Guest(renderer.path) as guest:
        guest.make_2d(1, 16, 16)
        guest.ok(vg.transfer_2d(1, 0, 0, 16, 16))
        guest.ok(vg.unref(1))
        guest.cursor(vg.update_cursor(0, 0), into=0)
        return renderer.measure()
