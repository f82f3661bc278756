#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# /init of the guest's initramfs: modules, the host's root under an overlay, the shared directory,
# its script, power off. The host's time-outs bound all of it.
export PATH=/bin
/bin/busybox --install -s /bin

die()
{
    echo "aliquot-guest: $*"
    poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

# The KVM probe wants to know no more than that user space runs.
if grep -qw aliquot.probe /proc/cmdline; then
    echo "aliquot-guest: booted"
    poweroff -f
fi

for module in /modules/*; do
    insmod "$module" || die "cannot load $module"
done

P9=trans=virtio,version=9p2000.L,msize=512000
mkdir -p /host /memory /root
mount -t 9p -o "ro,$P9,cache=loose" root /host || die "cannot mount the root over 9p"
mount -t tmpfs tmpfs /memory
mkdir -p /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root ||
    die "cannot mount the overlay"

mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount --move /dev /root/dev
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/run
mkdir -p /root/run/share
mount -t 9p -o "rw,$P9,cache=none" share /root/run/share || die "cannot mount the shared directory"

cd /root/run/share || die "no shared directory"
chroot /root /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TERM=dumb \
    SHARE=/run/share /bin/sh -c 'cd /run/share && exec /bin/sh ./run.sh' \
    </root/dev/null >/root/dev/console 2>&1
code=$?
echo "$code" >/root/run/share/.exit-code.part
mv /root/run/share/.exit-code.part /root/run/share/exit-code
sync
echo "aliquot-guest: script ended with $code"
poweroff -f
