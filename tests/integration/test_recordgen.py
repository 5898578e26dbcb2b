# SPDX-License-Identifier: Apache-2.0
"""telem-record-gen as a program: what it sends, prints, says and returns."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from peer import Answer, Peer, StateRoot, state_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 60
START = "import sys; from telemetry_probes.recordgen import main; sys.exit(main(sys.argv))"
EVENT_ID = "5de9de8d5f3c6a7d445d75ba01cc3322"


@pytest.fixture
def root() -> Iterator[StateRoot]:
    with state_root() as found:
        yield found


def recordgen(*arguments: str | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", START, *arguments], input=stdin, capture_output=True, timeout=TIMEOUT_S
    )


def test_every_option_arrives(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        done = recordgen(
            "-f", str(root.config_file), "-c", "a/b/c", "-s", "3", "-p", "text", "-R", "4000000000", "-e", EVENT_ID
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (received,) = peer.received
    assert received.classification == "a/b/c"
    assert (received.severity, received.payload_version, received.payload_kind) == (3, 4_000_000_000, 0)
    assert received.event_id.hex() == EVENT_ID
    assert received.payload == b"text"


def test_long_names_and_defaults(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        done = recordgen("--config-file", str(root.config_file), "--class=a/b/c", "--payload=", "--record-version=2")
    assert (done.returncode, done.stderr) == (0, b"")
    (received,) = peer.received
    assert (received.severity, received.payload_version, received.payload) == (1, 2, b"")
    assert received.event_id != bytes(16)


def test_file_before_text_before_standard_input(root: StateRoot, tmp_path: Path) -> None:
    file = tmp_path / "payload"
    file.write_bytes(b"file")
    common = ("-f", str(root.config_file), "-c", "a/b/c")
    with Peer(root.socket) as peer:
        assert recordgen(*common, "-P", str(file), "-p", "text", stdin=b"stdin").returncode == 0
        assert recordgen(*common, "-p", "text", stdin=b"stdin").returncode == 0
        assert recordgen(*common, stdin=b"stdin").returncode == 0
    assert [received.payload for received in peer.received] == [b"file", b"text", b"stdin"]


@pytest.mark.parametrize("size", [0, 1, 8187, 8188, 8192, 8193, 65535, 65536])
def test_payloads_arrive_whole(root: StateRoot, size: int) -> None:
    body = bytes(i % 95 + 32 for i in range(size))
    with Peer(root.socket) as peer:
        done = recordgen("-f", str(root.config_file), "-c", "a/b/c", stdin=body)
    assert (done.returncode, done.stderr) == (0, b"")
    assert peer.received[0].payload == body


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"x" * 65537, b"x" * 65536),
        (b"x" * 200_000, b"x" * 65536),
        (b"x" * 65535 + "é".encode(), b"x" * 65535),
        (b"x" * 65533 + "\U0001f600".encode(), b"x" * 65533),
        (b"x" * 65532 + "\U0001f600".encode() + b"y", b"x" * 65532 + "\U0001f600".encode()),
        (b"\x80" * 70_000, b"\x80" * 65536),
    ],
    ids=["one-more", "many-more", "in-a-character", "in-a-long-character", "after-a-character", "no-text"],
)
def test_payloads_over_the_limit_are_cut_and_it_is_said(root: StateRoot, body: bytes, sent: bytes) -> None:
    with Peer(root.socket) as peer:
        done = recordgen("-f", str(root.config_file), "-c", "a/b/c", stdin=body)
    assert done.returncode == 0
    assert b"over 65536 bytes, ignoring the rest" in done.stderr
    assert peer.received[0].payload == sent


def test_any_bytes(root: StateRoot, tmp_path: Path) -> None:
    file = tmp_path / "payload"
    file.write_bytes(b"\0\xff\n")
    with Peer(root.socket) as peer:
        assert recordgen("-f", str(root.config_file), "-c", "a/b/c", "-P", str(file)).returncode == 0
        assert recordgen("-f", str(root.config_file), "-c", "a/b/c", "-p", b"\xff\xfe").returncode == 0
    assert [received.payload for received in peer.received] == [b"\0\xff\n", b"\xff\xfe"]


def test_echo(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        done = recordgen("-of", str(root.config_file), "-c", "a/b/c", "-p", "one\n\ntwo", "-e", EVENT_ID, "-s2")
    header, _, body = done.stdout.decode().partition("\n\n")
    lines = [line.partition(": ")[::2] for line in header.splitlines()]
    assert [name for name, _ in lines] == [
        "record_format_version", "classification", "severity", "machine_id", "creation_timestamp", "arch", "host_type",
        "build", "kernel_version", "payload_format_version", "system_name", "board_name", "cpu_model", "bios_version",
        "event_id", "record_id",
    ]  # fmt: skip
    values = dict(lines)
    (received,) = peer.received
    assert values["classification"] == "a/b/c"
    assert values["severity"] == "2"
    assert values["event_id"] == EVENT_ID
    assert values["record_id"] == received.record_id.hex()
    assert values["creation_timestamp"] == str(received.created_us // 1_000_000)
    assert body == "one\n\ntwo\n"


def test_echo_that_nobody_reads(root: StateRoot) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with Peer(root.socket) as peer, open(writing, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", START, "-of", str(root.config_file), "-c", "a/b/c", "-p", "x"],
            stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT_S,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(peer.received) == 1


def test_no_post(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        done = recordgen("-n", "-o", "-f", str(root.config_file), "-c", "a/b/c", "-p", "x")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"classification: a/b/c\n" in done.stdout
    assert peer.received == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-p", "x"], "classification is needed"),
        (["-c", "a/b"], "classification: domain/probe/kind"),
        (["-c", "a/../c"], "none of them . or .."),
        (["-c", "a/b/c", "-s", "0"], "-s: "),
        (["-c", "a/b/c", "-s", "5"], "from 1 to 4"),
        (["-c", "a/b/c", "-s", "two"], "-s: "),
        (["-c", "a/b/c", "-s", "²"], "-s: "),
        (["-c", "a/b/c", "-R", "-1"], "-R: "),
        (["-c", "a/b/c", "-R", "4294967296"], "-R: "),
        (["-c", "a/b/c", "-R", "9" * 5000], "-R: "),
        (["-c", "a/b/c", "-e", EVENT_ID[1:]], "-e: "),
        (["-c", "a/b/c", "-e", EVENT_ID.upper()], "-e: "),
        (["-c", "a/b/c", "-P", "/proc/nonexistent"], "/proc/nonexistent can't be read: No such file or directory"),
        (["-c", "a/b/c", "-P", "/"], "/ can't be read: Is a directory"),
        (["-c", "a/b/c", "-f", "/proc/nonexistent"], "configuration file '/proc/nonexistent'"),
        (["-c"], "-c needs a value"),
        (["-q"], "unknown option -q"),
        (["-c", "a/b/c", "more"], "unexpected argument"),
    ],
)
def test_wrong_arguments(arguments: list[str], complaint: str) -> None:
    done = recordgen(*arguments)
    assert (done.returncode, done.stdout) == (1, b"")
    assert complaint in done.stderr.decode()
    assert done.stderr.startswith(b"telem-record-gen: ")
    assert done.stderr.count(b"\n") == 1


def test_failures_to_send(root: StateRoot) -> None:
    arguments = ("-f", str(root.config_file), "-c", "a/b/c", "-p", "secret")
    missing = recordgen(*arguments)
    with Peer(root.socket, [Answer(2, 17)]):
        refused = recordgen(*arguments)
    assert (missing.returncode, refused.returncode) == (1, 1)
    assert f"`telemctl -f {root.config_file} start`" in missing.stderr.decode()
    assert b"refused the record (rate-limit)" in refused.stderr
    assert f"`telemctl -f {root.config_file} status`" in refused.stderr.decode()
    assert b"secret" not in missing.stderr + refused.stderr


def test_help_fits_a_screen() -> None:
    done = recordgen("--help")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for letter in "scpPReonfhV":
        assert f"  -{letter}, --" in done.stdout.decode()
