# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md and the manual say what the collectors and the program say of themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from telemetry_probes import metricprobe
from telemetry_probes.metrics import discovery, reference
from telemetry_probes.metrics.settings import GENERAL

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text()
MANUAL = (DOCS / "man/metricprobe.1").read_text()


def test_the_page_is_what_the_collectors_say() -> None:
    assert reference.page(PAGE) == PAGE, "make texts"


@pytest.mark.parametrize("name", discovery.names())
def test_a_collector_is_told_with_all_it_has(name: str) -> None:
    kind = discovery.kind(name)
    section = PAGE.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    assert set(re.findall(r"^\| `(\S+)` \| [^|]+ \| (?:gauge|counter) \|", section, re.MULTILINE)) == {
        metric.name for metric in kind.metrics
    }
    for choice in kind.options:
        assert f"\n| `{choice.name}` | " in section


def test_general_settings_are_told() -> None:
    for choice in GENERAL:
        assert f"\n| `{choice.name}` | " in PAGE


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no <!-- the collectors"):
        reference.page("# Metrics\n")


def test_every_option_is_in_the_manual() -> None:
    for option in metricprobe.OPTIONS:
        assert f".It Fl {option.letter} " in MANUAL
        assert f"Fl Fl {option.name}" in MANUAL
