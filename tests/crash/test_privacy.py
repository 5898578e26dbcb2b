# SPDX-License-Identifier: Apache-2.0
"""What may be told of a crash, by paths and by what is known of the process's rights."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from telemetry_probes.crash import examine, privacy
from telemetry_probes.crash.live import Live


@pytest.mark.parametrize(
    ("path", "classification", "severity", "backtrace"),
    [
        ("/usr/bin/true", privacy.SYSTEM, 3, True),
        ("/usr/lib/systemd/systemd", privacy.SYSTEM, 3, True),
        ("/bin/true", privacy.SYSTEM, 3, True),
        ("/usr/local/bin/mine", privacy.THIRD_PARTY, 2, False),
        ("/home/me/a.out", privacy.THIRD_PARTY, 2, False),
        ("/opt/vendor/x", privacy.THIRD_PARTY, 2, False),
        ("/usr/../home/me/a.out", privacy.THIRD_PARTY, 2, False),
        ("/usr/bin/../local/bin/mine", privacy.THIRD_PARTY, 2, False),
        ("usr/bin/true", privacy.THIRD_PARTY, 2, False),
        ("", privacy.THIRD_PARTY, 2, False),
        ("/usrlocal/x", privacy.THIRD_PARTY, 2, False),
        ("/builddir/build/BUILD/foo/conftest", privacy.BUILD, 2, False),
        ("/var/lib/mock/root/builddir/build/BUILD/foo/a.out", privacy.BUILD, 2, False),
    ],
)
def test_the_executables_path_decides(path: str, classification: str, severity: int, backtrace: bool) -> None:
    decision = privacy.decide(path, lifted=False)
    assert (decision.classification, decision.severity, decision.backtrace) == (classification, severity, backtrace)
    assert bool(decision.text) == bool(decision.rule) == (not backtrace)


@pytest.mark.parametrize("path", ["/home/me/a.out", "/builddir/build/BUILD/foo/a.out", ""])
def test_lifted_filters_let_everything_through(path: str) -> None:
    decision = privacy.decide(path, lifted=True)
    assert decision.backtrace and decision.classification == privacy.SYSTEM


def test_exclamation_marks_stand_for_slashes() -> None:
    assert privacy.executable_path("!usr!bin!true") == "/usr/bin/true"
    assert privacy.executable_path("/usr/bin/what!") == "/usr/bin/what!"


def test_names_of_modules_and_sources() -> None:
    assert privacy.module_name("/usr/lib/libc.so.6", lifted=False) == "/usr/lib/libc.so.6"
    assert privacy.module_name("[vdso]", lifted=False) == "[vdso]"
    assert privacy.module_name("/home/me/secret.so", lifted=False) == privacy.HIDDEN
    assert privacy.module_name("/home/me/secret.so", lifted=True) == "/home/me/secret.so"
    assert privacy.source_name("/home/me/project/x.c", lifted=False) == "x.c"
    assert privacy.source_name("./nptl/pthread_kill.c", lifted=False) == "./nptl/pthread_kill.c"
    assert privacy.is_own_script("/home/me/app.py") and not privacy.is_own_script("/usr/lib/python3/x.py")
    assert not privacy.is_own_script("<frozen importlib._bootstrap>") and privacy.is_own_script("app.py")


def test_where_the_core_does_not_say_whether_it_has_other_rights_it_may(tmp_path: Path) -> None:
    """AT_SECURE stands in the notes, which can be lost: the process is killed while they are read, or it takes long."""
    (tmp_path / "core").touch()
    with (tmp_path / "core").open("rb") as core:
        live = Live(None, 1234, False, {}, lambda: None)
        found = examine.examine(core.fileno(), examine.Asked("x", "/usr/bin/x", 11), True, time.monotonic, live=live)
    assert found.report is not None
    assert privacy.RULE_GUARDED in found.report.flags
