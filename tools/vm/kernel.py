# SPDX-License-Identifier: MIT
"""The guests' kernel, and the initramfs that gets it to the host's root file system."""

import dataclasses
import functools
import gzip
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess

from vm import cache
from vm.cpio import Archive
from vm.error import VmError

DEFAULT_DIRECTORY = "/usr/lib/aliquot/guest-kernel"

# What a guest needs that a distribution's kernel has as modules; what these depend on comes along.
MODULES = ("9pnet_virtio", "9p", "overlay", "virtio-gpu")

_INIT = pathlib.Path(__file__).with_name("init.sh")


@dataclasses.dataclass(frozen=True)
class Kernel:
    image: pathlib.Path
    modules: pathlib.Path
    version: str


def find():
    """The kernel in ALIQUOT_GUEST_KERNEL: a directory with boot/vmlinuz-* and its modules."""
    base = pathlib.Path(os.environ.get("ALIQUOT_GUEST_KERNEL") or DEFAULT_DIRECTORY)
    for image in sorted((base / "boot").glob("vmlinuz-*"), reverse=True):
        version = image.name.removeprefix("vmlinuz-")
        for modules in (base / "usr/lib/modules" / version, base / "lib/modules" / version):
            if (modules / "kernel").is_dir():
                return Kernel(image, modules, version)
    raise VmError(
        f"No guest kernel in {base}: it needs boot/vmlinuz-VERSION and usr/lib/modules/VERSION. "
        "./run makes one; else unpack a linux-image package somewhere and set "
        "ALIQUOT_GUEST_KERNEL to that directory."
    )


def _module_name(path):
    """virtio-gpu.ko.xz and virtio_gpu are one module."""
    return os.path.basename(path).partition(".ko")[0].replace("-", "_")


def module_files(kernel, names):
    """The files of the modules and of all they depend on, each after what it depends on."""
    files = {_module_name(path): path for path in (kernel.modules / "kernel").rglob("*.ko*")}
    builtin_list = kernel.modules / "modules.builtin"
    builtin = {_module_name(line) for line in builtin_list.read_text().split()}
    ordered = []

    def add(name):
        name = _module_name(name)
        if name in builtin:
            return
        if name not in files:
            raise VmError(f"The guest kernel {kernel.version} has no module {name}.")
        if files[name] in ordered:
            return
        for dependency in _depends(files[name]):
            add(dependency)
        ordered.append(files[name])

    for name in names:
        add(name)
    return ordered


@functools.cache
def _unpacked(path):
    content = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(content)
    if path.suffix == ".gz":
        return gzip.decompress(content)
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc"], input=content, check=True, capture_output=True).stdout
    return content


def _depends(path):
    """What modinfo says, from the module itself."""
    match = re.search(rb"\0depends=([^\0]*)\0", _unpacked(path))
    return [name for name in match[1].decode().split(",") if name] if match else []


def _busybox():
    path = shutil.which("busybox")
    if not path:
        raise VmError("No busybox: install busybox-static, the guests' initramfs is made of it.")
    return pathlib.Path(path)


def initramfs(kernel):
    """The initramfs for the kernel, from the cache if nothing that it is made of has changed."""
    busybox, init = _busybox().read_bytes(), _INIT.read_bytes()
    modules = module_files(kernel, MODULES)
    key = hashlib.sha256()
    for part in (pathlib.Path(__file__).read_bytes(), init, busybox, kernel.version.encode()):
        key.update(hashlib.sha256(part).digest())
    for path in modules:
        status = path.stat()
        key.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())

    def write(file):
        archive = Archive(file)
        archive.regular("init", init, 0o755)
        archive.regular("bin/busybox", busybox, 0o755)
        for directory in ("proc", "sys", "dev", "host", "memory", "root"):
            archive.directory(directory)
        archive.device("dev/console", 5, 1)
        for index, path in enumerate(modules):
            archive.regular(f"modules/{index:02}-{_module_name(path)}.ko", _unpacked(path))
        archive.close()

    return cache.store(f"initramfs-{kernel.version}-{key.hexdigest()[:16]}", write)
