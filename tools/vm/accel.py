# SPDX-License-Identifier: MIT
"""KVM where a stock kernel really boots under it, else TCG.

A /dev/kvm node alone says little: in some virtual machines it opens and then never runs a stock
kernel. So one is booted, once per boot of this machine, and the answer is kept in the cache.
"""

import os
import pathlib
import subprocess
import tempfile

from vm import cache, kernel, process
from vm.error import VmError

PROBE_S = 10.0

_ARGUMENTS = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    "tcg": ["-accel", "tcg,thread=multi", "-cpu", "max"],
}


def arguments(accel):
    return _ARGUMENTS[accel]


def choose():
    """"kvm" or "tcg"; ALIQUOT_ACCEL decides if it is set."""
    wanted = os.environ.get("ALIQUOT_ACCEL")
    if wanted:
        if wanted not in _ARGUMENTS:
            raise VmError(f"ALIQUOT_ACCEL is {wanted!r}; it can be kvm or tcg.")
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    guest_kernel = kernel.find()
    answer = cache.store(
        f"accel-{boot_id}-{guest_kernel.version}",
        lambda file: file.write(b"kvm" if _kvm_boots(guest_kernel) else b"tcg"),
    )
    return answer.read_text()


def _kvm_boots(guest_kernel):
    with tempfile.TemporaryFile() as console:
        qemu = process.start(
            ["qemu-system-x86_64", "-machine", "q35", "-m", "256M", "-nodefaults", "-no-reboot",
             *arguments("kvm"), "-display", "none", "-serial", "stdio",
             "-kernel", guest_kernel.image, "-initrd", kernel.initramfs(guest_kernel),
             "-append", "console=ttyS0 quiet panic=-1 aliquot.probe"],
            console,
        )
        try:
            qemu.wait(PROBE_S)
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.stop(qemu, 1.0)
        console.seek(0)
        return b"aliquot-guest: booted" in console.read()
