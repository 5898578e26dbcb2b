# SPDX-License-Identifier: Apache-2.0
"""Collectors of hardware over time: what comes, goes, sleeps and hangs. The files and programs are a machine's below
a folder."""

from __future__ import annotations

import functools
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telemetry_probes.metrics import gpuprograms
from telemetry_probes.metrics.collectors import battery, gpu, inventory, pi, sensors, smart, wifi
from telemetry_probes.metrics.model import Absent
from telemetry_probes.metrics.places import Places
from telemetry_probes.metrics.readings import Readings

if TYPE_CHECKING:
    from telemetry_probes.metrics.model import Collector

SCENES = Path(__file__).parents[1] / "golden/metrics"


class Machine:
    """A machine whose files and programs are changed as it runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places(str(root))

    def file(self, name: str, text: str) -> Path:
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, name: str, text: str) -> None:
        """A script; `ran` is the file in which it leaves a line each time."""
        self.file(f"/usr/bin/{name}", f'#!/bin/sh\necho "$*" >> {self.root}/ran\n{text}\n').chmod(0o755)

    @property
    def ran(self) -> list[str]:
        try:
            return (self.root / "ran").read_text().splitlines()
        except FileNotFoundError:
            return []


SOON_S = 30.0
"""Far more than a thread needs to read a file."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """What its drivers say is waited for, and not told the next time."""
    for module in (battery, sensors):
        monkeypatch.setattr(module, "Readings", functools.partial(Readings, wait_s=SOON_S))
    return Machine(tmp_path)


def told(collector: Collector, now_s: float) -> dict[str, int | float | None]:
    """The values by metric and attributes."""
    row = collector.sample(now_s)
    assert len(row) == len(collector.series)
    return {
        " ".join([series.metric.name, *(value for _, value in series.attributes)]): value
        for series, value in zip(collector.series, row, strict=True)
    }


def test_a_sensor_that_comes_and_goes(machine: Machine) -> None:
    machine.file("/sys/class/hwmon/hwmon0/name", "coretemp\n")
    machine.file("/sys/class/hwmon/hwmon0/temp1_input", "50000\n")
    collector = sensors.Collector(machine.places, {})
    first = {"hw.temperature coretemp": 50.0}
    assert told(collector, 100.0) == first
    series = collector.series
    machine.file("/sys/class/hwmon/hwmon1/name", "nvme\n")
    machine.file("/sys/class/hwmon/hwmon1/temp1_input", "40000\n")
    assert told(collector, 110.0) == first and collector.series is series
    assert told(collector, 100.0 + sensors.RESCAN_S) == first | {"hw.temperature nvme": 40.0}
    shutil.rmtree(machine.root / "sys/class/hwmon/hwmon1")
    assert told(collector, 100.0 + 2 * sensors.RESCAN_S) == first
    shutil.rmtree(machine.root / "sys/class/hwmon")
    assert told(collector, 100.0 + 3 * sensors.RESCAN_S) == {}
    collector.close()


def test_sensors_that_are_wanted(machine: Machine) -> None:
    for number, (chip, rotates) in enumerate((("coretemp", ""), ("drivetemp", "1"), ("drivetemp", "0"))):
        folder = f"/sys/class/hwmon/hwmon{number}"
        machine.file(f"{folder}/name", f"{chip}\n")
        machine.file(f"{folder}/temp1_input", f"{30 + number}000\n")
        if rotates:
            machine.file(f"{folder}/device/block/sd{number}/queue/rotational", f"{rotates}\n")
    for wanted, celsius in (
        ("-", [30.0, 32.0]),  # a disk that rotates may be kept awake by the asking
        ("drivetemp*", [31.0, 32.0]),
        ("coretemp", [30.0]),
        ("-drivetemp*", [30.0]),
    ):
        collector = sensors.Collector(machine.places, {"sensors": wanted})
        assert list(told(collector, 100.0).values()) == celsius, wanted
        collector.close()
    with pytest.raises(Absent, match="no sensor that is wanted"):
        sensors.Collector(machine.places, {"sensors": ""})


def test_a_sensor_that_blocks_does_not_hold_up_the_others(machine: Machine) -> None:
    """A FIFO in its place is the nearest that can be had: reading it never gives a temperature."""
    machine.file("/sys/class/hwmon/hwmon0/name", "good\n")
    machine.file("/sys/class/hwmon/hwmon0/temp1_input", "50000\n")
    machine.file("/sys/class/hwmon/hwmon1/name", "bad\n")
    os.mkfifo(machine.root / "sys/class/hwmon/hwmon1/temp1_input")
    collector = sensors.Collector(machine.places, {})
    assert told(collector, 100.0) == {"hw.temperature bad": None, "hw.temperature good": 50.0}
    collector.close()


def test_a_battery_that_is_taken_out(machine: Machine) -> None:
    for name in ("BAT0", "BAT1"):
        machine.file(f"/sys/class/power_supply/{name}/type", "Battery\n")
        machine.file(f"/sys/class/power_supply/{name}/uevent", "POWER_SUPPLY_STATUS=Full\nPOWER_SUPPLY_CAPACITY=100\n")
    collector = battery.Collector(machine.places, {})
    both = told(collector, 100.0)
    assert both["hw.battery.charge BAT0"] == both["hw.battery.charge BAT1"] == 1.0
    assert both["hw.status BAT1 battery full"] == 1
    shutil.rmtree(machine.root / "sys/class/power_supply/BAT1")
    later = told(collector, 100.0 + battery.RESCAN_S)
    assert {name.split()[1] for name in later} == {"BAT0"}
    collector.close()


def smart_machine(machine: Machine, *disks: str) -> None:
    devices = ",".join(f'{{"name": "/dev/{disk}", "type": "sat"}}' for disk in disks)
    machine.program(
        "smartctl",
        f"""case "$*" in
"--scan --json") echo '{{"devices": [{devices}]}}' ;;
*/dev/sdhang) exec sleep 1000 ;;
*) echo '{{"smart_status": {{"passed": true}}}}' ;;
esac""",
    )


def test_a_disk_that_hangs_does_not_hide_the_others(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart, "SECONDS_MAX", 4.0)  # for the others, too
    smart_machine(machine, "sdhang", "sda")
    collector = smart.Collector(machine.places, {})
    found = told(collector, 100.0)
    assert (
        found["x.smart.state sdhang silent"] == found["x.smart.state sda answered"] == found["x.smart.passed sda"] == 1
    )


def test_a_disk_that_linux_suspended_is_not_touched(machine: Machine) -> None:
    smart_machine(machine, "sda", "sdb")
    machine.file("/sys/block/sdb/device/power/runtime_status", "suspended\n")
    collector = smart.Collector(machine.places, {"disks": "-"})
    assert told(collector, 100.0)["x.smart.state sdb asleep"] == 1
    assert not any("/dev/sdb" in line for line in machine.ran)
    machine.file("/sys/block/sdb/device/power/runtime_status", "active\n")
    assert told(collector, 200.0)["x.smart.state sdb answered"] == 1
    # Whether it sleeps by itself is asked before anything else.
    assert all(line.startswith("--nocheck=standby,3 ") for line in machine.ran if "/dev/" in line)


def test_disks_that_are_not_wanted_are_not_asked(machine: Machine) -> None:
    smart_machine(machine, "sda", "sdb")
    assert set(told(smart.Collector(machine.places, {"disks": "-sdb"}), 100.0)) >= {"x.smart.passed sda"}
    assert not any("/dev/sdb" in line for line in machine.ran)
    with pytest.raises(Absent, match="needs root"):
        smart.Collector(machine.places, {"disks": "nvme*"}).sample(100.0)


NVIDIA = "00000000:01:00.0, Tesla T4, 12, 100, 15360, 30.5, 38, 585"


def nvidia_machine(machine: Machine, control: str, status: str) -> None:
    for name, text in (
        ("vendor", "0x10de"),
        ("class", "0x030000"),
        ("power/control", control),
        ("power/runtime_status", status),
    ):
        machine.file(f"/sys/bus/pci/devices/0000:01:00.0/{name}", f"{text}\n")


def test_nvidia_smi_is_started_once_and_heard_again_and_again(machine: Machine) -> None:
    nvidia_machine(machine, "on", "active")
    os.mkfifo(machine.root / "go")
    machine.program(
        "nvidia-smi",
        f'echo "{NVIDIA}"; read x < {machine.root}/go; echo "{NVIDIA.replace(" 12,", " 77,")}"; exec sleep 1000',
    )
    collector = gpu.Collector(machine.places, {})
    busy = "hw.gpu.utilization 0000:01:00.0"
    assert told(collector, 100.0)[busy] == 0.12
    series = collector.series
    assert told(collector, 110.0)[busy] == 0.12
    assert told(collector, 140.0)[busy] is None  # that is too long ago to be told
    (machine.root / "go").write_text("\n")
    deadline_s = time.monotonic() + SOON_S
    while (now := told(collector, 150.0)[busy]) is None and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert now == 0.77 and collector.series is series
    assert len(machine.ran) == 1
    told(collector, 160.0)
    with pytest.raises(TimeoutError) as said:
        collector.sample(160.0 + gpuprograms.SILENT_S + 1)
    assert said.value.strerror
    collector.close()


def test_nvidia_smi_without_a_card(machine: Machine) -> None:
    machine.program(
        "nvidia-smi", "echo NVIDIA-SMI has failed because it couldn\\'t communicate with the NVIDIA driver.; exit 9"
    )
    collector = gpu.Collector(machine.places, {})
    deadline_s = time.monotonic() + SOON_S
    with pytest.raises(Absent, match="finds no card"):
        while time.monotonic() < deadline_s:
            collector.sample(100.0)
    collector.close()


def test_a_card_that_sleeps_is_not_woken(machine: Machine) -> None:
    nvidia_machine(machine, "auto", "suspended")
    machine.program("nvidia-smi", f'echo "{NVIDIA}"')
    collector = gpu.Collector(machine.places, {})
    assert told(collector, 100.0) == {}
    nvidia_machine(machine, "auto", "active")
    assert told(collector, 110.0) == {} and machine.ran == []  # once a minute, so that it can fall asleep
    busy = "hw.gpu.utilization 0000:01:00.0"
    assert told(collector, 160.0)[busy] == 0.12
    nvidia_machine(machine, "auto", "suspended")
    assert told(collector, 220.0)[busy] is None
    assert len(machine.ran) == 1
    collector.close()


def test_a_raspberry_pi_is_asked_once_a_minute(machine: Machine) -> None:
    machine.file("/proc/device-tree/model", "Raspberry Pi 4 Model B\0")
    machine.program(
        "vcgencmd", 'case "$1" in get_throttled) echo throttled=0x1 ;; *) echo "frequency(48)=600000000" ;; esac'
    )
    collector = pi.Collector(machine.places, {})
    for now_s in (100.0, 110.0, 150.0):
        assert told(collector, now_s)["x.pi.throttled under_voltage now"] == 1
    once = len(machine.ran)
    assert once == 1 + len(pi.CLOCKS + pi.VOLTAGES)
    told(collector, 160.0)
    assert len(machine.ran) == 2 * once
    collector.close()


def test_wifi_without_iw_and_with_one_that_hangs(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wifi, "IW_SECONDS_MAX", 2.0)  # it has begun by then
    shutil.copytree(SCENES / "laptop/root/proc", machine.root / "proc")
    machine.file("/sys/class/net/wlp3s0/wireless/level", "0\n")
    signal = "x.wifi.signal wlp3s0"
    assert told(wifi.Collector(machine.places, {}), 100.0)[signal] == -52
    machine.program("iw", "exec sleep 1000")
    collector = wifi.Collector(machine.places, {})
    for now_s in (100.0, 130.0, 160.0):
        assert told(collector, now_s)[signal] == -52
    assert len(machine.ran) == 1  # one that was too slow has a pause
    collector.close()
    shutil.rmtree(machine.root / "proc")
    (machine.root / "usr/bin/iw").unlink()
    with pytest.raises(Absent, match="install iw"):
        wifi.Collector(machine.places, {})


def test_a_package_manager_has_room_for_what_it_writes(machine: Machine) -> None:
    """In the service /tmp is read-only."""
    machine.file("/var/lib/dpkg/status", "Package: bash\nStatus: install ok installed\n")
    machine.program("apt-get", f'echo "$TMPDIR" >> {machine.root}/ran')
    inventory.Collector(machine.places, {}).sample(100.0)
    machine.places.environment = {"RUNTIME_DIRECTORY": "/run/here:/run/there"}
    inventory.Collector(machine.places, {}).sample(100.0)
    assert [line for line in machine.ran if not line.startswith("-")] == ["", "/run/here"]
