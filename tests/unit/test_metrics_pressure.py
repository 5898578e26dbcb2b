# SPDX-License-Identifier: Apache-2.0
"""Pressure stall information, cut at every byte, and of kernels that have less of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry_probes.metrics.collectors.pressure import Collector, stalled_s
from telemetry_probes.metrics.model import Absent
from telemetry_probes.metrics.places import Places

TEXT = b"""some avg10=0.12 avg60=0.00 avg300=0.00 total=1500000
full avg10=0.00 avg60=0.00 avg300=0.00 total=250000
"""


def test_both_totals_in_seconds() -> None:
    assert stalled_s(TEXT) == [1.5, 0.25]


def test_processors_without_full() -> None:
    assert stalled_s(TEXT[: TEXT.index(b"full")]) == [1.5, None]


def test_cut_at_every_byte() -> None:
    for size in range(len(TEXT)):
        some, full = stalled_s(TEXT[:size])
        assert some in (None, 1.5)
        assert full is None


@pytest.mark.parametrize(
    "text", [b"some total=-1\n", b"some total=nan\n", b"some avg10=1\n", b"full\nsome\n", b"\xff\n"]
)
def test_what_is_no_total(text: bytes) -> None:
    assert stalled_s(text) == [None, None]


def test_a_kernel_without_it(tmp_path: Path) -> None:
    (tmp_path / "proc/pressure").mkdir(parents=True)
    (tmp_path / "proc/pressure/cpu").write_bytes(TEXT)
    with pytest.raises(Absent, match="psi=1"):
        Collector(Places(str(tmp_path)), {})
