# SPDX-License-Identifier: MIT
"""gl-triangle and gl-scene on this machine, in software: options, pictures, figures."""

import json
import os
import pathlib
import subprocess

import numpy
import pytest
from PIL import Image

SAMPLES = ("gl-triangle", "gl-scene")


def run(sample, *options):
    # Mesa and LLVM keep memory until the end; a sanitizer build would call that a failure.
    environment = dict(os.environ, LIBGL_ALWAYS_SOFTWARE="1", ASAN_OPTIONS="detect_leaks=0")
    program = pathlib.Path(os.environ["ALIQUOT_BUILD"]) / "samples" / sample
    return subprocess.run([program, *map(str, options)], env=environment, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=60)


def draw(sample, path, *options):
    result = run(sample, "--platform", "surfaceless", "--size", "160x120", "--png", path, *options)
    assert result.returncode == 0, result.stderr
    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_frame_depends_on_its_number_alone(sample, tmp_path):
    whole = draw(sample, tmp_path / "whole.png", "--frames", 20)
    alone = draw(sample, tmp_path / "alone.png", "--frames", 1, "--first-frame", 19)
    other = draw(sample, tmp_path / "other.png", "--frames", 1, "--first-frame", 18)
    assert whole.shape == (120, 160, 3)
    assert whole.std() > 20
    assert (whole == alone).all()
    assert (whole != other).any()


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_platform_does_not_matter(sample, tmp_path):
    surfaceless = draw(sample, tmp_path / "surfaceless.png", "--frames", 3)
    device = draw(sample, tmp_path / "device.png", "--frames", 3, "--platform", "device")
    assert (surfaceless == device).all()


def test_near_things_hide_far_ones(tmp_path):
    """The gold ring's front is drawn before the red ball that stands behind it, and stays."""
    red, green, blue = draw("gl-scene", tmp_path / "scene.png", "--frames", 1)[54, 80]
    assert red > blue and green > 0.7 * red


def test_figures(tmp_path):
    path = tmp_path / "figures.json"
    result = run("gl-scene", "--size", "64x48", "--frames", 7, "--first-frame", 2, "--json", path)
    assert result.returncode == 0, result.stderr
    figures = json.loads(path.read_text())
    assert f"GL_RENDERER: {figures['gl_renderer']}\n" in result.stdout
    assert (figures["width"], figures["height"]) == (64, 48)
    assert (figures["first_frame"], figures["frames"]) == (2, 7)
    times = figures["frame_ms"]
    assert 0 < times["min"] <= times["p50"] <= times["p99"] <= times["max"]
    # p99 of seven is the slowest, by nearest rank.
    assert times["p99"] == times["max"]
    assert 1000 / times["max"] <= figures["fps"] * 1.001 and figures["fps"] <= 1000 / times["min"]


def test_draws_for_a_time(tmp_path):
    path = tmp_path / "figures.json"
    result = run("gl-triangle", "--size", "64x48", "--seconds", 0.2, "--json", path)
    assert result.returncode == 0, result.stderr
    figures = json.loads(path.read_text())
    assert figures["frames"] >= 1
    assert (figures["frames"] - 1) * figures["frame_ms"]["min"] < 200


@pytest.mark.parametrize("options", [
    ("--seconds", "0"), ("--seconds", "nan"),
    ("--size", "0x100"), ("--size", "100"), ("--size", "100x"), ("--size", "9999x100"),
    ("--frames", "0"), ("--frames", "-1"), ("--frames", "1e3"), ("--frames", ""),
    ("--platform", "x11"), ("--hold", "nan"), ("--hold", "soon"), ("--unknown",), ("extra",),
    ("--kms", "--platform", "surfaceless"), ("--json",),
])
def test_usage_errors(options):
    result = run("gl-triangle", *options)
    assert result.returncode == 2
    assert "gl-triangle" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("option", ["--png", "--json"])
def test_unwritable_result(option, tmp_path):
    path = tmp_path / "missing" / "file"
    result = run("gl-triangle", "--size", "64x64", "--frames", 1, option, path)
    assert result.returncode == 1
    assert f"{path}: No such file or directory" in result.stderr


def test_missing_device():
    result = run("gl-triangle", "--platform", "gbm", "--device", "/dev/dri/renderD191")
    assert result.returncode == 1
    assert "gbm: No such file or directory" in result.stderr
