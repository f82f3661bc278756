# SPDX-License-Identifier: MIT
"""Fixtures of the tests that boot guests. ALIQUOT_BUILD names the build they test."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "foreign"))

from vm import picture  # noqa: E402

WIDTH, HEIGHT = 640, 480 # what every display has as a mode


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """reference(frame, sample) is the path of that frame as this machine draws it, in software."""
    directory = tmp_path_factory.mktemp("reference")

    def render(frame, sample="gl-scene"):
        path = directory / f"{sample}-{frame}.png"
        if not path.exists():
            picture.render_reference(path, frame, WIDTH, HEIGHT, sample)
        return path

    return render
