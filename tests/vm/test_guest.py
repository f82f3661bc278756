# SPDX-License-Identifier: MIT
"""What a guest's life does to its vGPU: several displays, a pause, a reset, a sudden end."""

import json
import re

import pytest

from conftest import HEIGHT, WIDTH
from vm import picture
from vm.guest import Guest, vgpu_arguments
from vm.mediator import Mediator, program

BOOT_S = 90
RENDER_S = 120
NOTICE_S = 20

ENVIRONMENT = "export ASAN_OPTIONS=detect_leaks=0\n"

# More frames than any test waits for: it renders until it is stopped.
ENDLESS = 100000
LAST = 9  # the frame that tests compare


def gl(sample, *options):
    size = f"--size {WIDTH}x{HEIGHT}"
    return f"{program(f'samples/{sample}')} {size} {' '.join(options)}"


def devices(mediator, name, outputs=1):
    return vgpu_arguments(mediator.socket(name), WIDTH, HEIGHT, outputs)


@pytest.fixture
def mediator(tmp_path):
    with Mediator(tmp_path / "daemon", ["a", "b"], f"scanouts = 2\nsize = {WIDTH}x{HEIGHT}") as m:
        yield m
        assert m.stop() == 0, m.tail()


def rendering(entry):
    return entry["state"] == "running" and entry["submits"] > 20


def submits_more_than(count):
    return lambda entry: entry["submits"] > count


def wait_for_screen(guest, path, head, reference):
    def shows():
        guest.screendump(path, head)
        return picture.compare(path, reference).same

    guest.wait_until(shows, f"show {reference.name} on display {head}", NOTICE_S)


def test_displays(mediator, tmp_path, reference):
    """The driver's view of the device, and a picture on each of two displays."""
    # QEMU connects the second display only when a viewer asks for it; the guest may insist.
    script = ENVIRONMENT + f"""
dmesg | grep drm >dmesg.txt
cat /sys/class/drm/card0-Virtual-1/modes >modes.txt
cat /sys/class/drm/card0-Virtual-1/edid >edid.bin
echo on >/sys/class/drm/card0-Virtual-2/status
{gl('gl-scene', '--kms --frames 1 --first-frame', str(LAST), '--json first.json --hold 600')} &
until [ -e seen-first ]; do sleep 0.1; done
kill $!
{gl('gl-triangle', '--kms --display 1 --frames', str(LAST + 1), '--json second.json --hold 600')} &
until [ -e seen-second ]; do sleep 0.1; done
kill $!
"""
    with Guest("a", tmp_path / "a", script, devices(mediator, "a", outputs=2)) as guest:
        guest.wait_for_file("first.json", BOOT_S)
        wait_for_screen(guest, tmp_path / "0.png", 0, reference(LAST))
        guest.touch("seen-first")
        guest.wait_for_file("second.json", RENDER_S)
        wait_for_screen(guest, tmp_path / "1.png", 1, reference(LAST, "gl-triangle"))
        guest.touch("seen-second")
        assert guest.wait(NOTICE_S) == 0
    dmesg = (guest.share / "dmesg.txt").read_text()
    assert re.search(r"features: \+virgl \+edid", dmesg), dmesg
    assert re.search(r"number of scanouts: 2", dmesg), dmesg
    modes = (guest.share / "modes.txt").read_text().split()
    assert modes[0] == f"{WIDTH}x{HEIGHT}"
    assert (guest.share / "edid.bin").read_bytes()[:8] == b"\0\xff\xff\xff\xff\xff\xff\0"
    assert "virgl" in json.loads((guest.share / "first.json").read_text())["gl_renderer"]


def test_pause_and_reset(mediator, tmp_path, reference):
    """QEMU stops the guest in the middle of a frame and lets it go on; then it resets it, and the
    driver finds a device as new."""
    script = ENVIRONMENT + f"""
if [ ! -e reset ]; then
    exec {gl('gl-scene', '--frames', str(ENDLESS))}
fi
{gl('gl-scene', '--frames', str(LAST + 1), '--png after.png --json after.json')}
"""
    with Guest("a", tmp_path / "a", script, devices(mediator, "a"), reboots=True) as guest:
        mediator.wait_for("a", rendering, "rendering", BOOT_S)
        guest.qmp.command("stop")
        paused = mediator.wait_for("a", lambda entry: entry["state"] != "running", "paused",
                                   NOTICE_S)
        guest.qmp.command("cont")
        resumed = mediator.wait_for("a", submits_more_than(paused["submits"] + 20), "rendering",
                                    RENDER_S)
        assert resumed["rendererPid"] == paused["rendererPid"]

        guest.touch("reset")
        guest.qmp.command("system_reset")
        guest.wait_for_file("after.json", BOOT_S)
        assert guest.wait(NOTICE_S) == 0
    assert "virgl" in json.loads((guest.share / "after.json").read_text())["gl_renderer"]
    assert picture.compare(guest.share / "after.png", reference(LAST)).same
    assert mediator.wait_for("a", lambda entry: entry["state"] == "idle", "idle",
                             NOTICE_S)["rendererPid"] is None


def test_sudden_end(mediator, tmp_path, reference):
    """One QEMU is killed while both render. The other guest draws on, right to the last pixel, and
    the killed one's vGPU serves again."""
    endless = ENVIRONMENT + f"exec {gl('gl-scene', '--frames', str(ENDLESS))}\n"
    patient = ENVIRONMENT + f"""
{gl('gl-scene', '--frames', str(ENDLESS))} &
until [ -e finish ]; do sleep 0.1; done
kill $!
{gl('gl-scene', '--frames', str(LAST + 1), '--png last.png')}
"""
    again = ENVIRONMENT + gl("gl-triangle", "--frames", str(LAST + 1), "--png again.png") + "\n"

    with Guest("a", tmp_path / "a", patient, devices(mediator, "a")) as survivor, \
         Guest("b", tmp_path / "b", endless, devices(mediator, "b")) as victim:
        mediator.wait_for("b", rendering, "rendering", BOOT_S)
        before = mediator.wait_for("a", rendering, "rendering", BOOT_S)
        victim.kill()
        mediator.wait_for("b", lambda entry: entry["state"] == "idle", "idle", NOTICE_S)
        now = mediator.list()["a"]
        after = mediator.wait_for("a", submits_more_than(now["submits"] + 20), "still rendering",
                                  RENDER_S)
        assert after["rendererPid"] == before["rendererPid"]
        assert after["rejected"] == before["rejected"]

        with Guest("b2", tmp_path / "b2", again, devices(mediator, "b")) as successor:
            survivor.touch("finish")
            assert survivor.wait(RENDER_S) == 0, survivor.tail()
            assert successor.wait(RENDER_S) == 0, successor.tail()
    assert picture.compare(survivor.share / "last.png", reference(LAST)).same
    assert picture.compare(successor.share / "again.png", reference(LAST, "gl-triangle")).same
