# SPDX-License-Identifier: MIT
"""The parts that guests boot from, without booting one."""

import io
import subprocess

import pytest

from vm import cache, kernel
from vm.cpio import Archive
from vm.error import VmError


def test_archive_is_what_cpio_reads(tmp_path):
    file = io.BytesIO()
    archive = Archive(file)
    archive.regular("bin/tool", b"abc", 0o755)
    archive.regular("bin/other", b"")
    archive.symlink("bin/link", "tool")
    archive.close()
    listing = subprocess.run(["cpio", "-i", "-d", "--quiet"], input=file.getvalue(), cwd=tmp_path,
                             check=True, capture_output=True)
    assert not listing.stderr
    assert (tmp_path / "bin/link").read_bytes() == b"abc"
    assert (tmp_path / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin/other").read_bytes() == b""


def test_modules_come_after_what_they_depend_on():
    names = [path.name.partition(".")[0] for path in
             kernel.module_files(kernel.find(), kernel.MODULES)]
    assert len(names) == len(set(names))
    for first, then in (("drm", "drm_kms_helper"), ("virtio_dma_buf", "virtio-gpu"),
                        ("netfs", "9p"), ("9pnet", "9pnet_virtio")):
        assert names.index(first) < names.index(then)


def test_unknown_module_is_named():
    with pytest.raises(VmError, match="no module nonesuch"):
        kernel.module_files(kernel.find(), ["nonesuch"])


def test_missing_kernel_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ALIQUOT_GUEST_KERNEL", str(tmp_path))
    with pytest.raises(VmError, match="ALIQUOT_GUEST_KERNEL"):
        kernel.find()


def test_interrupted_store_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ALIQUOT_CACHE", str(tmp_path))

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.store("thing", interrupted)
    assert list(tmp_path.iterdir()) == []
    assert cache.store("thing", lambda file: file.write(b"whole")).read_bytes() == b"whole"
