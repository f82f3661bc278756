# SPDX-License-Identifier: MIT
"""What benchmarks of sharing compare: each has clients draw in its own way."""

import contextlib

from lib.control import Control
from lib.daemon import BUILD, Daemon
from lib.environment import base_environment, native_environment, vtest_environment
from lib.load import Client
from lib.peer import virgl_test_server

ALIQUOT = BUILD / 'mediator/cli/aliquot'

NATIVE, PEER, SERVERS, OURS = 'native', 'virgl_test_server', 'virgl_test_servers', 'aliquot'
COLUMNS = (NATIVE, PEER, SERVERS, OURS)
# Only where they are asked for: with early hand-over; with clients that come over vtest.
EARLY, VTEST = ASKED_FOR = ('aliquot-early', 'aliquot-vtest')


class Processes:
    """A column whose clients are processes here."""

    warmup = 0.5  # seconds
    control = None  # lib.control.Control, where there is one

    def command(self, number, load, command):
        """(command line, environment) for the client of that number to run that command."""
        raise NotImplementedError

    def client(self, number, load, folder, seconds, warmup):
        """A gl-load or vk-load that waits for its start."""
        return Client(self, number, load, folder, seconds, warmup)


class Native(Processes):
    """Each client draws by itself."""

    native = True

    def __init__(self, place):
        self._place = place

    def command(self, number, load, command):
        place = self._place
        return ([*place.gpu_command, *command],
                native_environment(load.frame.api) | place.gpu_environment)


class Peer(Processes):
    """All clients at one virgl_test_server, which makes a process for each."""

    native = False

    def __init__(self, place, socket, more):
        self._place = place
        self._socket = socket
        self._more = more

    def command(self, number, load, command):
        return ([*self._place.client_command, *command],
                vtest_environment(self._socket, load.frame.api) | self._more)


class Servers(Processes):
    """A virgl_test_server for each client, which lives as long as the column."""

    native = False

    def __init__(self, place, folder, stack):
        self._place = place
        self._folder = folder
        self._stack = stack
        self._sockets = {}

    def command(self, number, load, command):
        if number not in self._sockets:
            self._sockets[number] = self._stack.enter_context(
                virgl_test_server(self._folder, f'server-{number}', self._place))
        return ([*self._place.client_command, *command],
                vtest_environment(self._sockets[number], load.frame.api))


class Ours(Processes):
    """A vGPU for each client."""

    native = False

    def __init__(self, place, daemon, via):
        self._place = place
        self._via = via
        self.daemon = daemon
        self.control = Control(daemon.folder)

    def command(self, number, load, command):
        return ([*self._place.client_command, ALIQUOT, 'run', '--socket-dir',
                 str(self.daemon.folder), '--name', self.vgpu_name(number), '--via', self._via,
                 *load.knobs, '--', *command],
                base_environment() | load.frame.api.shim)

    def vgpu_name(self, number):
        return f'load-{number}'


@contextlib.contextmanager
def ours(place, folder, policy=None, name=OURS, more=()):
    """aliquotd without a vGPU but those of clients: under the policy exclusive there is one owner.
    policy: of time; None = its default. name: OURS, EARLY or VTEST. more: options."""
    options = ['--preempt', place.preempt, '--early-handover', 'yes' if name == EARLY else 'no']
    options += [*(['--policy', policy] if policy else []), *more]
    with Daemon(folder / name, 'virgl', env=base_environment(), options=options,
                place=place) as daemon:
        yield Ours(place, daemon, 'vtest' if name == VTEST else 'shim')


@contextlib.contextmanager
def open_columns(place, folder, names=COLUMNS, venus=None):
    """Yields {name: column}, with servers in that folder; venus: what Vulkan's clients of
    virgl_test_server need in their environment, None = there are none."""
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        makers = {
            NATIVE: lambda: Native(place),
            PEER: lambda: Peer(place, stack.enter_context(
                virgl_test_server(folder, place=place, venus=venus is not None)), venus or {}),
            SERVERS: lambda: Servers(place, folder, stack),
            OURS: lambda: stack.enter_context(ours(place, folder)),
            EARLY: lambda: stack.enter_context(ours(place, folder, name=EARLY)),
            VTEST: lambda: stack.enter_context(ours(place, folder, name=VTEST)),
        }
        yield {name: makers[name]() for name in names}
