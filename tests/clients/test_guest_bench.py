# SPDX-License-Identifier: MIT
"""The benchmarks of sharing with guests (--vms), without virtual machines: each guest is a shell
that runs the guest's script here, where the shim gives it a vGPU's render node."""

import argparse
import contextlib
import os
import pathlib
import sys
import time

import pytest
from standalone import TIMEOUT

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / 'samples/bench'))

import fairness  # noqa: E402
import latency  # noqa: E402
from lib import guests, sharing  # noqa: E402
from lib.environment import Failed, shim_environment  # noqa: E402
from lib.load import Frame, Load, draw_together  # noqa: E402
from lib.place import ANYWHERE  # noqa: E402
from vm import process  # noqa: E402

SECONDS = 0.2
QUICK = {'seconds': SECONDS, 'runs': 1, 'quick': True}
LOAD = Load(Frame(1, 2), 5)


class GuestHere(guests.LoadGuest):
    """Has the shared folder and the script of a guest."""

    def __init__(self, name, folder, socket, place):
        super().__init__(name, folder, socket, place)
        self._socket = socket

    def start(self):
        with open(self.qemu_log_path, 'ab') as log:
            self.process = process.start(['sh', 'run.sh'], log, cwd=self.share,
                                         env=shim_environment(self._socket))


@pytest.fixture(name='here', autouse=True, scope='module')
def no_virtual_machines():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guests, 'LoadGuest', GuestHere)
        patch.setattr(guests, 'TAIL_SECONDS', 0.3)  # these start at once
        patch.setenv('ALIQUOT_ACCEL', 'tcg')  # nobody looks for another
        # A sanitized program does not like a library before its runtime; the shim has none.
        patch.setenv('ASAN_OPTIONS', 'verify_asan_link_order=0:detect_leaks=0')
        yield


@pytest.fixture(name='two', scope='module')
def two_guests(here, tmp_path_factory):
    with guests.open_guests(ANYWHERE, tmp_path_factory.mktemp('two'), 2) as column:
        yield column


def rows_of(measure, folder, **options):
    rows, failed = measure(argparse.Namespace(**QUICK, **options), ANYWHERE, folder)
    assert not failed
    named = {row['name']: row for row in rows}
    assert len(named) == len(rows)
    return named


def test_fairness(tmp_path):
    rows = rows_of(fairness.measure_guests, tmp_path, scene=['1:1', '1:9'])
    assert all(name.startswith('plain: two guests (tcg), 1:1: ') for name in rows)
    title = 'plain: two guests (tcg), 1:1'
    for what in (f'share error over {SECONDS:g} s', "share error by the daemon's count"):
        assert 0 <= rows[f'{title}: {what}']['value'] <= 100
    assert 0 <= rows[f'{title}: min/max']['value'] <= 1
    assert rows[f'{title}: GPU time of all']['value'] > 0
    # Only guests draw in guests.
    assert all(row['native'] is None and row['peer'] is None for row in rows.values())


def test_latency(tmp_path):
    rows = rows_of(latency.measure_guests, tmp_path, scene=['hog', 'alone', '4-hogs'])
    titles = {name.rpartition(': ')[0] for name in rows}
    assert titles == {f'plain: light in {where}, {beside} (tcg)' for where in ('a guest', 'no VM')
                      for beside in ('guests idle', 'hog in a guest')}
    for title in titles:
        p50, p99, longest = (rows[f'{title}: {what}']['value'] for what in ('p50', 'p99', 'max'))
        assert 0 < p50 <= p99 <= longest
        assert rows[f'{title}: fps']['value'] > 0


def test_clients(two, tmp_path):
    """They draw on the guests' vGPUs, of the weight that is asked for, in the host's time."""
    loads = [LOAD, Load(LOAD.frame, LOAD.work, knobs=('--weight', '300'))]
    seen = []

    def look(from_ns, to_ns):
        seen.extend([from_ns, to_ns, two.control.vgpus()[1]])

    drawn = draw_together(two, loads, tmp_path, SECONDS, look)
    from_ns, to_ns, vgpus = seen
    assert {name: vgpu['weight'] for name, vgpu in vgpus.items()} == {'guest-0': 100,
                                                                      'guest-1': 300}
    for client in drawn:
        assert (client.report['from_ns'], client.report['to_ns']) == (from_ns, to_ns)
        assert len(client.spans) >= client.report['frames'] > 0
        assert all(start <= end for start, end in client.spans)
        # It draws longer than it is measured, so that all others are measured beside it.
        assert client.spans[0][0] < to_ns < client.spans[-1][1]
    vgpus = two.control.vgpus()[1]
    assert all(vgpu['gpuCompletions'] > 0 for vgpu in vgpus.values())


def test_one_outside(two, tmp_path):
    """A client without a guest beside one in a guest."""
    names = set()
    column = guests.ShimBesideGuests(two)
    draw_together(column, [LOAD, LOAD], tmp_path, SECONDS,
                  lambda *_: names.update(name for name, vgpu in column.control.vgpus()[1].items()
                                          if vgpu['submits'] > 0))
    assert names >= {column.vgpu_name(0), column.vgpu_name(1)}
    assert column.vgpu_name(0).startswith('load-') and column.vgpu_name(1) == 'guest-1'


def test_bad_work(two, tmp_path):
    """What gl-load says in a guest is said here; the guest goes on."""
    with pytest.raises(Failed, match='gl-load failed in guest-0: .*work'):
        draw_together(two, [Load(LOAD.frame, 0)], tmp_path, SECONDS)
    with pytest.raises(Failed, match='weight'):
        draw_together(two, [Load(LOAD.frame, 1, knobs=('--weight', '0'))], tmp_path, SECONDS)
    assert draw_together(two, [LOAD], tmp_path, SECONDS)[0].report['frames'] > 0


def test_cancelled(two, tmp_path):
    """Who is never told to begin ends, and so gives the guest back."""
    client = two.client(0, LOAD, tmp_path, SECONDS, 0)
    client.wait_ready()
    client.stop()
    assert draw_together(two, [LOAD], tmp_path, SECONDS)[0].report['frames'] > 0


def test_guest_ends(tmp_path):
    with contextlib.ExitStack() as stack:
        column = stack.enter_context(guests.open_guests(ANYWHERE, tmp_path, 1))
        client = column.client(0, LOAD, tmp_path, SECONDS, 0)
        client.wait_ready()
        os.kill(column._guests[0].process.pid, 9)
        try:
            with pytest.raises(Failed, match='guest-0 ended before it could end gl-load'):
                client.result(time.monotonic() + TIMEOUT)
        finally:
            client._guest.touch(f'cancel-{client._job}')  # what a virtual machine takes along


def test_without_guests():
    """They are an addition: what has been measured stays, whatever becomes of them."""
    def refuse():
        raise Failed('no kernel')

    rows, more = [{'name': 'a'}], [{'name': 'b'}]
    asked, not_asked = (argparse.Namespace(vms=vms) for vms in (True, False))
    assert sharing.with_guests(not_asked, rows, False, refuse) == (rows, False)
    assert sharing.with_guests(asked, rows, False, refuse) == (rows, True)
    assert sharing.with_guests(asked, rows, False, lambda: (more, False)) == (rows + more, False)
    assert sharing.with_guests(asked, rows, True, lambda: (more, False)) == (rows + more, True)
    assert sharing.with_guests(asked, rows, False, lambda: (more, True)) == (rows + more, True)
