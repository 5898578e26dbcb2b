# SPDX-License-Identifier: Apache-2.0
"""The hub reads what docs/protocol.md makes of every good example of a record."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hubbatch import host_line, ndjson

from telemetry_probes.metrics.columns import Column, Table, packed
from telemetry_probes.metrics.model import Metric
from telemhub.ingest import read_batch
from telemhub.points import Unreadable, read_points, unpacked
from telemhub.records import CREATED_US_END, PAYLOAD_KINDS, Record, Rejected

HERE = Path(__file__).parent
EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    (f"{name}-{vector['name']}", vector["json"])
    for name in ("format4", "format5")
    for vector in json.loads((HERE / f"{name}.json").read_text())
    if "json" in vector
]
METRICS: list[dict[str, Any]] = json.loads((HERE / "metric.json").read_text())


def as_json(record: Record) -> dict[str, Any]:
    """What the record was before it was read, as far as the record tells."""
    payload = (
        {"payload": record.payload}
        if isinstance(record.payload, str)
        else {"payload_base64": base64.b64encode(record.payload).decode()}
    )
    shown = {
        "id": record.id.hex(),
        "event_id": record.event_id.hex(),
        "created_us": record.created_us,
        "severity": record.severity,
        "classification": record.classification,
        "payload_version": record.payload_version,
        "payload_kind": PAYLOAD_KINDS[record.payload_kind],
        **payload,
    }
    for name, text in (("facts", record.facts), ("attributes", record.attributes)):
        if text is not None:
            shown[name] = json.loads(text)
    return shown


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_nothing_of_a_good_record_is_lost(name: str, example: dict[str, Any]) -> None:
    (item,) = read_batch(ndjson(host_line(), example)).items
    if example["created_us"] >= CREATED_US_END:
        assert item == Rejected("created", example["id"])
        return
    assert isinstance(item, Record), item
    assert as_json(item) == example


@pytest.mark.parametrize("example", METRICS, ids=[example["name"] for example in METRICS])
def test_metrics_become_the_points_that_are_meant(example: dict[str, Any]) -> None:
    payload = bytes.fromhex(example["hex"])
    if example["verdict"] != "none":
        with pytest.raises(Unreadable):
            read_points(payload)
        return
    found = [
        {
            "name": each.name,
            "unit": each.unit,
            "kind": each.kind,
            "attributes": json.loads(each.attributes),
            "start_us": each.start_us,
            "points": [list(point) for point in unpacked(each.first_us, each.data)],
        }
        for each in read_points(payload)
    ]
    assert found == example["series"]


@pytest.mark.parametrize("example", METRICS, ids=[example["name"] for example in METRICS])
def test_metrics_that_a_probe_packs_come_back(example: dict[str, Any]) -> None:
    """What is meant by an example goes through the probe's own packing."""
    for series in example.get("series", ()):
        metric = Metric(series["name"], series["unit"], series["kind"], "")
        times_us = [at for at, _ in series["points"]]
        values = [value for _, value in series["points"]]
        column = Column(metric, tuple(series["attributes"].items()), series["start_us"], values)
        (payload,) = packed([Table("cpu", times_us, [column])])
        (back,) = read_points(payload)
        assert (back.name, back.unit, back.kind, back.start_us) == (
            metric.name,
            metric.unit,
            metric.kind,
            column.start_us,
        )
        assert json.loads(back.attributes) == series["attributes"]
        assert [list(point) for point in unpacked(back.first_us, back.data)] == series["points"]
