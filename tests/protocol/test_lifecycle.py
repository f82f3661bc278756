# SPDX-License-Identifier: MIT
"""Rings that stop, go on and start anew, and how often either side is notified."""

import pytest
from raw import vhost_user as vu
from raw import virtio_gpu as vg
from raw import vring
from raw.display import Display


def still_has(guest, resource):
    """True if the resource exists."""
    return guest.ctrl(vg.flush(resource, 0, 0, 1, 1)).kind == vg.OK_NODATA


# ---- stop and go on


def test_a_paused_machine_goes_on(session):
    """QEMU's stop and cont: same rings, same indices, resources are still there."""
    guest = session.guest()
    guest.make_2d(1, 16, 16)
    for i in range(5):
        guest.cursor(vg.move_cursor(0, i, i), into=0)
    bases = guest.stop()
    assert bases == (guest.rings[0].avail_idx, guest.rings[1].avail_idx)
    guest.restart(bases)
    assert still_has(guest, 1)
    guest.ok(vg.transfer_2d(1, 0, 0, 16, 16))


def test_pausing_again_and_again(session):
    """Also across the wrap of the 16-bit index and at every position in the ring."""
    guest = session.guest(num=8)
    guest.make_2d(1, 4, 4)
    for i in range(40):
        for _ in range(i % 3):
            guest.ok(vg.transfer_2d(1, 0, 0, 4, 4))
        bases = guest.stop()
        assert bases == (guest.rings[0].avail_idx, guest.rings[1].avail_idx)
        guest.restart(bases)
    assert still_has(guest, 1)


def test_index_wraps(session):
    """A ring that starts right before 65536."""
    guest = session.guest(start=False)
    base = 65530
    for ring in guest.rings:
        ring.avail_idx = ring.last_used = base
        guest.memory.write(ring.avail_gpa + 2, base.to_bytes(2, 'little'))
        guest.memory.write(ring.used_gpa + 2, base.to_bytes(2, 'little'))
    for _, step in guest.connect_steps() + guest.start_steps(base=(base, base)):
        step()
    for i in range(20):
        guest.ok(vg.create_2d(i + 1, 4, 4))
    assert guest.stop() == ((base + 20) & 0xFFFF, base)


def test_commands_made_available_while_stopped(session):
    guest = session.guest()
    bases = guest.stop()
    pending = guest.submit(vg.create_2d(1, 4, 4))
    guest.front_end.ask_u64(vu.GET_FEATURES)
    assert not guest.finished(pending)
    guest.restart(bases)
    assert guest.finish(pending).kind == vg.OK_NODATA


def test_disabled_ring_is_not_served(session):
    guest = session.guest()
    fe = guest.front_end
    fe.tell(vu.SET_VRING_ENABLE, vu.vring_state(0, 0))
    pending = guest.submit(vg.create_2d(1, 4, 4))
    fe.ask_u64(vu.GET_FEATURES)
    assert not guest.finished(pending)
    guest.cursor(vg.move_cursor(0, 1, 1), into=0)  # the other one is
    fe.tell(vu.SET_VRING_ENABLE, vu.vring_state(0, 1))
    assert guest.finish(pending).kind == vg.OK_NODATA


def test_stop_waits_for_what_is_in_flight(session):
    """When GET_VRING_BASE is answered, every popped command has its answer in the ring."""
    guest = session.guest()
    guest.make_2d(1, 16, 16)
    pending = [guest.submit(vg.fenced(vg.transfer_2d(1, 0, 0, 16, 16), i)) for i in range(20)]
    bases = guest.stop()
    done = sum(guest.finished(p) for p in pending)
    assert guest.rings[0].used_idx() == bases[0]
    assert bases[0] == 2 + done
    guest.restart(bases)
    assert all(guest.finish(p).kind == vg.OK_NODATA for p in pending)


def test_stopping_what_is_stopped(session):
    guest = session.guest()
    bases = guest.stop()
    assert guest.front_end.get_vring_base(0) == bases[0]
    assert guest.front_end.get_vring_base(0) == bases[0]


# ---- start anew


def test_a_new_driver_finds_nothing(session):
    """Reboot or reload of the driver: fresh rings at base 0; nothing on the wire says more."""
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    for _ in range(5):
        guest.make_2d(1, 16, 16, parts=4)
        guest.ok(vg.set_scanout(0, 1, 0, 0, 16, 16))
        guest.cursor(vg.update_cursor(0, 1), into=0)
        if guest.has(vg.F_VIRGL):
            guest.ok(vg.ctx_create(1))
        guest.stop()
        guest.restart()
        assert not still_has(guest, 1)
        if guest.has(vg.F_VIRGL):
            guest.expect(vg.ERR_INVALID_CONTEXT_ID, vg.ctx_destroy(1))


def test_a_new_driver_switches_old_scanouts_off(session):
    guest = session.guest(display=Display())
    guest.wait(lambda: guest.display.of(2))
    guest.make_2d(1, 16, 16)
    guest.ok(vg.set_scanout(0, 1, 0, 0, 16, 16))
    guest.wait(lambda: guest.display.of(7))
    guest.display.forget()
    guest.stop()
    guest.restart()
    guest.wait(lambda: guest.display.of(7))
    assert guest.display.of(7)[-1].ints(3) == (0, 0, 0)


@pytest.mark.parametrize('request_id', [vu.RESET_DEVICE, vu.RESET_OWNER])
def test_explicit_reset(session, request_id):
    guest = session.guest()
    guest.make_2d(1, 16, 16)
    guest.front_end.tell(request_id)
    guest.front_end.tell(vu.REM_MEM_REG, vu.mem_reg(guest.memory.region()))
    guest.restart()
    assert not still_has(guest, 1)


def test_old_memory_is_let_go(session):
    """A new driver's table replaces the old one's, and nothing holds on to that."""
    guest = session.guest()
    for _ in range(10):
        guest.make_2d(1, 16, 16)
        guest.stop()
        old, guest.memory = guest.memory, vring.Memory(4 << 20, gpa=0x80000000)
        for queue, ring in enumerate(guest.rings):
            ring.close()
            guest.rings[queue] = vring.Ring(guest.memory)
        guest.pool.clear()
        for _, step in guest.start_steps():
            step()
        old.close()
        guest.ok(vg.create_2d(1, 4, 4))
        guest.ok(vg.unref(1))
        assert session.renderer.measure().memfds == 1


# ---- notifications


@pytest.fixture(params=[[], [vu.F_EVENT_IDX]], ids=['event index', 'flags'])
def either(session, request):
    """A guest with EVENT_IDX and one without."""
    return session.guest(drop=request.param)


def calls_so_far(guest):
    """Notifications of the control queue; those on their way arrive before the answer does."""
    guest.front_end.ask_u64(vu.GET_FEATURES)
    guest.pump()
    return guest.calls[0]


def test_one_notification_for_one_command(either):
    for i in range(10):
        either.ok(vg.create_2d(i + 1, 4, 4))
        assert calls_so_far(either) == i + 1


def test_a_batch_is_not_notified_one_by_one(either):
    pending = [either.submit(vg.create_2d(i + 1, 4, 4), kick=False) for i in range(30)]
    either.rings[0].kick()
    for p in pending:
        either.finish(p)
    assert 1 <= calls_so_far(either) <= 3


def test_no_notification_where_none_is_wanted(session):
    """EVENT_IDX: not before the index that the driver named."""
    guest = session.guest()
    ring = guest.rings[0]
    guest.ok(vg.create_2d(1, 4, 4))
    guest.wants_calls = False
    calls = calls_so_far(guest)
    ring.set_used_event(ring.last_used + 9)
    for i in range(9):
        guest.poll(guest.submit(vg.create_2d(i + 2, 4, 4)))
    assert calls_so_far(guest) == calls
    guest.ok(vg.create_2d(11, 4, 4))
    guest.wait(lambda: guest.calls[0] == calls + 1)


def test_no_notification_with_the_flag(session):
    guest = session.guest(drop=[vu.F_EVENT_IDX])
    ring = guest.rings[0]
    guest.ok(vg.create_2d(1, 4, 4))
    calls = calls_so_far(guest)
    ring.set_avail_flags(vring.AVAIL_NO_INTERRUPT)
    for i in range(5):
        guest.poll(guest.submit(vg.create_2d(i + 2, 4, 4)))
    assert calls_so_far(guest) == calls
    ring.set_avail_flags(0)
    guest.ok(vg.create_2d(10, 4, 4))
    guest.wait(lambda: guest.calls[0] == calls + 1)


def test_kicks_are_asked_for_when_idle(either):
    """What the device publishes says that the next chain needs a kick."""
    for i in range(5):
        either.ok(vg.create_2d(i + 1, 4, 4))
        either.front_end.ask_u64(vu.GET_FEATURES)
        if either.has(vu.F_EVENT_IDX):
            assert either.rings[0].avail_event() == either.rings[0].avail_idx
        else:
            assert either.rings[0].used_flags() & vring.USED_NO_NOTIFY == 0


def test_an_idle_guest_costs_nothing(session):
    guest = session.guest(display=Display())
    guest.make_2d(1, 16, 16)
    guest.ok(vg.set_scanout(0, 1, 0, 0, 16, 16))
    guest.wait(lambda: guest.display.of(7))
    before = session.renderer.cpu_ticks()
    assert not guest.front_end.readable(1.0)
    assert session.renderer.cpu_ticks() - before <= 1


def test_kicks_without_commands(session):
    """A guest that rings the bell all the time gets nothing for it."""
    guest = session.guest()
    for _ in range(1000):
        guest.rings[0].kick()
        guest.rings[1].kick()
    guest.ok(vg.create_2d(1, 4, 4))
