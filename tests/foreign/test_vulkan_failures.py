# SPDX-License-Identifier: MIT
"""What becomes of Vulkan programs, and of others beside them, when the process that does their work
on the host is killed, and when a vGPU's memory is used up."""

import contextlib
import json
import mmap
import os
import pathlib
import select
import signal
import subprocess
import sys

import pytest
from columns import CLI, OURS, SHIM, TIMEOUT
from compute import PICTURES, native, pictures, quiet
from runner import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'protocol'))
from raw import vtest as vt  # noqa: E402

BUILD = pathlib.Path(os.environ['ALIQUOT_BUILD'])
CLIENT = BUILD / 'tests/layer/layer-client'
SCENE = BUILD / 'samples/vk-scene'
# It has the sanitizer of the build, and something else preloaded before it.
OURS_ENV = {'ASAN_OPTIONS': 'detect_leaks=0:verify_asan_link_order=0'}
VENUS = 4  # the capset
MIB = 1 << 20
QUOTA = 128 * MIB
PIECE = 8 * MIB
OUT_OF_DEVICE_MEMORY = -2
ABORTED = 128 + signal.SIGABRT  # as "aliquot run" has it
LOST = 69


def children(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as listing:
            return [int(child) for child in listing.read().split()]
    except FileNotFoundError:
        return []


def workers(columns, name):
    """Those that do a vGPU's Vulkan work: children of its render server."""
    renderer = columns.daemon.vgpus().get(name, {}).get('rendererPid')
    return [worker for server in children(renderer) for worker in children(server)] \
        if renderer else []


# ---- a process of the host's is killed ----------------------------------------------------------


def slowly(command, seconds=5):
    """As fast as the pictures are to be seen, 5 a second."""
    command = [word.replace('duration=1', f'duration={seconds}') for word in command]
    at = command.index('-f')
    return [*command[:at], '-re', *command[at:]]


@pytest.mark.parametrize('via', OURS)
def test_worker_killed(columns, via):
    """Its program gets an error of Vulkan's, or Mesa aborts it, and nobody else notices."""
    expected = pictures(native(slowly(PICTURES), TIMEOUT))
    assert len(expected) == 25
    # It waits for its frames without a limit. Who does so for moments only can go on for ever: what
    # Mesa looks at meanwhile is memory that nobody writes any more.
    victim = columns.start(via, SCENE, '--size', '64x64', '--seconds', '3600',
                           options=['--name=victim'], **OURS_ENV)
    with contextlib.ExitStack() as stack:
        stack.callback(victim.kill)
        other = columns.start(via, *quiet(slowly(PICTURES)), options=['--name=other'])
        stack.callback(other.kill)
        for name in ('victim', 'other'):
            assert wait_until(
                lambda name=name: columns.daemon.vgpus().get(name, {}).get('vulkanSubmits', 0) > 2)
        killed = workers(columns, 'victim')
        assert killed
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        said = victim.communicate(timeout=TIMEOUT)[0]
        assert victim.returncode != 0
        assert 'VK_ERROR_' in said or victim.returncode == ABORTED, (victim.returncode, said)
        out = other.communicate(timeout=TIMEOUT)[0]
        assert other.returncode == 0, out
        assert pictures(out) == expected
    assert wait_until(lambda: 'victim' not in columns.daemon.vgpus())
    after = columns.run(via, *PICTURES, timeout=TIMEOUT)
    assert after.returncode == 0 and pictures(after.stdout) == expected[:5], after.stderr


@pytest.mark.parametrize('via', OURS)
def test_worker_killed_of_who_waits_for_moments(columns, via):
    """What it looks at is memory that nobody writes any more. The shim, which is in it, ends it;
    over vtest it has to be told to ask the ring instead."""
    name = f'moments-{via}'
    more = {} if via == 'shim' else {'VN_PERF': 'no_semaphore_feedback,no_fence_feedback'}
    victim = columns.start(via, *slowly(PICTURES, 3600), options=[f'--name={name}'], **more)
    with contextlib.ExitStack() as stack:
        stack.callback(victim.kill)
        # Well beyond the start, where it has much to ask for.
        assert wait_until(
            lambda: columns.daemon.vgpus().get(name, {}).get('vulkanSubmits', 0) > 100)
        killed, = workers(columns, name)
        os.kill(killed, signal.SIGKILL)
        said = victim.communicate(timeout=TIMEOUT)[0]
        assert victim.returncode == (LOST if via == 'shim' else ABORTED), said
        assert ("this program's Vulkan work has ended" in said) == (via == 'shim')


def test_renderer_killed_of_who_waits_for_moments(columns):
    """Nor is there anything that it asks of the renderer."""
    victim = columns.start('shim', *slowly(PICTURES, 3600), options=['--name=orphan'])
    with contextlib.ExitStack() as stack:
        stack.callback(victim.kill)
        assert wait_until(
            lambda: columns.daemon.vgpus().get('orphan', {}).get('vulkanSubmits', 0) > 100)
        os.kill(columns.daemon.vgpus()['orphan']['rendererPid'], signal.SIGKILL)
        said = victim.communicate(timeout=TIMEOUT)[0]
        assert victim.returncode == LOST, said
        assert 'ending the program' in said


def test_contexts_of_killed_workers(columns):
    """A program that does not look: its worker's context is given up without its help, and its
    renderer does nothing in vain."""
    with Holder(columns, '--name=still') as holder:
        killed, = workers(columns, 'still')
        os.kill(killed, signal.SIGKILL)
        columns.daemon.log.wait(r"\[still\]: the process of Vulkan context \d+ has ended")
        holder.give_up()


@contextlib.contextmanager
def context_without_instance(columns):
    """A Vulkan context that was told nothing yet, so that the layer is not even loaded; yields the
    client whose it is and the name of its vGPU."""
    before = set(columns.daemon.vgpus())
    with vt.Client(columns.daemon.dir / 'aliquot.sock', version=3) as client:
        client.send(vt.message(vt.CONTEXT_INIT, vt.words(VENUS)))
        assert is_mappable(client)
        name, = set(columns.daemon.vgpus()) - before
        yield client, name


def is_mappable(client):
    """Whether it gets memory for a ring."""
    _, fd = client.blob(vt.BLOB_HOST3D, 4096)
    try:
        mmap.mmap(fd, 4096).close()
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def test_worker_killed_before_its_first_command(columns):
    """Nothing has been heard of it, and its client asks for nothing. The context ends all the same,
    the client is told when it asks, and another one is as it was."""
    with context_without_instance(columns) as (client, name), \
            context_without_instance(columns) as (other, _):
        sync = client.sync()
        killed, = workers(columns, name)
        os.kill(killed, signal.SIGKILL)
        columns.daemon.log.wait(rf'\[{name}\]: the process of Vulkan context 1 has ended')
        assert not is_mappable(client)
        assert is_mappable(other)
        client.send(vt.submit2(client.version, (b'', [(sync, 1)], 0)))
        fd = client.sync_fd((sync, 1))  # nobody waits for what was under way
        assert select.select([fd], [], [], TIMEOUT)[0]
        os.close(fd)
        client.send(vt.submit2(client.version, (bytes(8), [], 0)))
        assert client.closed()


# ---- memory ---------------------------------------------------------------------------------------


class Holder:
    """A program that takes memory, and gives it back, as it is told."""

    def __init__(self, columns, *options):
        self.columns = columns
        # Else Mesa's Venus says that there is memory before it knows.
        env = columns.environment(SHIM) | {'VN_PERF': 'no_async_mem_alloc'}
        self.process = subprocess.Popen(
            [*columns.prefix(SHIM, *options), str(CLIENT)], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.taken = 0
        assert self.process.stdout.readline() == 'ready 0\n'

    def ask(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()
        word, result = self.process.stdout.readline().split()
        assert word == line.split()[0]
        return int(result)

    def fill(self):
        """Takes pieces until there are no more; returns which."""
        pieces = []
        while (result := self.ask(f'alloc {PIECE} 0')) == 0:
            pieces.append(self.taken)
            self.taken += 1
        assert result == OUT_OF_DEVICE_MEMORY
        return pieces

    def give_up(self):
        self.process.kill()
        self.process.wait(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.give_up()
        self.process.stdin.close()
        self.process.stdout.close()


def listed(columns, name):
    """What "aliquot list --json" says of a vGPU's memory, and what it has refused; None: no such."""
    result = subprocess.run([CLI, 'list', '--json', '--socket-dir', columns.daemon.dir],
                            capture_output=True, text=True, timeout=TIMEOUT, check=True)
    for vgpu in json.loads(result.stdout):
        if vgpu['name'] == name:
            return vgpu['vulkanBytes'] + vgpu['resourceBytes'], vgpu['vulkanRefused']
    return None


def test_quota_reached_and_freed_and_reached(columns):
    with Holder(columns, '--name=quota', f'--max-memory={QUOTA}') as holder:
        before, refused = listed(columns, 'quota')
        assert refused == 0
        for i in range(3):
            pieces = holder.fill()
            assert len(pieces) == (QUOTA - before) // PIECE
            assert listed(columns, 'quota') == (before + len(pieces) * PIECE, i + 1)
            for piece in pieces:
                assert holder.ask(f'free {piece}') == 0
            assert wait_until(lambda: listed(columns, 'quota')[0] == before)
        # It has taken no harm.
        assert holder.ask('submit 1 1') == 0
        assert holder.ask('wait') == 0


def test_killed_with_all_memory(columns):
    """What it held is there for the next program on the same vGPU."""
    daemon = columns.daemon
    for _ in range(2):
        with Holder(columns, '--name=killed', f'--max-memory={QUOTA}') as holder:
            before = listed(columns, 'killed')[0]
            pieces = holder.fill()
            assert len(pieces) == (QUOTA - before) // PIECE
        assert wait_until(lambda: 'killed' not in daemon.vgpus())


def test_worker_killed_with_all_memory(columns):
    """The same of the process on the host: its memory is the vGPU's again at once."""
    with Holder(columns, '--name=drained', f'--max-memory={QUOTA}') as holder:
        assert holder.fill()
        killed, = workers(columns, 'drained')
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda: columns.daemon.vgpus()['drained']['vulkanBytes'] == 0)
