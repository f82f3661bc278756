# SPDX-License-Identifier: MIT
"""Boots stock Debian guests in stock QEMU, for the demo and the tests.

No disk image: a kernel and its modules from a directory, a small initramfs made from them and
busybox, and the machine's own root file system, read-only over 9p, below an overlay in the guest's
memory. What runs in the guest is a shell script in a directory that host and guest share.

    from vm.guest import Guest
    from vm.mediator import Mediator
"""
