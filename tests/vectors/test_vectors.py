# SPDX-License-Identifier: Apache-2.0
"""The committed examples are what the generator writes, and they break every rule that a record can break."""

from __future__ import annotations

import json
from pathlib import Path

import generate
import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", sorted(generate.files()))
def test_written_again_they_are_the_same(name: str) -> None:
    assert (HERE / name).read_text() == generate.files()[name], "run tests/vectors/generate.py"


def test_every_reason_that_a_record_can_have_is_there() -> None:
    of_format5 = {vector["verdict"] for vector in json.loads((HERE / "format5.json").read_text())}
    assert of_format5 == {
        "none", "malformed", "too-large", "classification", "severity", "attribute", "payload-kind", "record-id",
        "created",
    }  # fmt: skip
    of_format4 = {vector["verdict"] for vector in json.loads((HERE / "format4.json").read_text())}
    assert of_format4 == {"none", "malformed", "too-large", "header", "classification", "severity", "created"}
