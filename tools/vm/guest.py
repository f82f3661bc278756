# SPDX-License-Identifier: MIT
"""One guest: QEMU, its console, the directory that host and guest share, QMP."""

import os
import pathlib
import shutil
import time

from vm import accel, kernel, process
from vm.error import VmError
from vm.qmp import Qmp

_POLL_S = 0.05
_TAIL_LINES = 25


def vgpu_arguments(socket_path, width=640, height=480, outputs=1):
    """QEMU arguments for an Aliquot vGPU with a display, device id "vgpu"."""
    return [
        "-chardev", f"socket,id=vgpu-socket,path={socket_path}",
        "-device", "vhost-user-gpu-pci,id=vgpu,chardev=vgpu-socket,"
                   f"max_outputs={outputs},xres={width},yres={height}",
    ]


def vulkan_arguments(socket_path):
    """The same for a vGPU with OpenGL and Vulkan, but no display: QEMU's vhost-user-gpu-pci takes
    no blobs, its generic device takes all that the back-end has."""
    return [
        "-chardev", f"socket,id=vulkan-socket,path={socket_path}",
        "-device", "vhost-user-test-device-pci,id=vulkan,chardev=vulkan-socket,virtio-id=16,"
                   "num_vqs=2,config_size=16,vq_size=256",
    ]


def boot(stack, guests, timeout_s):
    """Starts guests together, whose scripts make the file "ready" first, and waits until they are
    up. The stack stops them. Returns them."""
    for guest in guests:
        stack.enter_context(guest)
    for guest in guests:
        guest.wait_for_file("ready", timeout_s)
    return guests


class Guest:
    """Runs `script` (shell, in the host's root file system, current directory $SHARE) and powers
    off when it ends. Files in self.share are seen by both sides at once.

        with Guest("a", directory, "echo hello > greeting", vgpu_arguments(path)) as guest:
            guest.wait_for_file("greeting", 60)
    """

    def __init__(self, name, directory, script, devices, memory="1G", cpus=2, reboots=False,
                 prefix=()):
        """Nothing starts yet. `devices` are QEMU arguments; directory is made, and emptied of what
        an earlier guest left. reboots: a reset starts the guest anew instead of ending QEMU.
        prefix: what goes before QEMU's command, and becomes it."""
        self.name = name
        self.directory = pathlib.Path(directory).absolute()
        self.share = self.directory / "share"
        self.console_path = self.directory / "console.log"
        self.qemu_log_path = self.directory / "qemu.log"
        self.process = None
        self.qmp = None
        self._devices = devices
        self._memory = memory
        self._cpus = cpus
        self._reboots = reboots
        self._prefix = prefix
        shutil.rmtree(self.share, ignore_errors=True)
        self.share.mkdir(parents=True)
        (self.share / "run.sh").write_text(script)
        self.console_path.unlink(missing_ok=True)
        self.qemu_log_path.unlink(missing_ok=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _arguments(self):
        guest_kernel = kernel.find()
        root = "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"
        share = "local,path=share,mount_tag=share,security_model=none,multidevs=remap"
        return [
            *self._prefix, "qemu-system-x86_64", "-name", self.name,
            "-nodefaults", "-no-user-config", "-display", "none",
            *([] if self._reboots else ["-no-reboot"]),
            *accel.arguments(accel.choose()),
            "-smp", self._cpus, "-m", self._memory,
            # The memory is shared with the vGPU's renderer.
            "-object", f"memory-backend-memfd,id=mem0,share=on,size={self._memory}",
            "-machine", "q35,memory-backend=mem0",
            "-kernel", guest_kernel.image, "-initrd", kernel.initramfs(guest_kernel),
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on",
            "-chardev", "file,id=console,path=console.log,append=on", "-serial", "chardev:console",
            "-qmp", "unix:qmp,server=on,wait=off",
            "-virtfs", root, "-virtfs", share,
            *self._devices,
        ]

    def start(self):
        """Starts QEMU; returns when it speaks QMP, long before the guest has booted."""
        (self.directory / "qmp").unlink(missing_ok=True)
        with open(self.qemu_log_path, "ab") as log:
            self.process = process.start(self._arguments(), log, cwd=self.directory)
        try:
            self.qmp = Qmp(self.directory / "qmp", self.process)
        except VmError as error:
            raise VmError(f"{error}\n{self.tail()}") from error

    def touch(self, name):
        """Makes an empty file in the shared directory: a sign for the script."""
        (self.share / name).touch()

    def put(self, name, text):
        """Makes a file with that text; the script sees it whole or not at all."""
        part = self.share / f".{name}.part"
        part.write_text(text)
        os.replace(part, self.share / name)

    def has_file(self, name):
        return (self.share / name).exists()

    def wait_for_file(self, name, timeout_s):
        """Waits until the script has made the file; fails if the guest ends before."""
        self.wait_until(lambda: self.has_file(name), f"make {name}", timeout_s)

    def wait_until(self, condition, what, timeout_s):
        end = time.monotonic() + timeout_s
        while not condition():
            ended = self.process.poll() is not None
            if ended and condition():
                return
            if ended or self.has_file("exit-code"):
                raise VmError(f"Guest {self.name} ended before it could {what}.\n{self.tail()}")
            if time.monotonic() > end:
                raise VmError(f"Guest {self.name} did not {what} within {timeout_s:.0f} s.\n"
                              f"{self.tail()}")
            time.sleep(_POLL_S)

    def wait(self, timeout_s):
        """Waits for the power-off. Returns the script's exit code."""
        end = time.monotonic() + timeout_s
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise VmError(f"Guest {self.name} did not end within {timeout_s:.0f} s.\n"
                              f"{self.tail()}")
            time.sleep(_POLL_S)
        try:
            return int((self.share / "exit-code").read_text())
        except (OSError, ValueError):
            raise VmError(f"Guest {self.name} ended without running its script to the end; QEMU "
                          f"gave {self.process.returncode}.\n{self.tail()}") from None

    def screendump(self, path, head=0):
        """What the vGPU's display shows, as PNG."""
        self.qmp.command("screendump", filename=os.path.abspath(path), device="vgpu", head=head,
                         format="png")

    def tail(self):
        """The last lines of console and QEMU log, for an error message."""
        text = []
        for path in (self.console_path, self.qemu_log_path):
            try:
                lines = path.read_text(errors="replace").splitlines()
            except OSError:
                continue
            if lines:
                text.append(f"--- end of {path}")
                text += lines[-_TAIL_LINES:]
        return "\n".join(text)

    def stop(self):
        """Ends QEMU now. Fine to call twice."""
        if self.qmp:
            self.qmp.close()
            self.qmp = None
        process.stop(self.process)

    def kill(self):
        """As if QEMU had crashed."""
        self.process.kill()
        self.process.wait()
