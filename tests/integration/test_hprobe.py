# SPDX-License-Identifier: Apache-2.0
"""hprobe as a program: what it sends, says and returns."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from peer import Answer, Peer, StateRoot, state_root

import telemetry_probes
from telemetry_probes.hprobe import PAYLOAD_CHARS_MAX, payload, read_bundles

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 60
START = "import sys; from telemetry_probes.hprobe import main; sys.exit(main(sys.argv))"
SENT = "Successfully sent record to daemon.\n"


@pytest.fixture
def root() -> Iterator[StateRoot]:
    with state_root() as found:
        yield found


def hprobe(*arguments: str, lc_all: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "LC_ALL": lc_all},
    )


@pytest.mark.parametrize(
    ("arguments", "classification"),
    [
        ([], "org.clearlinux/hello/world"),
        (["-H"], "org.clearlinux/heartbeat/ping"),
        (["--heartbeat"], "org.clearlinux/heartbeat/ping"),
    ],
)
def test_sends_one_record(root: StateRoot, arguments: list[str], classification: str) -> None:
    with Peer(root.socket) as peer:
        done = hprobe("-f", str(root.config_file), *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, SENT, "")
    (received,) = peer.received
    assert received.classification == classification
    assert received.payload == b"hello\n"
    assert (received.severity, received.payload_version, received.payload_kind) == (1, 1, 0)
    assert received.attributes == b""


def test_facts_that_are_asked_for(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        done = hprobe("-lubf", str(root.config_file), lc_all="C.UTF-8")
    assert (done.returncode, done.stderr) == (0, "")
    hello, locale, uptime, bundles, *names = peer.received[0].payload.decode().splitlines()
    assert hello == "hello"
    assert locale == "LC_ALL: C.UTF-8"
    assert uptime.startswith("uptime: ")
    proc = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 < int(uptime.removeprefix("uptime: ")) <= proc
    assert bundles == f"Bundles ({len(names)}):"


@pytest.mark.parametrize("option", ["--config-file={}", "--config_file={}", "--conf={}", "-f{}"])
def test_ways_to_give_the_configuration_file(root: StateRoot, option: str) -> None:
    with Peer(root.socket) as peer:
        done = hprobe(option.format(root.config_file))
    assert done.returncode == 0
    assert len(peer.received) == 1


def test_unknown_locale_is_c(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        hprobe("-l", "-f", str(root.config_file), lc_all="xx_XX.nonsense")
    assert peer.received[0].payload == b"hello\nLC_ALL: C\n"


def test_refusal(root: StateRoot) -> None:
    with Peer(root.socket, [Answer(2, 16)]):
        done = hprobe("-f", str(root.config_file))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"hprobe: telemd refused the record (no-space): see `telemctl -f {root.config_file} status`\n"


def test_no_telemd(root: StateRoot) -> None:
    done = hprobe("-f", str(root.config_file))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"`telemctl -f {root.config_file} start`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_not_opted_in() -> None:
    with state_root(opted_in=False) as root, Peer(root.socket) as peer:
        done = hprobe("-f", str(root.config_file))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"`telemctl -f {root.config_file} opt-in`" in done.stderr
    assert peer.received == []


@pytest.mark.parametrize("broken", ["[settings", 'server = "http://h/\nstate_root = "/"', "[settings]\nx = '"])
def test_broken_configuration_is_what_is_told(broken: str) -> None:
    with state_root() as root:
        good = root.config_file.read_text()
        root.config_file.write_text(f"{broken}\n{good}")
        done = hprobe("-f", str(root.config_file))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"`telemctl -f {root.config_file} config check`" in done.stderr
    assert "opt-in" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_advice_can_be_typed_whatever_the_file_is_called() -> None:
    with state_root() as root:
        odd = root.path / "it's a file.conf"
        odd.write_text(root.config_file.read_text())
        done = hprobe("-f", str(odd))
    said = done.stderr.partition("`")[2].partition("`")[0]
    assert shlex.split(said) == ["telemctl", "-f", str(odd), "start"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-x"], "unknown option -x"),
        (["--nonsense"], "unknown option --nonsense"),
        (["-f"], "-f needs a value, FILE"),
        (["--config-file"], "--config-file needs a value, FILE"),
        (["--heartbeat=1"], "--heartbeat takes no value"),
        (["--he"], "--he may be --heartbeat or --help"),
        (["word"], "unexpected argument 'word'"),
        (["-f", "/proc/nonexistent"], "'/proc/nonexistent': No such file or directory; name one that exists"),
        (["-f", ""], "absolute path"),
        (["-f", "nonexistent/relative"], "/nonexistent/relative': No such file or directory"),
    ],
)
def test_wrong_arguments(arguments: list[str], complaint: str) -> None:
    done = hprobe(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert done.stderr.startswith("hprobe: ")
    assert "Traceback" not in done.stderr


def test_a_configuration_file_may_be_named_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.conf").write_text(f'[settings]\nstate_root = "{tmp_path}"\n')
    monkeypatch.chdir(tmp_path)
    done = hprobe("-f", "own.conf")
    assert done.returncode == 1
    assert f"telemctl -f {tmp_path}/own.conf opt-in" in done.stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_fits_a_screen(option: str) -> None:
    done = hprobe(option)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for name in ("-f, --config-file", "-H, --heartbeat", "-l, --locale", "-u, --uptime", "-b, --bundles"):
        assert name in done.stdout


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version_is_the_projects(option: str) -> None:
    build = (Path(__file__).parents[2] / "meson.build").read_text()
    assert hprobe(option).stdout == f"{telemetry_probes.VERSION}\n"
    assert f"version: '{telemetry_probes.VERSION}'" in build


def test_payload_is_cut_at_a_line() -> None:
    names = [f"bundle-{i:04}" for i in range(900)]
    text = payload("C", 12, names)
    assert len(text) <= PAYLOAD_CHARS_MAX
    lines = text.splitlines()
    assert lines[:4] == ["hello", "LC_ALL: C", "uptime: 12", "Bundles (900):"]
    assert lines[4:] == names[: len(lines) - 4]
    assert len(text) + len("bundle-0000\n") > PAYLOAD_CHARS_MAX


def test_bundles_are_files_by_name(tmp_path: Path) -> None:
    for name in ("os-core", "editors", "with\nnewline"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert read_bundles(str(tmp_path)) == ["editors", "os-core"]
    assert read_bundles(str(tmp_path / "none")) == []
