# SPDX-License-Identifier: Apache-2.0
"""What the hub says in a line of each payload that the probes' golden files hold: hub/headlines.txt.

After a change that was meant, `python tests/golden/test_hub_headlines.py` writes it anew: read the difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telemhub.headline import WHAT_MAX, WHY_MAX, headline

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
EXPECTED = HERE / "hub/headlines.txt"


def payloads() -> Iterator[tuple[str, str, str]]:
    """Name, classification and the whole payload of each."""
    for path in sorted((HERE / "boots/expected").glob("*.json")):
        fields = json.loads(path.read_text())["fields"]
        yield f"boots/{path.stem}", "org.clearlinux/boot/end", json.dumps(fields)
    for probe in ("journal", "kernel"):
        for path in sorted((HERE / probe / "expected").glob("*.json")):
            for at, each in enumerate(json.loads(path.read_text()), 1):
                text = "\n".join([json.dumps(each["fields"]), *each["text"], ""])
                yield f"{probe}/{path.stem}/{at}", each["classification"], text


def told() -> str:
    lines = []
    for name, classification, payload in payloads():
        said = headline(classification, payload)
        lines.append(f"{name}: {said.what} | {said.why}" if said is not None else f"{name}: none")
    return "\n".join([*lines, ""])


def test_what_a_person_reads() -> None:
    assert told() == EXPECTED.read_text()


def test_every_payload_of_ours_has_a_headline_that_fits() -> None:
    found = [headline(classification, payload) for _, classification, payload in payloads()]
    assert len(found) > 60
    assert all(each is not None and 0 < len(each.what) <= WHAT_MAX and len(each.why) <= WHY_MAX for each in found)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("boots/panic", "The last boot ended by a panic | pstore has its last words: Kernel panic"),
        ("boots/kernel_update", "The last boot ended in order, for another kernel (reboot) | Linux 6.1.0-1"),
        ("journal/systemd-252-killed/1", "one.service failed | ExecStart was killed by SIGKILL"),
        ("journal/systemd-252-flapping/1", "flap.service failed 6 times | ExecStart exited with status 1"),
        ("journal/systemd-252-coredump/1", "sleep crashed: SIGSEGV | in __GI___clock_nanosleep; of dozing.service"),
        ("kernel/debian-6.1-oom-unit/1", "tail was killed for want of memory | it had 8,080 KiB; the limit of eater"),
        ("kernel/debian-6.1-null/1", "Kernel: BUG: kernel NULL pointer dereference, address: 0x8 | at provoke_null"),
    ],
)  # fmt: skip
def test_by_eye(name: str, line: str) -> None:
    assert f"\n{name}: {line}" in f"\n{told()}"


@pytest.mark.parametrize("name", ["boots/panic", "journal/systemd-252-exit/1", "kernel/debian-6.1-oom-unit/1"])
def test_one_that_is_cut_anywhere_has_none_or_a_whole_one(name: str) -> None:
    [(classification, payload)] = [(each, text) for found, each, text in payloads() if found == name]
    whole = headline(classification, payload)
    end = len(payload.partition("\n")[0])
    assert all(headline(classification, payload[:at]) is None for at in range(end))
    assert headline(classification, payload[:end]) == whole


if __name__ == "__main__":
    EXPECTED.write_text(told())
