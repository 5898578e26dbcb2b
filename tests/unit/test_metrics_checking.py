# SPDX-License-Identifier: Apache-2.0
"""What `metricprobe --check` finds: all that is wrong at once, each with file, line and what to write instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from telemetry_probes.metrics import checking, discovery, listen, settings
from telemetry_probes.metrics.checking import Findings
from telemetry_probes.metrics.places import Places


def checked(where: Path, text: str, environment: dict[str, str] | None = None, root: str = "") -> Findings:
    file = where / "t.conf"
    file.write_text(text)
    (where / "empty").mkdir(exist_ok=True)
    return checking.checked(settings.wanted((str(file),), environment or {}), Places(root or str(where / "empty")))


def test_every_mistake_is_told(tmp_path: Path) -> None:
    text = """\
[settings]
server = "http://h/"
[metrics]
collectors = "cpu,momory"
listen = "0.0.0.0:9101"
lisen = ""
[metrics.cpu]
interval_s = 0
intervall_s = 1
[metrics.dsikio]
[metrics.network]
nics = 3
[metrics.http]
endpoints = ["shop=ftp://h/"]
[metrics.statsd]
socket = "relative"
[metrics.services]
units = []
[metrics.own]
folder = "metrics.d"
"""
    found = checked(tmp_path, text)
    places = [each.removeprefix(f"{tmp_path}/t.conf:").partition(": ") for each in found.mistakes]
    assert sorted((int(line), rest.partition(": ")[0]) for line, _, rest in places) == [
        (4, "[metrics] collectors"),
        (5, "[metrics] listen"),
        (6, "[metrics] lisen"),
        (8, "[metrics.cpu] interval_s"),
        (9, "[metrics.cpu] intervall_s"),
        (10, "[metrics.dsikio]"),
        (12, "[metrics.network] nics"),
        (14, "[metrics.http] endpoints"),
        (16, "[metrics.statsd] socket"),
        (18, "[metrics.services] units"),
        (20, "[metrics.own] folder"),
    ]
    assert all("; " in each for each in found.mistakes)
    assert json.loads(found.document())["ok"] is False


def test_what_is_good_is_counted(tmp_path: Path) -> None:
    found = checked(tmp_path, "[metrics]\ncollectors = '-gpu'\n[metrics.http]\nendpoints = ['a=http://127.0.0.1/']\n")
    assert (found.mistakes, found.warnings) == ([], [])
    assert found.text() == f"{tmp_path}/t.conf: good, 2 settings of metrics in force\n"
    document = json.loads(found.document())
    in_force = document.pop("settings")
    assert document == {"ok": True, "files": [f"{tmp_path}/t.conf"], "mistakes": [], "warnings": []}
    assert [tuple(each.values()) for each in in_force] == [
        ("", "collectors", "-gpu", f"{tmp_path}/t.conf"),
        ("http", "endpoints", ["a=http://127.0.0.1/"], f"{tmp_path}/t.conf"),
    ]
    assert "nothing is said of metrics" in checked(tmp_path, "[settings]\n").text()


def test_of_what_is_in_force_its_origin_is_told(tmp_path: Path) -> None:
    text = "[metrics.cpu]\ninterval_s = 7\n[metrics.memory]\ninterval_s = 0\nenabled = false\n"
    found = checked(tmp_path, text, {"TELEMETRICS_CPU_INTERVAL_S": "9", "TELEMETRICS_NETWORK_ENABLED": "no"})
    assert [each[:3] for each in found.in_force] == [
        ("cpu", "interval_s", 9), ("memory", "enabled", False), ("network", "enabled", False)
    ]  # fmt: skip
    assert [each[3] for each in found.in_force] == [
        "TELEMETRICS_CPU_INTERVAL_S", f"{tmp_path}/t.conf", "TELEMETRICS_NETWORK_ENABLED"
    ]  # fmt: skip
    assert len(found.mistakes) == 1


def test_every_endpoint_that_is_none_is_told(tmp_path: Path) -> None:
    text = '[metrics.http]\nendpoints = ["one=ftp://h/", "two=http://127.0.0.1/", "three", "=x"]\n'
    assert len(checked(tmp_path, text).mistakes) == 3
    [twice] = checked(tmp_path, '[metrics.http]\nendpoints = ["a=http://127.0.0.1/", "a=unix:/s:/"]\n').mistakes
    assert "the same name" in twice


@pytest.mark.parametrize(
    "text",
    [
        "[metrics.own]\nfolder = '/x\\u0000y'\n",
        "[metrics.own]\ntext_files = '/x\\u0000y'\n",
        "[metrics.statsd]\nsocket = '/x\\u0000y'\n",
        "[metrics]\nlisten = 'unix:/x\\u0000y'\n",
    ],
)
def test_no_path_has_a_nul_in_it(text: str, tmp_path: Path) -> None:
    assert len(checked(tmp_path, text.replace("'", '"')).mistakes) == 1


def test_the_environment_is_looked_at(tmp_path: Path) -> None:
    [mistake] = checked(tmp_path, "", {"TELEMETRICS_CPU_INTERVAL_S": "often"}).mistakes
    assert mistake.startswith("TELEMETRICS_CPU_INTERVAL_S: this can't be its value; write a number of seconds")


def test_many_mistakes_are_bounded_in_number_and_time(tmp_path: Path) -> None:
    rows = "\n".join(f"k{number} = 1" for number in range(4000))
    found = checked(tmp_path, f"[metrics.cpu]\n{rows}\n")
    assert len(found.mistakes) == settings.MISTAKES_MAX


def test_names_and_values_are_shown_harmlessly(tmp_path: Path) -> None:
    [mistake] = checked(tmp_path, f'[metrics.cpu]\n"\\u001b[2J{"x" * 500}" = "hunter2"\n').mistakes
    assert "\x1b" not in mistake
    assert len(mistake) < 300 + len(str(tmp_path))
    assert "hunter2" not in mistake


def test_what_is_no_program_is_nobody_s_mistake(tmp_path: Path) -> None:
    folder = tmp_path / "etc/telemetrics/metrics.d"
    (folder / "folder").mkdir(parents=True)
    (folder / "folder").chmod(0o775)
    (folder / "dangling").symlink_to("nothing")
    for number in range(80):
        (folder / f"README{number}").touch(0o644)
    (folder / "a_program").touch(0o755)
    found = checked(tmp_path, "", root=str(tmp_path))
    assert (found.mistakes, len(found.warnings)) == ([], 80)
    program = folder / "z_program"
    program.touch()
    program.chmod(0o777)
    [mistake] = checked(tmp_path, "", root=str(tmp_path)).mistakes
    assert "z_program: others could change it" in mistake
    assert checked(tmp_path, "[metrics]\ncollectors = '-own'\n", root=str(tmp_path)).mistakes == []


def test_programs_that_are_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "etc/telemetrics/metrics.d"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    for name, mode in (("good", 0o755), ("open", 0o777), ("README", 0o644), (".hidden", 0o777), ("a.prom", 0o666)):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(mode)
    found = checked(tmp_path, "", root=str(tmp_path))
    shown = "/etc/telemetrics/metrics.d"
    assert found.mistakes == [f"{shown}/open: others could change it, so that it isn't run; chown root, chmod go-w"]
    assert [each.partition(": ")[0] for each in found.warnings] == [f"{shown}/README"]
    folder.chmod(0o777)
    assert checked(tmp_path, "", root=str(tmp_path)).mistakes[0].startswith(f"{shown}: others could change it")
    assert checked(tmp_path, "[metrics.own]\nenabled = false\n", root=str(tmp_path)).mistakes == []


@pytest.mark.parametrize("address", ["unix:/run/m.sock", "127.0.0.1:9101", "[::1]:0", "localhost:65535"])
def test_addresses_to_listen_at(address: str) -> None:
    assert listen.mistaken(address) == ""


@pytest.mark.parametrize(
    "address", ["unix:", "unix:m", "unix:/" + "x" * 107, "0.0.0.0:1", "127.0.0.1:", "h:65536", ":1"]
)
def test_addresses_that_are_none(address: str) -> None:
    assert listen.mistaken(address)


@pytest.mark.parametrize("name", discovery.names())
def test_the_defaults_of_every_collector_are_good(name: str, tmp_path: Path) -> None:
    kind = discovery.kind(name)
    assert kind.wrong is None or not kind.wrong({choice.name: choice.default for choice in kind.options})
    assert checked(tmp_path, f"[metrics.{name}]\nenabled = true\n").mistakes == []
