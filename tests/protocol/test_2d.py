# SPDX-License-Identifier: MIT
"""The 2D command set, held against a model of it: what a guest writes is what is shown."""

import random

import pytest
from raw import virtio_gpu as vg
from raw.display import Display


class Model:
    """A 2D resource as virtio-gpu defines it: a backing that the guest writes, and the host's
    copy, which changes by TRANSFER_TO_HOST_2D alone."""

    def __init__(self, guest, resource, width, height, parts=1):
        self.guest, self.resource = guest, resource
        self.width, self.height, self.stride = width, height, 4 * width
        self.entries = guest.make_2d(resource, width, height, parts=parts)
        self.backing = bytearray(self.stride * height)
        self.host = bytearray(self.stride * height)

    def fill(self, seed):
        """Writes other bytes to all of the backing."""
        self.backing[:] = random.Random(seed).randbytes(len(self.backing))
        at = 0
        for gpa, length in self.entries:
            self.guest.memory.write(gpa, self.backing[at:at + length])
            at += length

    def transfer(self, x, y, width, height, offset=None):
        offset = self.stride * y + 4 * x if offset is None else offset
        self.guest.ok(vg.transfer_2d(self.resource, x, y, width, height, offset))
        for row in range(height):
            source = offset + self.stride * row
            target = self.stride * (y + row) + 4 * x
            self.host[target:target + 4 * width] = self.backing[source:source + 4 * width]

    def pixels(self, x, y, width, height):
        """What the host's copy has in a rectangle, with the unused byte cleared."""
        rows = (self.host[self.stride * (y + r) + 4 * x:][:4 * width] for r in range(height))
        return opaque(b''.join(bytes(row) for row in rows))


def opaque(pixels):
    """The fourth byte of x8r8g8b8 means nothing."""
    result = bytearray(pixels)
    result[3::4] = bytes(len(result) // 4)
    return bytes(result)


def shown_now(guest, flush):
    """Updates that a RESOURCE_FLUSH brings to the display."""
    guest.display.forget()
    guest.ok(flush)
    # The display is told before or after the answer: a round trip on the same socket ends it.
    guest.wait(lambda: guest.display.updates())
    return guest.display.updates()


def show(guest, model, scanout=0):
    guest.ok(vg.set_scanout(scanout, model.resource, 0, 0, model.width, model.height))


@pytest.mark.parametrize('width,height,parts', [
    (1, 1, 1), (1, 1, 3), (64, 64, 1), (64, 64, 2), (64, 64, 7), (33, 17, 1), (33, 17, 61),
    (200, 3, 7), (3, 200, 61)])
def test_whole_resource(shown, width, height, parts):
    model = Model(shown, 1, width, height, parts)
    model.fill(1)
    show(shown, model)
    model.transfer(0, 0, width, height)
    update, = shown_now(shown, vg.flush(1, 0, 0, width, height))
    assert (update.scanout, update.rect) == (0, (0, 0, width, height))
    assert opaque(update.pixels) == model.pixels(0, 0, width, height)


def test_single_bytes_of_backing(shown):
    """Entries that split pixels."""
    shown.ok(vg.create_2d(1, 8, 8))
    gpa = shown.memory.alloc(4096)
    data = random.Random(2).randbytes(512)
    shown.memory.write(gpa, data)
    shown.ok(vg.attach_backing(1, [(gpa + 2 * i, 1) for i in range(256)]))
    shown.ok(vg.set_scanout(0, 1, 0, 0, 8, 8))
    shown.ok(vg.transfer_2d(1, 0, 0, 8, 8))
    update, = shown_now(shown, vg.flush(1, 0, 0, 8, 8))
    assert opaque(update.pixels) == opaque(data[::2])


def test_random_transfers_and_flushes(shown):
    """Damage is the flushed rectangle and nothing more; pixels are those of the model."""
    rng = random.Random(3)
    model = Model(shown, 1, 120, 90, parts=11)
    show(shown, model)
    for step in range(60):
        if step % 5 == 0:
            model.fill(step)
        x, y = rng.randrange(120), rng.randrange(90)
        w, h = rng.randint(1, 120 - x), rng.randint(1, 90 - y)
        model.transfer(x, y, w, h)
        x, y = rng.randrange(120), rng.randrange(90)
        w, h = rng.randint(1, 120 - x), rng.randint(1, 90 - y)
        update, = shown_now(shown, vg.flush(1, x, y, w, h))
        assert update.rect == (x, y, w, h)
        assert opaque(update.pixels) == model.pixels(x, y, w, h)


def test_transfer_with_another_offset(shown):
    """The offset is where the first row starts, the resource's own width the stride."""
    model = Model(shown, 1, 32, 32)
    model.fill(4)
    show(shown, model)
    model.transfer(4, 4, 8, 8, offset=0)
    model.transfer(20, 20, 8, 8, offset=4 * 32 * 24 + 4 * 24)  # the last rows of the backing
    model.transfer(0, 30, 32, 2, offset=2)  # not even aligned
    update, = shown_now(shown, vg.flush(1, 0, 0, 32, 32))
    assert opaque(update.pixels) == model.pixels(0, 0, 32, 32)


def test_backing_is_read_at_the_transfer_only(shown):
    model = Model(shown, 1, 16, 16)
    model.fill(5)
    show(shown, model)
    model.transfer(0, 0, 16, 16)
    model.fill(6)
    update, = shown_now(shown, vg.flush(1, 0, 0, 16, 16))
    assert opaque(update.pixels) == model.pixels(0, 0, 16, 16)
    shown.ok(vg.detach_backing(1))
    update, = shown_now(shown, vg.flush(1, 0, 0, 16, 16))
    assert opaque(update.pixels) == model.pixels(0, 0, 16, 16)


def test_backing_is_attached_anew(shown):
    model = Model(shown, 1, 16, 16)
    show(shown, model)
    shown.ok(vg.detach_backing(1))
    model.entries = [(shown.memory.alloc(1024), 1024)]
    shown.ok(vg.attach_backing(1, model.entries))
    model.fill(7)
    model.transfer(0, 0, 16, 16)
    update, = shown_now(shown, vg.flush(1, 0, 0, 16, 16))
    assert opaque(update.pixels) == model.pixels(0, 0, 16, 16)


@pytest.mark.parametrize('fmt,order', [
    (vg.B8G8R8A8, (0, 1, 2)), (vg.B8G8R8X8, (0, 1, 2)), (vg.A8R8G8B8, (3, 2, 1)),
    (vg.X8R8G8B8, (3, 2, 1)), (vg.R8G8B8A8, (2, 1, 0)), (68, (1, 2, 3)), (121, (1, 2, 3)),
    (134, (2, 1, 0))])
def test_formats_come_out_as_bgrx(shown, fmt, order):
    """order: where blue, green and red are in the guest's four bytes."""
    pixel = bytes([0x11, 0x22, 0x33, 0x44])
    shown.ok(vg.create_2d(1, 4, 4, fmt))
    gpa = shown.memory.alloc(64)
    shown.memory.write(gpa, pixel * 16)
    shown.ok(vg.attach_backing(1, [(gpa, 64)]))
    shown.ok(vg.set_scanout(0, 1, 0, 0, 4, 4))
    shown.ok(vg.transfer_2d(1, 0, 0, 4, 4))
    update, = shown_now(shown, vg.flush(1, 0, 0, 4, 4))
    assert opaque(update.pixels) == bytes([*(pixel[i] for i in order), 0]) * 16


# ---- scan-outs


def test_part_of_a_resource_as_scanout(shown):
    """Damage comes in coordinates of the scan-out, cut to what it shows."""
    model = Model(shown, 1, 64, 64)
    model.fill(8)
    model.transfer(0, 0, 64, 64)
    shown.display.forget()
    shown.ok(vg.set_scanout(0, 1, 16, 8, 32, 40))
    update, = shown_now(shown, vg.flush(1, 0, 0, 64, 64))
    assert update.rect == (0, 0, 32, 40)
    assert opaque(update.pixels) == model.pixels(16, 8, 32, 40)
    update, = shown_now(shown, vg.flush(1, 40, 40, 20, 20))
    assert update.rect == (24, 32, 8, 8)
    assert opaque(update.pixels) == model.pixels(40, 40, 8, 8)


def test_damage_outside_the_scanout_shows_nothing(shown):
    model = Model(shown, 1, 64, 64)
    shown.ok(vg.set_scanout(0, 1, 0, 0, 32, 32))
    shown.wait(lambda: shown.display.of(7))
    shown.display.forget()
    shown.ok(vg.flush(1, 40, 40, 8, 8))
    shown.ok(vg.flush(1, 32, 0, 32, 32))
    update, = shown_now(shown, vg.flush(1, 31, 31, 1, 1))
    assert update.rect == (31, 31, 1, 1)
    assert model.width == 64


def test_resource_that_is_not_shown(shown):
    Model(shown, 1, 16, 16)
    Model(shown, 2, 16, 16)
    shown.ok(vg.set_scanout(0, 1, 0, 0, 16, 16))
    shown.wait(lambda: shown.display.of(7))
    shown.display.forget()
    shown.ok(vg.flush(2, 0, 0, 16, 16))
    update, = shown_now(shown, vg.flush(1, 0, 0, 1, 1))
    assert update.rect == (0, 0, 1, 1)


def test_page_flips(shown):
    """Two resources by turns on one scan-out."""
    models = [Model(shown, i + 1, 40, 30) for i in range(2)]
    for i in range(10):
        model = models[i % 2]
        model.fill(100 + i)
        model.transfer(0, 0, 40, 30)
        show(shown, model)
        updates = shown_now(shown, vg.flush(model.resource, 0, 0, 40, 30))
        assert opaque(updates[-1].pixels) == model.pixels(0, 0, 40, 30)


def test_scanout_sizes_are_told(shown):
    for resource, (width, height) in enumerate(((64, 48), (48, 64), (20, 30)), 1):
        shown.ok(vg.create_2d(resource, width, height))
        shown.display.forget()
        shown.ok(vg.set_scanout(0, resource, 0, 0, width, height))
        shown.wait(lambda: shown.display.of(7))
        assert shown.display.of(7)[-1].ints(3) == (0, width, height)
    shown.display.forget()
    shown.ok(vg.set_scanout(0, 0, 0, 0, 0, 0))
    shown.wait(lambda: shown.display.of(7))
    assert shown.display.of(7)[-1].ints(3) == (0, 0, 0)


def test_scanout_of_a_resource_that_is_destroyed(shown):
    """The scan-out goes off with it; the id can be used again."""
    model = Model(shown, 1, 16, 16)
    show(shown, model)
    shown.wait(lambda: shown.display.of(7))
    shown.display.forget()
    shown.ok(vg.unref(1))
    shown.wait(lambda: shown.display.of(7))
    assert shown.display.of(7)[-1].ints(3) == (0, 0, 0)
    shown.display.forget()
    model = Model(shown, 1, 24, 24)
    shown.ok(vg.flush(1, 0, 0, 24, 24))
    show(shown, model)
    update, = shown_now(shown, vg.flush(1, 3, 4, 5, 6))
    assert update.rect == (3, 4, 5, 6)


def test_no_display_at_all(guest):
    """Without a display socket the same commands are accepted and show nothing."""
    model = Model(guest, 1, 64, 64, parts=3)
    show(guest, model)
    model.transfer(0, 0, 64, 64)
    guest.ok(vg.flush(1, 0, 0, 64, 64))
    guest.cursor(vg.update_cursor(0, 1), into=0)


def test_a_large_screen(session):
    """14 MB: more than the renderer queues and any socket takes."""
    guest = session.guest(display=Display(), memory_size=24 << 20)
    guest.wait(lambda: guest.display.of(2))
    model = Model(guest, 1, 2560, 1440)
    model.fill(9)
    show(guest, model)
    model.transfer(0, 0, 2560, 1440)
    guest.ok(vg.flush(1, 0, 0, 2560, 1440))
    guest.wait(lambda: covered(guest.display.updates()) == 2560 * 1440)
    for update in guest.display.updates():
        assert opaque(update.pixels) == model.pixels(*update.rect)


def covered(updates):
    """Pixels shown; the updates of one flush do not overlap."""
    return sum(update.width * update.height for update in updates)
