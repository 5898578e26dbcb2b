# SPDX-License-Identifier: Apache-2.0
"""metricprobe as systemd runs it: on a machine with a lasting id, without rights, and it sees what there is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from booted import wait_until
from sending import starts_after_a_hang

if TYPE_CHECKING:
    from collections.abc import Iterator

    from booted import Machine

UNIT = "metricprobe.service"
DISKS = "metricprobe-smart.service"
LASTING_ID = "/etc/telemetrics/opt-in-static-machine-id"
SCRAPED = "/run/telemetry-metrics/scraped.sock"
STATSD = "/run/telemetry-metrics/statsd.sock"
PROGRAM = """#!/bin/sh
echo "who{user=\\"$(id -un)\\",groups=\\"$(id -Gn)\\"} 1"
for place in /etc /dev /run /run/telemetry /tmp /var/tmp /var/lib /run/telemetry-metrics /home /root; do
    if touch "$place/from-metrics.d" 2>/dev/null; then echo "writes{place=\\"$place\\"} 1"; fi
done
ls /var/lib/telemetry /var/spool/telemetry >/dev/null 2>&1 && echo 'sees{what="telemd"} 1'
exit 0
"""
ELSEWHERE = "10.9.8.7"
REACH = f"""#!/usr/bin/python3
import socket
for host in ("127.0.0.1", "{ELSEWHERE}"):
    with socket.socket() as stream:
        stream.settimeout(2)
        try:
            stream.connect((host, 9))
            how = "connected"
        except ConnectionRefusedError:
            how = "refused"  # by the host: it was reached
        except OSError:
            how = "not at all"
    print('reaches{{host="%s",how="%s"}} 1' % (host, how))
"""
SEND = f"""
import socket
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"jobs.done:3|c|#queue:mail", "{STATSD}")
"""


@pytest.fixture
def named(running: Machine) -> Iterator[Machine]:
    """A machine that may send metrics; it samples often, and gives what it has to who asks."""
    running.write(LASTING_ID, "ab" * 16)
    settings = "".join(
        f"[metrics.{name}]\ninterval_s = 1\n"
        for name in ("own", "services", "self", "filesystem", "processes", "probe")
    )
    config = running.path("/etc/telemetrics/telemetrics.conf")
    config.write_text(f'{config.read_text()}[metrics.statsd]\nsocket = "{STATSD}"\ninterval_s = 1\n{settings}')
    running.run("telemctl", "restart")
    running.drop_in(UNIT, "ExecStart=", f"ExecStart=/usr/bin/metricprobe --listen unix:{SCRAPED}")
    yield running
    running.systemctl("stop", UNIT)
    running.shell(f"rm -rf {LASTING_ID} /etc/telemetrics/metrics.d")


def scraped(machine: Machine) -> dict[str, float]:
    """By name and labels."""
    done = machine.run("curl", "--silent", "--unix-socket", SCRAPED, "http://localhost/metrics", good=None)
    lines = [line.rpartition(" ") for line in done.stdout.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines if name}


def wait_for(machine: Machine, *patterns: str) -> dict[str, float]:
    """Until there is a sample for each of these."""
    found: dict[str, float] = {}

    def all_there() -> bool:
        found.clear()
        found.update(scraped(machine))
        return all(any(re.search(pattern, name) for name in found) for pattern in patterns)

    try:
        wait_until(all_there, f"samples of {patterns}")
    except AssertionError as error:
        raise AssertionError(f"{error}; there are {sorted(found)}\n{machine.tail()}") from None
    return found


def test_without_a_lasting_id_it_does_not_run(running: Machine) -> None:
    running.systemctl("start", UNIT)
    assert running.shown(UNIT, "ConditionResult") == "no"
    assert running.state(UNIT) == "inactive"


def test_disks_are_not_asked_in_a_container(named: Machine) -> None:
    named.systemctl("start", DISKS)
    assert named.shown(DISKS, "ConditionResult") == "no"
    assert named.state(DISKS) == "inactive"


def test_what_it_sees(named: Machine) -> None:
    named.write("/etc/telemetrics/metrics.d/who", PROGRAM)
    named.write("/etc/telemetrics/metrics.d/reach", REACH)
    named.shell("chmod 755 /etc/telemetrics/metrics.d/*")
    named.shell(f"ip addr replace {ELSEWHERE}/32 dev lo")  # this machine's, but no loopback address
    named.shell("systemd-run --quiet --unit=fails -p Type=oneshot /bin/false || :")
    named.systemctl("restart", UNIT)
    wait_until(named.path(STATSD).exists, "it listens for statsd")
    named.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "python3", "-c", SEND)
    found = wait_for(
        named, "^x_own_who", "^x_own_reaches", 'systemd_unit_state{.*unit="fails.service"', "^x_statsd.*jobs_done",
        "^x_telemd_records", "^system_filesystem_limit", "^system_process_number",
    )  # fmt: skip

    def only(pattern: str) -> tuple[str, float]:
        [one] = [(name, value) for name, value in found.items() if re.search(pattern, name)]
        return one

    assert 'user="telemetry"' in only("^x_own_who")[0]
    assert [name for name in found if name.startswith(("x_own_writes", "x_own_sees"))] == [
        'x_own_writes{place="/run/telemetry-metrics"}'
    ]
    assert {name for name in found if name.startswith("x_own_reaches")} == {
        'x_own_reaches{host="127.0.0.1",how="refused"}',
        f'x_own_reaches{{host="{ELSEWHERE}",how="not at all"}}',
    }
    assert 'state="failed"' in only('systemd_unit_state{.*unit="fails.service"')[0]
    assert only('^x_statsd.*jobs_done_total.queue="mail".$')[1] == 3
    assert only('^x_telemd_records.*outcome="received"')[1] >= 0
    assert 'system_filesystem_mode="rw"' in only('^system_filesystem_limit.*mountpoint="/"')[0]
    size = int(named.shell("df --block-size=1 --output=size / | tail -1"))
    assert size in [value for name, value in found.items() if name.startswith("system_filesystem_limit")]
    processes = int(named.shell("ls -d /proc/[0-9]* | wc -l"))
    counted = sum(value for name, value in found.items() if name.startswith("system_process_number"))
    assert abs(counted - processes) < 10
    named.systemctl("reset-failed", "fails.service")
    named.shell(f"ip addr del {ELSEWHERE}/32 dev lo")


def test_it_runs_without_rights(named: Machine) -> None:
    named.systemctl("restart", UNIT)
    wait_for(named, "^x_metricprobe_memory")
    pid = named.main_pid(UNIT)
    assert named.shell(f"stat -c %U /proc/{pid}").strip() == "telemetry"
    status = named.shell(f"cat /proc/{pid}/status")
    capabilities = [line.split()[1] for line in status.splitlines() if line.startswith(("CapEff", "CapBnd", "CapPrm"))]
    assert {int(each, 16) for each in capabilities} == {0}
    named.systemctl("stop", UNIT)
    assert named.shown(UNIT, "Result") == "success"
    assert not named.path(SCRAPED).exists()


def test_one_that_hangs_is_killed_by_the_watchdog(named: Machine) -> None:
    assert starts_after_a_hang(named, UNIT) >= 1


def test_one_that_cannot_begin_is_named_by_status(named: Machine) -> None:
    def wait_for_failed(expected: list[dict[str, object]]) -> None:
        def are() -> bool:
            return bool(json.loads(named.run("telemctl", "status", "--json").stdout)["failed_units"] == expected)

        wait_until(are, f"the units that failed are {expected}")

    wait_for_failed([])
    config = named.path("/etc/telemetrics/telemetrics.conf")
    good = config.read_text()
    config.write_text(f"{good}[metrics.cpu]\ninterval_s = 0\n")
    named.systemctl("restart", UNIT)
    wait_for_failed([{"unit": UNIT, "result": "exit-code", "is_tried_again": True}])
    advice = f"{UNIT} failed (exit-code), and is tried again. To see why: journalctl -u {UNIT}"
    wait_until(lambda: advice in named.run("telemctl", "status").stdout, "it says what to do")
    why = f"/etc/telemetrics/telemetrics.conf:{good.count(chr(10)) + 2}: [metrics.cpu] interval_s: "
    named.wait_journal(why, unit=UNIT)
    assert why in named.run("telemctl", "config", "check", good=None).stderr
    named.systemctl("reload", "telemd.service")  # it has no part in it
    config.write_text(good)
    named.systemctl("restart", UNIT)
    wait_for_failed([])


def test_verify_has_nothing_to_say(installed: Machine) -> None:
    units = [f"/usr/lib/systemd/system/{unit}" for unit in (UNIT, DISKS)]
    done = installed.run("systemd-analyze", "verify", "--man=no", *units)
    assert (done.stdout, done.stderr) == ("", "")
