# SPDX-License-Identifier: MIT
"""The demo, as a user runs it: two guests at once, their pictures and their displays."""

import json
import pathlib
import subprocess
import sys

import pytest

import demo
from vm import picture

DEMO = pathlib.Path(demo.__file__)
FRAMES = 60


def test_demo(tmp_path):
    out = tmp_path / "out"
    result = subprocess.run(
        [sys.executable, DEMO, "--out", out, "--frames", str(FRAMES), "--size", "320x240"],
        capture_output=True, text=True, timeout=240,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["ok"] and not summary["problems"]
    assert [guest["name"] for guest in summary["guests"]] == ["guest-a", "guest-b"]
    # Else a blank picture would be equal to a blank reference.
    assert picture.contrast(out / "reference.png") > 20
    for guest in summary["guests"]:
        assert "virgl" in guest["gl_renderer"]
        assert guest["frames"] == FRAMES
        assert guest["fps"] > 0
        # A frame is one submission or more.
        assert guest["submits"] >= FRAMES
        for name in (guest["png"], guest["screen_png"]):
            assert picture.compare(out / name, out / "reference.png").same
        assert (out / guest["console"]).exists()


def test_demo_names_what_is_missing(tmp_path):
    """No build directory: a sentence, no traceback, and nothing left running."""
    result = subprocess.run([sys.executable, DEMO, "--out", tmp_path / "out"],
                            capture_output=True, text=True, timeout=60,
                            env={"PATH": "/usr/bin:/bin", "ALIQUOT_BUILD": str(tmp_path),
                                 "HOME": str(tmp_path), "ALIQUOT_ACCEL": "tcg"})
    assert result.returncode == 1
    assert "is missing: build first" in result.stderr
    assert "Traceback" not in result.stderr


GOOD = {
    "name": "a", "gl_renderer": "virgl (LLVMPIPE)", "submits": 60, "png": "a.png",
    "mean_pixel_diff": 0.1, "screen_png": "a-screen.png", "screen_mean_pixel_diff": 0.1,
    "console": "a-console.log",
}


GOOD_VULKAN = {
    "name": "a", "vk_device": "Virtio-GPU Venus (llvmpipe)", "png": "a.png", "mean_pixel_diff": 0.1,
    "compute": {"vk_device": "Virtio-GPU Venus (llvmpipe)"}, "console": "a-console.log",
}


def problems(kind, row, code):
    return list(kind.__new__(kind).problems(row, code))


def test_demo_accepts_what_is_right():
    assert problems(demo.GlDemo, GOOD, 0) == []
    assert problems(demo.VulkanDemo, GOOD_VULKAN, 0) == []


@pytest.mark.parametrize("change, code, words", [
    ({}, 1, "ended with 1"),
    ({"vk_device": "llvmpipe"}, 0, "instead of Venus"),
    ({"compute": {"vk_device": "llvmpipe"}}, 0, "instead of Venus"),
    ({"mean_pixel_diff": 2.5}, 0, "a.png differs"),
])
def test_vulkan_demo_names_what_is_wrong(change, code, words):
    (problem,) = problems(demo.VulkanDemo, GOOD_VULKAN | change, code)
    assert words in problem


@pytest.mark.parametrize("change, code, words", [
    ({}, 1, "ended with 1"),
    ({"gl_renderer": "llvmpipe"}, 0, "instead of virgl"),
    ({"submits": 0}, 0, "no 3D submissions"),
    ({"mean_pixel_diff": 2.5}, 0, "a.png differs"),
    ({"screen_mean_pixel_diff": 255.0}, 0, "a-screen.png differs"),
])
def test_demo_names_what_is_wrong(change, code, words):
    (problem,) = problems(demo.GlDemo, GOOD | change, code)
    assert words in problem


def test_unwritable_output(tmp_path):
    (tmp_path / "file").touch()
    result = subprocess.run([sys.executable, DEMO, "--out", tmp_path / "file" / "out"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "Not a directory" in result.stderr and "Traceback" not in result.stderr
