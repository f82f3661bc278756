# SPDX-License-Identifier: MIT
"""Pictures: the native reference, and how far another picture is from it."""

import dataclasses
import os
import subprocess

import numpy
from PIL import Image

from vm.error import VmError
from vm.mediator import program

# What rounding may change: a step of colour here and there, some pixels along edges.
MEAN_DIFF_MAX = 2.0
# A picture with less (standard deviation) shows nothing worth comparing with.
CONTRAST_MIN = 20.0

_RENDER_S = 120.0
_SOFTWARE_VULKAN = "/usr/share/vulkan/icd.d/lvp_icd.json"


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of the colour channels, 0 to 255."""

    maximum: int
    mean: float

    @property
    def same(self):
        return self.mean <= MEAN_DIFF_MAX


def load(path):
    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGB")).astype(int)


def compare(path, reference_path):
    """How far apart the two pictures are; as far as can be if they differ in size."""
    picture, reference = load(path), load(reference_path)
    if picture.shape != reference.shape:
        return Difference(255, 255.0)
    difference = abs(picture - reference)
    return Difference(int(difference.max()), float(difference.mean()))


def contrast(path):
    """Standard deviation over the picture: near 0 where nothing was drawn."""
    return float(load(path).std())


def render_reference(path, frame, width, height, sample="gl-scene"):
    """Draws one frame on this machine, in software whatever GPU it has."""
    command = [program(f"samples/{sample}"), "--frames", "1", "--first-frame", str(frame),
               "--size", f"{width}x{height}", "--png", str(path)]
    if sample.startswith("gl-"):
        command += ["--platform", "surfaceless"]
    # Mesa and LLVM keep memory until the end; a sanitizer build would call that a failure.
    environment = dict(os.environ, LIBGL_ALWAYS_SOFTWARE="1",
                       VK_DRIVER_FILES=_SOFTWARE_VULKAN, ASAN_OPTIONS="detect_leaks=0")
    result = subprocess.run(command, env=environment, capture_output=True, text=True,
                            timeout=_RENDER_S)
    if result.returncode != 0:
        raise VmError(f"The native reference failed: {result.stderr.strip()}")
