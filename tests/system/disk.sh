#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disk.sh FOLDER: the disk of the test machine, an overlay of / whose changes lie in memory. Runs in a mount namespace of
# its own, and holds it until it is killed; then nothing of it is left. Says "ready" when the disk is at FOLDER/root.
set -eu
folder=$1
mount -t tmpfs -o size=2g,mode=755 tmpfs "$folder"
mkdir "$folder/changes" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/changes,workdir=$folder/work" overlay "$folder/root"
root=$folder/root

# An identity of its own, and none of this machine's services.
od -An -tx1 -N16 /dev/urandom | tr -d ' \n' >"$root/etc/machine-id"
echo >>"$root/etc/machine-id"
echo machine >"$root/etc/hostname"
: >"$root/etc/fstab"
rm -rf "$root/var/log/journal"
system=$root/etc/systemd/system
mkdir -p "$system" "$root/etc/systemd/journald.conf.d" "$root/etc/systemd/system.conf.d" "$root/var/log/journal"
rm -rf "$system"/*.wants "$system"/*.requires "$root"/var/lib/systemd/timers/*
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udev-settle.service systemd-modules-load.service \
    systemd-remount-fs.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount \
    sys-kernel-tracing.mount sys-kernel-config.mount dev-hugepages.mount dev-mqueue.mount systemd-sysctl.service \
    systemd-random-seed.service systemd-firstboot.service systemd-logind.service systemd-user-sessions.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service getty.target apt-daily.timer apt-daily-upgrade.timer; do
    ln -sfn /dev/null "$system/$unit"
done
# Its record would be among those that tests count; who is about it takes this away.
ln -sfn /dev/null "$system/bootprobe.service"
# And so would be a hello, where midnight (UTC) passes meanwhile: its timer runs, and the day never comes.
mkdir -p "$system/hprobe.timer.d"
printf '[Timer]\nOnCalendar=\nOnCalendar=2199-01-01\n' >"$system/hprobe.timer.d/test.conf"
ln -sfn /lib/systemd/system/multi-user.target "$system/default.target"
printf '[Journal]\nStorage=persistent\nForwardToConsole=no\nRateLimitBurst=0\nSyncIntervalSec=1s\n' \
    >"$root/etc/systemd/journald.conf.d/test.conf"
printf '[Manager]\nDefaultTimeoutStopSec=10s\nDefaultTimeoutStartSec=60s\nShowStatus=no\n' >"$root/etc/systemd/system.conf.d/test.conf"
echo ready
exec sleep infinity
