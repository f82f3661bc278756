# SPDX-License-Identifier: MIT
"""Fixtures: a renderer for all tests of a file, a session on it for each test."""

import pytest
from raw.display import Display
from raw.neighbour import Neighbour
from raw.renderer import Renderer
from raw.session import Session, probe, warm_up


class Served:
    """A renderer and what it holds when nothing is wrong; started anew if it died."""

    def __init__(self, folder, options):
        self._folder, self._options = folder, options
        self.renderer = None

    def session(self):
        if self.renderer is None or not self.renderer.alive():
            self.renderer = Renderer(self._folder, **self._options)
            warm_up(self.renderer)
            self.baseline = probe(self.renderer)
        return Session(self.renderer, self.baseline)

    def stop(self):
        if self.renderer and self.renderer.alive():
            self.renderer.stop()


@pytest.fixture(scope='module')
def served(request, tmp_path_factory):
    """The module's renderer. A module sets RENDERER for other options."""
    options = getattr(request.module, 'RENDERER', {})
    served = Served(tmp_path_factory.mktemp('renderer'), options)
    yield served
    served.stop()


@pytest.fixture
def session(served):
    session = served.session()
    yield session
    try:
        session.finish()
    except BaseException:
        session.renderer.kill()  # the next test starts with a clean one
        raise


@pytest.fixture
def guest(session):
    """A started guest with no display."""
    return session.guest()


@pytest.fixture
def shown(session):
    """A started guest with a display that has said hello."""
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    return guest


@pytest.fixture(scope='module')
def neighbour_renderer(tmp_path_factory):
    renderer = Renderer(tmp_path_factory.mktemp('neighbour'), name='neighbour')
    yield renderer
    renderer.stop()


@pytest.fixture
def neighbour(neighbour_renderer):
    """A guest at work on another renderer; it must be unharmed at the end."""
    neighbour = Neighbour(neighbour_renderer.path)
    neighbour.unharmed(1)
    yield neighbour
    try:
        neighbour.unharmed()
    finally:
        neighbour.stop()
