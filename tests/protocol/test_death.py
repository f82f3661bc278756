# SPDX-License-Identifier: MIT
"""Front-ends that die or stall in the middle of anything: what they had is given back, the next
one is served, and a neighbour notices nothing."""

import os
import struct

import pytest
from raw import vhost_user as vu
from raw import virtio_gpu as vg
from raw.display import Display
from raw.guest import Guest
from raw.renderer import LINE, Renderer
from raw.vhost_user import FrontEnd, VERSION

STEPS = [
    'GET_FEATURES', 'SET_PROTOCOL_FEATURES', 'GET_QUEUE_NUM', 'GET_MAX_MEM_SLOTS', 'SET_OWNER',
    'SET_VRING_CALL 0', 'SET_VRING_ERR 0', 'SET_VRING_CALL 1', 'SET_VRING_ERR 1',
    'GPU_SET_SOCKET', 'GET_CONFIG', 'SET_FEATURES', 'memory',
    'SET_VRING_NUM 0', 'SET_VRING_BASE 0', 'SET_VRING_ADDR 0', 'SET_VRING_KICK 0',
    'SET_VRING_CALL 0 again', 'SET_VRING_NUM 1', 'SET_VRING_BASE 1', 'SET_VRING_ADDR 1',
    'SET_VRING_KICK 1', 'SET_VRING_CALL 1 again', 'SET_VRING_ENABLE 0', 'SET_VRING_ENABLE 1']


def test_the_list_of_steps_is_complete(session):
    guest = session.guest(display=Display(), start=False)
    assert [name for name, _ in guest.steps()] == STEPS


@pytest.mark.parametrize('last', STEPS)
@pytest.mark.parametrize('display', [False, True], ids=['no display', 'display'])
def test_death_after_each_message(session, last, display):
    """Without a display there is no GPU_SET_SOCKET, and all messages are sent."""
    guest = session.guest(display=Display() if display else None, start=False)
    for name, step in guest.steps():
        step()
        if name == last:
            break
    guest.close()


@pytest.mark.parametrize('last', STEPS[:-1:3])
def test_death_in_the_middle_of_the_next_message(session, last):
    guest = session.guest(start=False)
    for name, step in guest.steps():
        if name == 'GPU_SET_SOCKET':
            continue
        step()
        if name == last:
            break
    guest.front_end.send_raw(struct.pack('<II', vu.SET_MEM_TABLE, VERSION))
    guest.close()
    session.expect_lines()


@pytest.mark.parametrize('size', [1, 7, 39])
def test_death_in_the_middle_of_a_payload_with_a_descriptor(session, size):
    guest = session.guest()
    fe = guest.front_end
    fe.send(vu.ADD_MEM_REG, vu.mem_reg((1 << 40, 4096, 1 << 40, 0))[:size], [guest.memory.fd],
            size=40)
    guest.close()
    session.expect_lines()


def test_death_after_a_header_without_payload(session):
    guest = session.guest()
    guest.front_end.send(vu.SET_FEATURES, size=8)
    guest.close()
    session.expect_lines()


def test_death_without_a_word(session):
    for _ in range(20):
        session.connect().close()


def test_death_before_the_answer_is_read(session):
    fe = session.connect()
    for _ in range(100):
        fe.send(vu.GET_FEATURES)
    fe.close()
    session.any_lines()  # whether all answers could be sent is chance


@pytest.mark.parametrize('kick', [True, False], ids=['kicked', 'not kicked'])
def test_death_with_commands_in_flight(session, neighbour, kick):
    for _ in range(5):
        guest = session.guest()
        guest.make_2d(1, 64, 64, parts=7)
        for i in range(30):
            guest.submit(vg.fenced(vg.transfer_2d(1, 0, 0, 64, 64), i), kick=kick)
        guest.close()
    neighbour.unharmed()


def test_death_with_all_kinds_of_objects(session):
    guest = session.guest(display=Display())
    for resource in range(1, 50):
        guest.make_2d(resource, 32, 32, parts=resource)
    guest.ok(vg.set_scanout(0, 5, 0, 0, 32, 32))
    guest.cursor(vg.update_cursor(0, 6), into=0)
    if guest.has(vg.F_VIRGL):
        for ctx in range(1, 20):
            guest.ok(vg.ctx_create(ctx))
            guest.ok(vg.ctx_attach(ctx, ctx))
            guest.submit(vg.fenced(vg.submit_3d(ctx, bytes(64)), ctx, ring_idx=0))
    guest.close()


def test_the_connection_goes_but_the_display_stays(session):
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    guest.front_end.close()
    guest.display.await_close()


def test_stall_in_the_middle_of_a_message(session, neighbour):
    """The renderer uses no processor time meanwhile, and gives up in the end."""
    fe = session.connect()
    fe.negotiate()
    fe.send_raw(struct.pack('<II', vu.GET_FEATURES, VERSION))
    before = session.renderer.cpu_ticks()
    session.refused(fe)
    assert session.renderer.cpu_ticks() - before <= 10
    neighbour.unharmed()


def test_stall_and_then_the_rest(session):
    fe = session.connect()
    hello = struct.pack('<III', vu.GET_FEATURES, VERSION, 0)
    fe.send_raw(hello[:7])
    assert not fe.readable(0.05)
    fe.send_raw(hello[7:])
    assert fe.recv()[0] == vu.GET_FEATURES


def test_many_front_ends_at_once(session):
    """One is served, the others wait their turn; those that give up leave nothing."""
    first = session.guest()
    waiting = [FrontEnd(session.renderer.path) for _ in range(4)]
    first.make_2d(1, 8, 8)
    for fe in waiting[:3]:
        fe.close()
    waiting[3].send(vu.GET_FEATURES)
    first.make_2d(2, 8, 8)
    first.close()
    assert waiting[3].recv()[0] == vu.GET_FEATURES
    waiting[3].close()


# ---- guest memory that vanishes


@pytest.mark.parametrize('size', [0, 4096])
def test_memory_is_cut_short_under_a_running_ring(tmp_path, neighbour, size):
    """The renderer of this guest may die of it, with one line; nobody else does."""
    renderer = Renderer(tmp_path, name='unlucky')
    try:
        with Guest(renderer.path) as guest:
            guest.make_2d(1, 64, 64)
            guest.submit(vg.transfer_2d(1, 0, 0, 64, 64), kick=False)
            # This process must not touch its mapping any more either.
            os.ftruncate(guest.memory.fd, size)
            guest.rings[0].kick()
            guest.front_end.await_close()
        assert renderer.wait_end() == 1
        line, = [line for line in renderer.new_lines() if 'front-end connected' not in line]
        match = LINE.match(line)
        assert match and match['vgpu'] == 'unlucky', line
        neighbour.unharmed()
    finally:
        renderer.kill()


def test_memory_is_cut_short_while_nothing_runs(session):
    """As long as nobody looks there is nothing wrong."""
    guest = session.guest()
    guest.stop()
    os.ftruncate(guest.memory.fd, 0)
    guest.front_end.ask_u64(vu.GET_FEATURES)
