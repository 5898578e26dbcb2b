#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A probe of your own as a shell script: run a command, and report it when it fails.
#
#   probe.sh [-f FILE] COMMAND [ARGUMENT...]
#
# Two records with one event id, so that they are found together: the end of what the command said, and the disks. The
# exit code is the command's own: telemetry that fails must never make a good backup a failed one. -f: a configuration
# file instead of the system's.
set -u

config=
if [ "${1-}" = -f ] && [ $# -ge 2 ]; then
    config=$2
    shift 2
fi
if [ $# -eq 0 ]; then
    echo 'usage: probe.sh [-f FILE] COMMAND [ARGUMENT...]' >&2
    exit 2
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM
"$@" >"$log" 2>&1
code=$?
cat "$log"
[ "$code" -eq 0 ] && exit 0

event=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

report() { # KIND SEVERITY, the payload on standard input
    telem-record-gen ${config:+-f "$config"} -c "example.org/job/$1" -s "$2" -e "$event" ||
        echo "probe.sh: the record was not taken, ignoring" >&2
}

{
    echo "command: ${1##*/}"
    echo "exit code: $code"
    tail -c 4096 "$log"
} | report failed 2
df -P | report disks 1
exit "$code"
