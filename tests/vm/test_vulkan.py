# SPDX-License-Identifier: MIT
"""Vulkan in a guest: stock Mesa Venus on a device without a display, beside OpenGL on one with one."""

import json
import shlex

import pytest

from compute import KERNELS, PICTURES, kernels, native, pictures
from conftest import HEIGHT, WIDTH
from vm import picture
from vm.guest import Guest, vgpu_arguments, vulkan_arguments
from vm.mediator import Mediator, program

BOOT_S = 90
RENDER_S = 150

ENVIRONMENT = """
export ASAN_OPTIONS=detect_leaks=0
export VK_DRIVER_FILES=/usr/share/vulkan/icd.d/virtio_icd.json
export MESA_VK_WSI_DEBUG=sw # no dma-bufs: they need udmabuf in the host
"""


@pytest.fixture
def mediator(tmp_path):
    settings = f"vulkan = on\nsize = {WIDTH}x{HEIGHT}"
    with Mediator(tmp_path / "daemon", ["a", "b"], settings) as m:
        yield m
        assert m.stop() == 0, m.tail()


def test_venus_beside_a_display(mediator, tmp_path):
    """Two devices in one guest; programs of ours and of others, and what aliquotd says of them."""
    reference = tmp_path / "reference.png"
    picture.render_reference(reference, 4, WIDTH, HEIGHT, "vk-scene")
    script = ENVIRONMENT + f"""
vulkaninfo --summary >vulkaninfo.txt || exit 1
{program('samples/vk-compute')} --size 128 --runs 3 --json compute.json || exit 2
{program('samples/vk-scene')} --frames 5 --size {WIDTH}x{HEIGHT} --png vk.png || exit 3
vkmark --winsys headless --size 320x240 -b clear:duration=1 -b vertex:duration=1 >vkmark.txt || exit 4
{program('samples/gl-scene')} --platform gbm --frames 5 --json gl.json || exit 5
touch drawn
until [ -e seen ]; do sleep 0.1; done
"""
    # Mesa's Venus takes the device that the guest's kernel found last, and looks at no other.
    devices = vgpu_arguments(mediator.socket("b"), WIDTH, HEIGHT) + \
        vulkan_arguments(mediator.socket("a"))
    with Guest("guest", tmp_path / "guest", script, devices) as guest:
        guest.wait_for_file("drawn", BOOT_S + RENDER_S)
        vgpus = mediator.list()
        guest.touch("seen")
        assert guest.wait(RENDER_S) == 0, guest.tail()
    assert "Virtio-GPU Venus (llvmpipe" in (guest.share / "vulkaninfo.txt").read_text()
    assert "Venus" in json.loads((guest.share / "compute.json").read_text())["vk_device"]
    assert picture.compare(guest.share / "vk.png", reference).same
    assert "vkmark Score" in (guest.share / "vkmark.txt").read_text()
    assert "virgl" in json.loads((guest.share / "gl.json").read_text())["gl_renderer"]
    assert all(vgpus[name]["submits"] > 0 for name in ("a", "b"))


def test_programs_that_compute(mediator, tmp_path):
    """Of others: in a guest they come to the results that the host's driver gives them natively."""
    programs = {"pictures": (PICTURES, pictures), "kernels": (KERNELS, kernels)}
    script = ENVIRONMENT + "".join(
        f"{shlex.join(command)} >{name}.out 2>{name}.err || exit 1\n"
        for name, (command, _) in programs.items())
    expected = {name: results(native(command, RENDER_S))
                for name, (command, results) in programs.items()}
    with Guest("guest", tmp_path / "guest", script, vulkan_arguments(mediator.socket("a"))) as guest:
        code = guest.wait(BOOT_S + RENDER_S)
    said = {name: (guest.share / f"{name}.out").read_text() +
            (guest.share / f"{name}.err").read_text() for name in programs if code == 0}
    assert code == 0, guest.tail()
    for name, (_, results) in programs.items():
        assert "Virtio-GPU Venus (llvmpipe" in said[name]
        assert len(expected[name]) >= 5 and results(said[name]) == expected[name], said[name]
