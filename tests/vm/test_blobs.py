# SPDX-License-Identifier: MIT
"""The host-visible region as a stock kernel and QEMU have it: QEMU's generic vhost-user device."""

import re

from vm.guest import Guest
from vm.mediator import Mediator, program

BOOT_S = 90
MAP_S = 120

KEPT = 8  # by the program, until it may go on


def devices(mediator, name):
    return [
        "-chardev", f"socket,id=vgpu-socket,path={mediator.socket(name)}",
        "-device", "vhost-user-test-device-pci,chardev=vgpu-socket,virtio-id=16,num_vqs=2,"
                   "config_size=16,vq_size=256",
    ]


def test_map_blobs(tmp_path):
    """Each is there when the guest is told so; as many as QEMU can bear; over a pause of the
    machine; and again after its reset. (QEMU 11.1 does not survive a reset with blobs mapped.)"""
    script = f"""
export ASAN_OPTIONS=detect_leaks=0
dmesg | grep drm >dmesg.txt
out=first.txt
[ -e reset ] && out=second.txt
{program('tests/vm/map-blobs')} >$out 2>&1
[ -e reset ] || sleep 600
"""
    with Mediator(tmp_path / "daemon", ["a"], "backend = null\nscanouts = 0") as mediator:
        with Guest("a", tmp_path / "a", script, devices(mediator, "a"), reboots=True) as guest:
            def wait_for(name, text):
                guest.wait_until(lambda: guest.has_file(name) and (guest.share / name).read_text(),
                                 "map blobs", BOOT_S + MAP_S)
                guest.wait_until(lambda: (guest.share / name).read_text() == text,
                                 f"say {text!r}", BOOT_S)

            wait_for("first.txt", "mapped\n")
            assert mediator.list()["a"]["mappedBlobs"] == KEPT
            guest.qmp.command("stop")
            guest.qmp.command("cont")
            guest.touch("go-on")
            wait_for("first.txt", "mapped\ndone\n")
            mediator.wait_for("a", lambda entry: entry["mappedBlobs"] == 0, "unmapped", BOOT_S)
            guest.touch("reset")
            guest.qmp.command("system_reset")
            wait_for("second.txt", "mapped\ndone\n")
            assert guest.wait(BOOT_S) == 0
        dmesg = (guest.share / "dmesg.txt").read_text()
        assert re.search(r"\+resource_blob \+host_visible", dmesg), dmesg
        assert re.search(r"\+context_init", dmesg), dmesg
        assert mediator.stop() == 0, mediator.tail()
        assert "can't be mapped any more" not in mediator.log_path.read_text()
    assert guest.qemu_log_path.read_text() == ""
