# SPDX-License-Identifier: MIT
"""libaliquot-guest on the render nodes of a stock guest: the same suite and the same sample that
run over a socket on the host, and what is said where there is no vGPU."""

import re

from conftest import HEIGHT, WIDTH
from vm import picture
from vm.guest import Guest, vgpu_arguments, vulkan_arguments
from vm.mediator import Mediator, program

BOOT_S = 90
RUN_S = 240

FULL, VIRGL = "/dev/dri/renderD128", "/dev/dri/renderD129"


def test_library(tmp_path):
    """A device with all there is comes first, so that it is the default; the second is QEMU's
    vhost-user-gpu-pci, which passes neither blobs nor CONTEXT_INIT."""
    suite, sample = program("tests/clients/transport-suite"), program("samples/raw-virgl")
    bench = program("samples/aliquot-bench")
    script = f"""
export ASAN_OPTIONS=detect_leaks=0
dmesg | grep 'drm.*features' >dmesg.txt
run() {{
    name=$1
    shift
    "$@" >$name.txt 2>&1
    echo "exit code $?" >>$name.txt
}}
run suite-full {suite} {FULL} all
run suite-virgl {suite} {VIRGL} virgl
run sample-default {sample} --png default.png
run sample-named {sample} --socket {VIRGL} --png named.png
run first-clear {bench} first-clear --socket {FULL}
run primary {sample} --socket /dev/dri/card0
run no-gpu {sample} --socket /dev/null
export ALIQUOT_SOCKET=/nonexistent.sock
run variable {sample}
unset ALIQUOT_SOCKET
rm /dev/dri/renderD*
run nothing {sample}
dmesg | grep -i 'drm.*error' >errors.txt
exit 0
"""
    settings = f"vulkan = on\nsize = {WIDTH}x{HEIGHT}"
    with Mediator(tmp_path / "daemon", ["a", "b"], settings) as mediator:
        devices = vulkan_arguments(mediator.socket("a")) + \
            vgpu_arguments(mediator.socket("b"), WIDTH, HEIGHT)
        with Guest("guest", tmp_path / "guest", script, devices) as guest:
            assert guest.wait(BOOT_S + RUN_S) == 0, guest.tail()
        vgpus = mediator.list()
        assert mediator.stop() == 0, mediator.tail()

    def said(name):
        return (guest.share / f"{name}.txt").read_text()

    assert re.findall("[-+]context_init", said("dmesg")) == ["+context_init", "-context_init"]
    for name in ("suite-full", "suite-virgl"):
        assert said(name).endswith("exit code 0\n"), said(name)
        assert "[  FAILED  ]" not in said(name) and "[  PASSED  ]" in said(name)
    for name in ("sample-default", "sample-named"):
        assert said(name).endswith("exit code 0\n"), said(name)
        assert re.search("result: ok, 256x256", said(name))
    assert picture.contrast(guest.share / "default.png") > picture.CONTRAST_MIN
    assert picture.compare(guest.share / "default.png", guest.share / "named.png").same
    assert '"bench": "first-clear"' in said("first-clear"), said("first-clear")
    for name, words in {
            "primary": "/dev/dri/card0 is not a render node",
            "no-gpu": "/dev/null is no GPU",
            "variable": "/nonexistent.sock",
            "nothing": "no /dev/dri/renderD* is of virtio_gpu"}.items():
        assert words in said(name) and said(name).endswith("exit code 1\n"), said(name)
    assert all(vgpus[name]["gpuSubmits"] > 0 for name in ("a", "b")), vgpus
    # The device has refused nothing: the kernel would have said so.
    assert said("errors") == ""
    assert all(vgpus[name]["rejected"] == 0 for name in ("a", "b")), vgpus
