#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# init.sh ROOT: becomes systemd as process 1 of the namespaces it is started in, on the disk at ROOT.
set -eu
root=$1
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${stream%%:*}" "$root/dev/${stream#*:}"
done
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
cat /proc/sys/kernel/random/uuid >"$root/run/boot-id"  # the kernel's own doesn't change with our boots
mount --bind "$root/run/boot-id" "$root/proc/sys/kernel/random/boot_id"
checkout=$(cd "$(dirname "$0")/../.." && pwd)
case $checkout in
    /tmp/*) # covered by the mount before
        mkdir -p "$root$checkout"
        mount --bind "$checkout" "$root$checkout"
        ;;
esac
ip link set lo up
mkdir -p "$root/run/before"
cd "$root"
pivot_root . run/before
umount -l /run/before
rmdir /run/before
mount --make-rshared /  # as systemd does where it isn't told of a container; it mounts credentials by that
exec env -i container=docker PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --log-target=journal-or-kmsg
