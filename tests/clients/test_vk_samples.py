# SPDX-License-Identifier: MIT
"""The Vulkan samples on this machine, in software: options, pictures, figures, and that the Khronos
validation layer has nothing to say."""

import json
import os
import pathlib
import subprocess

import numpy
import pytest
from PIL import Image

SAMPLES = pathlib.Path(os.environ["ALIQUOT_BUILD"]) / "samples"
DRIVER = "/usr/share/vulkan/icd.d/lvp_icd.json"


def environment(log=None):
    """log: what the validation layer says goes there."""
    # Mesa and LLVM keep memory until the end; a sanitizer build would call that a failure.
    more = {"VK_DRIVER_FILES": DRIVER, "LIBGL_ALWAYS_SOFTWARE": "1",
            "ASAN_OPTIONS": "detect_leaks=0"}
    if log:
        more |= {"VK_INSTANCE_LAYERS": "VK_LAYER_KHRONOS_validation",
                 "VK_LAYER_LOG_FILENAME": str(log), "VK_LAYER_VALIDATE_SYNC": "1",
                 "VK_LAYER_REPORT_FLAGS": "error,warn,perf,info"}
    return os.environ | more


def run(sample, *options, env=None):
    return subprocess.run([SAMPLES / sample, *map(str, options)], env=env or environment(),
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120,
                          check=False)


def succeed(sample, *options, env=None):
    result = run(sample, *options, env=env)
    assert result.returncode == 0, result.stderr
    return result.stdout


def picture(path):
    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGB")).astype(int)


def draw(path, *options, sample="vk-scene"):
    succeed(sample, "--size", "160x120", "-o", path, *options)
    return picture(path)


@pytest.fixture(name="first", scope="module")
def draw_first_frame(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("first") / "first.png", "--frames", 1)


# ---- pictures -----------------------------------------------------------------------------------


def test_a_frame_depends_on_its_number_alone(tmp_path):
    whole = draw(tmp_path / "whole.png", "--frames", 20)
    alone = draw(tmp_path / "alone.png", "--frames", 1, "--first-frame", 19)
    other = draw(tmp_path / "other.png", "--frames", 1, "--first-frame", 18)
    assert whole.shape == (120, 160, 3)
    assert whole.std() > 20
    assert (whole == alone).all()
    assert (whole != other).any()


def test_near_things_hide_far_ones(first):
    """The gold ring's front is drawn before the red ball that stands behind it, and stays."""
    red, green, blue = first[54, 80]
    assert red > blue and green > 0.7 * red


def test_textures_are_seen(first):
    """On the ground before all things there are tiles, light and dark ones: without a texture,
    light changes it by no more than a few steps from pixel to pixel."""
    ground = first[105:, :60].mean(axis=2)
    assert abs(numpy.diff(ground, axis=1)).max() > 40


def test_it_is_what_opengl_draws(tmp_path, first):
    theirs = draw(tmp_path / "gl.png", "--frames", 1, "--platform", "surfaceless",
                  sample="gl-scene")
    difference = abs(first - theirs).max(axis=2)
    # Edges may fall on this or the other side of a pixel's middle.
    assert (difference > 8).mean() < 0.01 and difference.mean() < 1


# ---- the validation layer -----------------------------------------------------------------------

RUNS = {
    "vk-scene": ("--size", "96x64", "--frames", 3, "-o", "scene.png", "--json", "scene.json"),
    "vk-compute": ("--size", 70, "--runs", 2),
    "vk-info": ("--json", "info.json"),
}
WORKLOADS = ("submit-wait", "submits", "submits-commands", "compute-fill", "draws-recorded",
             "draws-prerecorded", "upload", "readback", "memcpy", "alloc-map-free",
             "create-buffers")


def check_validation(sample, options, folder):
    log = folder / "validation.log"
    options = [folder / o if str(o).endswith((".png", ".json")) else o for o in options]
    succeed(sample, *options, env=environment(log))
    said = log.read_text()
    assert "Khronos Validation Layer Active" in said
    assert "SYNCHRONIZATION_VALIDATION" in said
    for message in said.split("Validation ")[1:]:
        assert message.startswith("Information: [ WARNING-CreateInstance-status-message ]") or \
            message.startswith("Layer Active"), said


@pytest.mark.parametrize("sample", RUNS)
def test_validation_finds_nothing(sample, tmp_path):
    check_validation(sample, RUNS[sample], tmp_path)


def test_validation_finds_nothing_in_a_load(tmp_path):
    check_validation("vk-load", ("--work", 5, "--draws", 7, "--submits", 3, "--seconds", 0.05,
                                 "--warmup", 0), tmp_path)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_validation_finds_nothing_in_a_workload(workload, tmp_path):
    check_validation("vk-bench", ("--workload", workload, "--seconds", 0.01), tmp_path)


# ---- figures ------------------------------------------------------------------------------------


def check_times(times):
    assert 0 < times["min"] <= times["p50"] <= times["p99"] <= times["max"]


def check_device(report, output):
    assert "llvmpipe" in report["vk_device"]
    assert f"VK_DEVICE: {report['vk_device']} " in output
    assert f"VK_DRIVER: {report['vk_driver']}\n" in output
    assert int(report["vk_version"].split(".")[1]) >= 1


def test_figures_of_the_scene(tmp_path):
    path = tmp_path / "figures.json"
    output = succeed("vk-scene", "--size", "64x48", "--frames", 7, "--first-frame", 2, "--json",
                     path)
    figures = json.loads(path.read_text())
    assert figures["program"] == "vk-scene"
    check_device(figures, output)
    assert (figures["width"], figures["height"]) == (64, 48)
    assert (figures["first_frame"], figures["frames"]) == (2, 7)
    check_times(figures["frame_ms"])
    assert figures["frame_ms"]["p99"] == figures["frame_ms"]["max"]


def test_draws_for_a_time(tmp_path):
    path = tmp_path / "figures.json"
    succeed("vk-scene", "--size", "64x48", "--seconds", 0.2, "--json", path)
    figures = json.loads(path.read_text())
    assert figures["frames"] >= 1
    assert (figures["frames"] - 1) * figures["frame_ms"]["min"] < 200


@pytest.mark.parametrize("size", [1, 31, 32, 33, 150])
def test_product(size, tmp_path):
    path = tmp_path / "product.json"
    output = succeed("vk-compute", "--size", size, "--runs", 3, "--json", path)
    report = json.loads(path.read_text())
    check_device(report, output)
    assert (report["size"], report["runs"], report["correct"]) == (size, 3, True)
    assert report["rows_checked"] == size
    assert report["gflops"] > 0
    check_times(report["run_ms"])


def test_figures_of_workloads(tmp_path):
    path = tmp_path / "figures.json"
    output = succeed("vk-bench", "--seconds", 0.01, "--json", path)
    figures = json.loads(path.read_text())
    assert tuple(figures) == WORKLOADS
    assert all(value > 0 for value in figures.values())
    for line, name in zip(output.splitlines(), WORKLOADS, strict=True):
        assert line.startswith(name) and "llvmpipe" in line


# ---- vk-info ------------------------------------------------------------------------------------


@pytest.fixture(name="info", scope="module")
def report_device(tmp_path_factory):
    path = tmp_path_factory.mktemp("info") / "info.json"
    assert succeed("vk-info", "--json", path) == ""
    return json.loads(path.read_text())


def test_what_the_device_has(info):
    assert "llvmpipe" in info["vk_device"] and info["type"] == "CPU"
    for heap in info["heaps"]:
        assert 0 < heap["budget_bytes"] and 0 < heap["size_bytes"]
    assert all(t["heap"] < len(info["heaps"]) for t in info["memory_types"])
    assert any("host-visible" in t["flags"].split() for t in info["memory_types"])
    assert "graphics" in info["queue_families"][0]["flags"].split()
    assert info["limits"]["maxImageDimension2D"] >= 4096
    assert info["limits"]["maxComputeWorkGroupSize.z"] >= 64
    assert info["extensions"]["VK_EXT_memory_budget"] >= 1


def test_is_readable_without_json(info):
    lines = succeed("vk-info").splitlines()
    values = dict(line.split(maxsplit=1) for line in lines)
    assert values["vk_device"] == info["vk_device"]
    assert values["limits.maxImageDimension2D"] == str(info["limits"]["maxImageDimension2D"])
    assert values["heaps[0].size_bytes"].startswith(f"{info['heaps'][0]['size_bytes']} (")


def test_beside_another_report(info, tmp_path):
    theirs = json.loads(json.dumps(info))
    theirs["limits"]["maxImageDimension2D"] = 4096
    theirs["extensions"]["VK_EXT_of_theirs"] = 3
    del theirs["extensions"]["VK_EXT_memory_budget"]
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(theirs))
    lines = succeed("vk-info", "--beside", path).splitlines()
    assert lines[0].split() == ["here", str(path)]
    differing = {line[2:].split()[0]: line[2:].split()[1:] for line in lines[1:] if line[0] == "*"}
    # What is in use changes from run to run.
    differing = {k: v for k, v in differing.items() if not k.startswith("heaps")}
    assert differing == {
        "limits.maxImageDimension2D": [str(info["limits"]["maxImageDimension2D"]), "4096"],
        "extensions.VK_EXT_of_theirs": ["-", "3"],
        "extensions.VK_EXT_memory_budget": [str(info["extensions"]["VK_EXT_memory_budget"]), "-"],
    }
    assert any(line.split()[:2] == ["vk_device", "llvmpipe"] and line[0] == " " for line in lines)


@pytest.mark.parametrize("content", ["", "{", "[1]", "7"])
def test_beside_garbage(content, tmp_path):
    path = tmp_path / "garbage.json"
    path.write_text(content)
    result = run("vk-info", "--beside", path)
    assert result.returncode == 1
    assert f"vk-info: {path}: " in result.stderr


# ---- devices, usage -----------------------------------------------------------------------------


def test_devices_have_numbers_and_names():
    listed = succeed("vk-info", "--list").splitlines()
    assert len(listed) == 1 and listed[0].startswith("0  llvmpipe")
    for which in ("0", "LLVMpipe"):
        assert "VK_DEVICE: llvmpipe" in succeed("vk-compute", "--size", 8, "--device", which)


@pytest.mark.parametrize("sample", [*RUNS, "vk-bench"])
def test_no_such_device(sample):
    for which in ("1", "Voodoo"):
        result = run(sample, "--device", which)
        assert result.returncode == 1
        assert f'{sample}: no device "{which}"; vk-info --list' in result.stderr


@pytest.mark.parametrize("sample", RUNS)
def test_no_driver(sample):
    result = run(sample, env=environment() | {"VK_DRIVER_FILES": "/nonexistent.json"})
    assert result.returncode == 1
    assert "VK_ERROR_INCOMPATIBLE_DRIVER" in result.stderr and "VK_DRIVER_FILES" in result.stderr


def test_too_large_for_the_device():
    result = run("vk-compute", "--size", 8192)
    assert result.returncode == 1
    assert "use a smaller --size" in result.stderr


@pytest.mark.parametrize("sample", [*RUNS, "vk-bench", "vk-load"])
def test_help(sample):
    assert f"Usage: {sample} " in succeed(sample, "--help")


@pytest.mark.parametrize("sample, options", [
    ("vk-scene", ("--size", "0x100")), ("vk-scene", ("--frames", "0")),
    ("vk-scene", ("--seconds", "-1")), ("vk-scene", ("--kms",)), ("vk-scene", ("extra",)),
    ("vk-compute", ("--size", "0")), ("vk-compute", ("--size", "9999")),
    ("vk-compute", ("--runs", "0")), ("vk-compute", ("extra",)), ("vk-compute", ("--json",)),
    ("vk-bench", ("--workload", "nonsense")), ("vk-bench", ("--seconds", "0")),
    ("vk-bench", ("--platform", "gbm")), ("vk-bench", ("extra",)),
    ("vk-info", ("extra",)), ("vk-info", ("--unknown",)),
])
def test_usage_errors(sample, options):
    result = run(sample, *options)
    assert result.returncode == 2
    assert sample in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("option", ["--png", "--json"])
def test_unwritable_result(option, tmp_path):
    path = tmp_path / "missing" / "file"
    result = run("vk-scene", "--size", "64x64", "--frames", 1, option, path)
    assert result.returncode == 1
    assert f"{path}: No such file or directory" in result.stderr
