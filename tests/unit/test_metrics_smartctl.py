# SPDX-License-Identifier: Apache-2.0
"""What smartctl prints, of disks that are as they should be and of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from telemetry_probes.metrics import smartctl
from telemetry_probes.metrics.hardware import Point
from telemetry_probes.metrics.model import COUNTER
from telemetry_probes.metrics.smartctl import points, scanned

SAID = Path(__file__).parents[1] / "golden/metrics/server/root/usr/share/smartctl"
DISKS = ("sda", "bus-0-5", "nvme0")


def said(name: str) -> bytes:
    return (SAID / f"{name}.json").read_bytes()


def by_name(found: list[Point]) -> dict[tuple[str, ...], Any]:
    return {(point.metric.name, *(text for _, text in point.attributes)): point.value for point in found}


def test_disks_that_were_found() -> None:
    assert [(disk.name, disk.path, disk.type) for disk in scanned(said("scan"))] == [
        ("sda", "/dev/sda", "sat"),
        ("sdb", "/dev/sdb", "sat"),
        ("sdc", "/dev/sdc", "scsi"),
        ("sde", "/dev/sde", "sat"),
        ("bus/0:megaraid,5", "/dev/bus/0", "megaraid,5"),
        ("nvme0", "/dev/nvme0", "nvme"),
    ]


@pytest.mark.parametrize(
    "device",
    [
        {"name": "/etc/passwd", "type": "sat"},
        {"name": "/dev/sda", "type": "--all"},
        {"name": "/dev/sda\n", "type": "sat"},
        {"name": "--scan", "type": "sat"},
        {"name": 7, "type": "sat"},
        {"name": "/dev/sda"},
        "sda",
        None,
    ],
)
def test_what_is_no_disk_is_not_asked(device: object) -> None:
    assert scanned(json.dumps({"devices": [device]}).encode()) == []


def test_there_is_an_end_to_disks() -> None:
    many = [{"name": f"/dev/sd{number}", "type": "sat"} for number in range(10_000)]
    assert len(scanned(json.dumps({"devices": many}).encode())) == smartctl.DISKS_MAX


def test_what_means_the_same_on_all_disks() -> None:
    ata, scsi, nvme = (by_name(points(said(name))) for name in DISKS)
    assert [disk[("x.smart.passed",)] for disk in (ata, scsi, nvme)] == [1, 0, 1]
    assert [disk[("hw.temperature",)] for disk in (ata, scsi, nvme)] == [31, 37, 29]
    assert [disk[("x.smart.powered_time",)] for disk in (ata, scsi, nvme)] == [
        43210 * 3600,
        26280 * 3600 + 42 * 60,
        10423 * 3600,
    ]
    assert ata[("x.smart.sectors.reallocated",)] == 8 and scsi[("x.smart.sectors.reallocated",)] == 311
    assert nvme[("x.smart.io", "write")] == 113662783 * 512_000
    assert scsi[("x.smart.io", "write")] == 292086_584_000_000


def test_no_series_is_there_twice() -> None:
    for name in DISKS:
        found = points(said(name))
        assert len(by_name(found)) == len(found)
        assert all(point.metric in smartctl.METRICS for point in found)


@pytest.mark.parametrize("name", ["sdb", "sdc"])
def test_a_disk_that_was_not_asked_has_no_points(name: str) -> None:
    assert points(said(name)) == []


@pytest.mark.parametrize("name", ["scan", *DISKS])
def test_cut_anywhere_it_is_refused(name: str) -> None:
    output = said(name).rstrip()
    for size in range(0, len(output), 1 + len(output) // 400):
        with pytest.raises(ValueError):
            scanned(output[:size]) if name == "scan" else points(output[:size])


@pytest.mark.parametrize("instead", [-1, 2**64, 10**300, 1.5, True, None, "many", [], {}, "9" * 5000])
@pytest.mark.parametrize("name", DISKS)
def test_numbers_that_cannot_be_give_no_nonsense(name: str, instead: object) -> None:
    def changed(of: Any) -> Any:
        if isinstance(of, dict):
            return {key: changed(value) for key, value in of.items() if key != "exit_status"}
        if isinstance(of, list):
            return [changed(value) for value in of]
        return instead if isinstance(of, int) else of

    for point in points(json.dumps(changed(json.loads(said(name)))).encode()):
        assert isinstance(point.value, int | float)
        assert point.value >= 0 or point.metric.kind != COUNTER
        assert all(text.isprintable() for _, text in point.attributes)


@pytest.mark.parametrize("output", [b"", b"null", b"[]", b"7", b"smartctl 6.6", b"[" * 100_000])
def test_output_of_another_form(output: bytes) -> None:
    try:
        assert points(output) == [] and scanned(output) == []
    except ValueError as error:
        assert str(error)


def test_an_attribute_that_is_there_twice_counts_once() -> None:
    disk = json.loads(said("sda"))
    disk["ata_smart_attributes"]["table"] *= 50
    assert points(json.dumps(disk).encode()) != []
    assert by_name(points(json.dumps(disk).encode())) == by_name(points(said("sda")))
