# SPDX-License-Identifier: Apache-2.0
"""What the owner may say of collectors, in the configuration and in the environment, and how a mistake is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from telemetry_probes.metrics import discovery, settings
from telemetry_probes.metrics.discovery import Kind
from telemetry_probes.metrics.model import COUNTER, Choice, Metric
from telemetry_probes.program import Mistake

KIND = Kind(
    "disk",
    "disks",
    5.0,
    (Metric("x.disk", "1", COUNTER, "Disks"),),
    (
        Choice("nics", "-", "Which."),
        Choice("top", 5, "How many."),
        Choice("share", 0.5, "How much."),
        Choice("all", False, "Whether all."),
        Choice("paths", (), "Where."),
    ),
    True,
    discovery.kind("cpu").collector,
)
NO_VALUE = "this can't be its value"
DEFAULTS = {"nics": "-", "top": 5, "share": 0.5, "all": False, "paths": ()}


def wanted(where: Path, text: str, environment: Mapping[str, str] | None = None) -> settings.Wanted:
    file = where / "t.conf"
    file.write_text(text)
    return settings.wanted((str(file),), environment or {})


def test_nothing_said(tmp_path: Path) -> None:
    chosen = wanted(tmp_path, "[settings]\nserver = 'http://h/'\n").chosen(KIND)
    assert (chosen.enabled, chosen.interval_s, chosen.options) == (True, 5.0, DEFAULTS)


def test_no_file(tmp_path: Path) -> None:
    file = str(tmp_path / "none.conf")
    assert settings.wanted((file,), {}).chosen(KIND).interval_s == 5.0
    with pytest.raises(FileNotFoundError):
        settings.wanted((file,), {}, required=True)


def test_values_of_every_type(tmp_path: Path) -> None:
    text = (
        "[metrics.disk]\ninterval_s = 30\nenabled = false\nnics = 'a'\ntop = 1\nshare = 1\nall = true\npaths = ['/x']\n"
    )
    chosen = wanted(tmp_path, text).chosen(KIND)
    assert (chosen.enabled, chosen.interval_s) == (False, 30.0)
    assert chosen.options == {"nics": "a", "top": 1, "share": 1.0, "all": True, "paths": ("/x",)}


def test_the_environment_holds_over_the_file(tmp_path: Path) -> None:
    environment = {
        "TELEMETRICS_DISK_INTERVAL_S": "2.5",
        "TELEMETRICS_DISK_NICS": "",
        "TELEMETRICS_DISK_TOP": "7",
        "TELEMETRICS_DISK_ALL": "yes",
        "TELEMETRICS_DISK_PATHS": "/a, /b,",
        "TELEMETRICS_DISK_ENABLED": "0",
        "TELEMETRICS_METRICS_COLLECTORS": "disk",
        "TELEMETRICS_OTHER": "x",
    }
    found = wanted(tmp_path, "[metrics.disk]\ninterval_s = 30\nnics = 'a'\n", environment)
    chosen = found.chosen(KIND)
    assert (chosen.enabled, chosen.interval_s) == (False, 2.5)
    assert chosen.options == {"nics": "", "top": 7, "share": 0.5, "all": True, "paths": ("/a", "/b")}
    assert found.names(["cpu", "disk"]) == ["disk"]


def test_a_later_file_holds_over_an_earlier_one(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("distribution", "owner")]
    files[0].write_text("[metrics.disk]\ninterval_s = 30\ntop = 9\n[metrics]\ncollectors = 'disk'\n")
    files[1].write_text("[metrics.disk]\ninterval_s = 60\n")
    found = settings.wanted([str(file) for file in files], {})
    assert found.chosen(KIND).interval_s == 60
    assert found.chosen(KIND).options["top"] == 9
    assert found.names(["cpu", "disk"]) == ["disk"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval_s = 0", f"interval_s: {NO_VALUE}; write a number of seconds from 1 to 86400"),
        ("interval_s = 1e99", f"interval_s: {NO_VALUE}; write a number of seconds"),
        ("interval_s = nan", f"interval_s: {NO_VALUE}; write a number of seconds"),
        ("interval_s = true", f"interval_s: {NO_VALUE}; write a number of seconds"),
        ("interval_s = '5'", f"interval_s: {NO_VALUE}; write a number of seconds"),
        ("enabled = 1", f"enabled: {NO_VALUE}; write true or false"),
        ("top = 1.5", f"top: {NO_VALUE}; write a whole number"),
        ("top = 99999999999999999999", f"top: {NO_VALUE}; write a whole number"),
        ("nics = ['a']", f"nics: {NO_VALUE}; write a text in quotes"),
        ("paths = [1]", f"paths: {NO_VALUE}; write a list of texts"),
        ("paths = 'a'", f"paths: {NO_VALUE}; write a list of texts"),
        ("nisc = 'a'", "nisc: this is not a setting; did you mean nics?"),
        ("qqqq = 'a'", "qqqq: this is not a setting; there are all, enabled, interval_s, nics, paths, share, top"),
    ],
)
def test_mistakes_of_a_collector(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Mistake) as caught:
        wanted(tmp_path, f"# why\n[metrics.disk]\n{text}\n").chosen(KIND)
    assert str(caught.value).startswith(f"{tmp_path}/t.conf:3: [metrics.disk] {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[metrics]\ncollectors = 3", f"t.conf:2: [metrics] collectors: {NO_VALUE}; write a text"),
        (
            "[metrics]\ncolectors = 'a'",
            "t.conf:2: [metrics] colectors: this is not a setting; did you mean collectors?",
        ),
        ("[metrics]\n[[metrics]]", "not TOML"),
        ("\n[[metrics]]", "t.conf:2: metrics: this is no table; write [metrics] on a line of its own"),
        ("[metrics.disk]\nx = ", "not TOML"),
        ("[metrics]\nx = " + "[" * 5000, "not TOML"),
    ],
)
def test_mistakes_of_a_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Mistake) as caught:
        wanted(tmp_path, text).check([])
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["-disk,-network", "-dsik", "disk,dsik", "disk,,x"])
def test_a_list_with_a_collector_that_there_is_not(tmp_path: Path, text: str) -> None:
    with pytest.raises(Mistake, match=r"t.conf:2: \[metrics\] collectors: there is no collector .*-gpu,wifi"):
        wanted(tmp_path, f"[metrics]\ncollectors = '{text}'").check(["disk", "network"])


@pytest.mark.parametrize("text", ["-", "", "-disk, network", "disk,", "net*,x*"])
def test_a_list_of_collectors(tmp_path: Path, text: str) -> None:
    wanted(tmp_path, f"[metrics]\ncollectors = '{text}'").check(["disk", "network"])


def test_a_table_of_a_collector_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"t.conf:1: \[metrics.dsik\]: there is no such collector; did you mean disk"):
        wanted(tmp_path, "[metrics.dsik]\ntop = 1").check(["disk"])
    wanted(tmp_path, "[metrics.disk]\ntop = 1").check(["disk"])


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="^TELEMETRICS_DISK_TOP: this can't be its value; write a whole number$"):
        wanted(tmp_path, "", {"TELEMETRICS_DISK_TOP": "many"}).chosen(KIND)
    with pytest.raises(Mistake, match="^TELEMETRICS_DISK_INTERVAL_S: .* seconds from 1 to"):
        wanted(tmp_path, "", {"TELEMETRICS_DISK_INTERVAL_S": "nan"}).chosen(KIND)


def test_files_that_are_no_text_or_too_large(tmp_path: Path) -> None:
    file = tmp_path / "t.conf"
    file.write_bytes(b"[metrics]\n\xff")
    with pytest.raises(Mistake, match="not UTF-8"):
        settings.wanted((str(file),), {})
    file.write_bytes(b"#" * (settings.FILE_BYTES_MAX + 1))
    with pytest.raises(Mistake, match="larger than 64 KiB"):
        settings.wanted((str(file),), {})


def test_the_original_form_has_no_table(tmp_path: Path) -> None:
    assert wanted(tmp_path, "server=http://h/\nrecord_expiry=10\n").chosen(KIND).interval_s == 5.0


@pytest.mark.parametrize("name", discovery.names())
def test_every_collector_takes_its_defaults(name: str, tmp_path: Path) -> None:
    kind = discovery.kind(name)
    chosen = wanted(tmp_path, "").chosen(kind)
    assert chosen.interval_s == kind.interval_s
    assert set(chosen.options) == {choice.name for choice in kind.options}
