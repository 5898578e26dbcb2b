# SPDX-License-Identifier: Apache-2.0
"""How a boot ended, scene by scene: what was left behind, and what a person would say to it."""

from __future__ import annotations

import itertools

import pytest

from telemetry_probes.boots import marks, verdict, watchdogs
from telemetry_probes.boots.evidence import CUT, GOING_DOWN, STOPPED, Evidence, JournalEnd, KernelReport, Watchdog
from telemetry_probes.boots.wtmp import Word
from telemetry_probes.kernel.patterns import BUG, HANG, PANIC, WARNING

EVENT = bytes(range(16))
BOOT = "0f" * 16


def known(
    *,
    mark: str = "",
    mark_s: int = 5000,
    watched: bool = False,
    journal: str = "",
    how: str = "",
    asleep: bool = False,
    wtmp: bool | None = None,
    before: str = "",
    build_before: str = "",
    dumps: int = 0,
) -> Evidence:
    found = Evidence()
    found.release, found.build = "6.2.0", "#2"
    found.release_before, found.build_before = before, build_before
    found.watched = watched
    if mark:
        found.mark = marks.Mark(BOOT, mark, mark_s)
        found.watched = mark != marks.STOPPED
    if journal:
        found.journal = JournalEnd(BOOT, journal, how)
        found.journal.asleep = asleep
    if wtmp is not None:
        found.wtmp = Word(wtmp, 1000, 5000 if wtmp else 0, before)
    found.dumps = dumps
    return found


def report(kind: str, classification: str, reason: str = "it broke", **when: int) -> KernelReport:
    return KernelReport(kind, classification, reason, "", EVENT, **when)


def short(evidence: Evidence) -> tuple[str, str, str]:
    found = verdict.judged(evidence)
    assert found.because
    assert found.reason in verdict.SEVERITIES
    return found.reason, found.confidence, found.how


CERTAIN, LIKELY, GUESS = verdict.CERTAIN, verdict.LIKELY, verdict.GUESS
SCENES = {
    "nothing is known": (known(), ("unknown", CERTAIN, "")),
    "all agree": (known(mark="reboot", journal=STOPPED, how="reboot", wtmp=True), ("clean", CERTAIN, "reboot")),
    "mark alone": (known(mark="poweroff"), ("clean", CERTAIN, "poweroff")),
    "mark, then the power was cut": (known(mark="reboot", journal=CUT, wtmp=False), ("clean", LIKELY, "reboot")),
    "journal alone": (known(journal=STOPPED), ("clean", CERTAIN, "")),
    "journal alone, going down": (known(journal=GOING_DOWN, how="halt"), ("clean", CERTAIN, "halt")),
    "wtmp alone": (known(wtmp=True), ("clean", CERTAIN, "")),
    "not asked at the end, journal says so": (
        known(watched=True, journal=STOPPED, how="reboot"), ("clean", LIKELY, "reboot")),
    "wtmp against the journal": (known(journal=CUT, wtmp=True), ("clean", LIKELY, "")),
    "mark says only that it goes down": (
        known(mark="shutdown", journal=GOING_DOWN, how="kexec"), ("clean", CERTAIN, "kexec")),
    "stopped alone, nothing else": (known(mark="stopped"), ("unknown", CERTAIN, "")),
    "stopped alone, cut": (known(mark="stopped", journal=CUT), ("power-loss", GUESS, "")),
    "another kernel": (known(mark="reboot", before="6.1.0"), ("kernel-update", CERTAIN, "reboot")),
    "another build": (known(mark="kexec", before="6.2.0", build_before="#1"), ("kernel-update", CERTAIN, "kexec")),
    "the same kernel": (known(mark="reboot", before="6.2.0", build_before="#2"), ("clean", CERTAIN, "reboot")),
    "another kernel after a poweroff": (known(mark="poweroff", before="6.1.0"), ("clean", CERTAIN, "poweroff")),
    "another kernel after a cut": (known(watched=True, journal=CUT, before="6.1.0"), ("power-loss", LIKELY, "")),
    "all say cut": (known(watched=True, journal=CUT, wtmp=False), ("power-loss", LIKELY, "")),
    "no mark alone": (known(watched=True), ("power-loss", GUESS, "")),
    "journal cut alone": (known(journal=CUT), ("power-loss", GUESS, "")),
    "wtmp alone, no shutdown": (known(wtmp=False), ("power-loss", GUESS, "")),
    "asleep": (known(watched=True, journal=CUT, asleep=True, wtmp=False), ("suspend", LIKELY, "")),
    "asleep, but it ended in order": (known(mark="reboot", journal=STOPPED, asleep=True), ("clean", CERTAIN, "reboot")),
    "kdump": (known(watched=True, journal=CUT, dumps=1), ("panic", CERTAIN, "")),
    "kdump of another day": (known(mark="reboot", dumps=1), ("clean", CERTAIN, "reboot")),
}  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
def test_scene(scene: str) -> None:
    evidence, expected = SCENES[scene]
    assert short(evidence) == expected


def test_a_kernel_that_cant_be_read_is_no_other() -> None:
    evidence = known(mark="reboot", before="6.1.0")
    evidence.release = ""
    assert short(evidence)[0] == "clean"


def test_panic_in_pstore_is_certain_and_has_its_event() -> None:
    evidence = known(watched=True, journal=CUT, wtmp=False)
    evidence.panics = [report("null-pointer", BUG, when_s=5000), report("panic", PANIC, "Fatal exception", when_s=5000)]
    found = verdict.judged(evidence)
    assert (found.reason, found.confidence, found.event) == ("panic", CERTAIN, EVENT)
    assert found.because == ["pstore has its last words: Fatal exception"]


def test_an_oops_alone_in_pstore_is_no_end() -> None:
    evidence = known(mark="reboot", journal=STOPPED)
    evidence.panics = [report("null-pointer", BUG, when_s=4000)]
    assert short(evidence)[0] == "clean"


def test_panic_as_it_was_going_down() -> None:
    evidence = known(mark="reboot", mark_s=5000)
    evidence.panics = [report("panic", PANIC, when_s=5003)]
    found = verdict.judged(evidence)
    assert found.reason == "panic"
    assert "going down already" in found.because[1]


def test_panic_of_a_day_before_the_mark_is_another_boots() -> None:
    evidence = known(mark="reboot", mark_s=90_000)
    evidence.panics = [report("panic", PANIC, when_s=4000)]
    assert short(evidence) == ("clean", CERTAIN, "reboot")


def test_panic_that_the_journal_has() -> None:
    evidence = known(journal=CUT)
    assert evidence.journal is not None
    evidence.journal.reports = [report("panic", PANIC, before_end_s=0)]
    assert short(evidence)[:2] == ("panic", CERTAIN)


@pytest.mark.parametrize(
    ("kind", "classification", "before_s", "reason"),
    [
        ("null-pointer", BUG, 3, "panic"),
        ("null-pointer", BUG, 300, "power-loss"),
        ("soft-lockup", HANG, 300, "hang"),
        ("soft-lockup", HANG, 1300, "power-loss"),
        ("warning", WARNING, 1, "power-loss"),
    ],
)
def test_what_the_kernel_said_shortly_before(kind: str, classification: str, before_s: int, reason: str) -> None:
    evidence = known(watched=True, journal=CUT)
    assert evidence.journal is not None
    evidence.journal.reports = [report(kind, classification, before_end_s=before_s)]
    found = verdict.judged(evidence)
    assert found.reason == reason
    assert found.event == (b"" if reason == "power-loss" else EVENT)


def test_a_fault_before_an_end_in_order_is_not_its_reason() -> None:
    evidence = known(mark="reboot", journal=STOPPED)
    assert evidence.journal is not None
    evidence.journal.reports = [report("null-pointer", BUG, before_end_s=3)]
    assert short(evidence)[0] == "clean"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (watchdogs.FIRED, "watchdog"),
        (watchdogs.OVERHEATED, "overheated"),
        (watchdogs.POWER, "power-loss"),
        (watchdogs.BUTTON, "reset"),
        (watchdogs.ERROR, "reset"),
        (watchdogs.SOFTWARE, "power-loss"),
    ],
)
@pytest.mark.parametrize("by", ["watchdog", "processor"])
def test_what_hardware_says(cause: str, reason: str, by: str) -> None:
    evidence = known(watched=True, journal=CUT)
    if by == "watchdog":
        evidence.watchdogs = [Watchdog("iTCO_wdt", ()), Watchdog("", (cause,))]
    else:
        evidence.reset = [cause]
    assert short(evidence)[0] == reason


def test_a_watchdog_that_says_so_after_every_boot() -> None:
    evidence = known(mark="reboot", journal=STOPPED, wtmp=True)
    evidence.watchdogs = [Watchdog("w", (watchdogs.FIRED,))]
    assert short(evidence) == ("clean", CERTAIN, "reboot")


def test_a_watchdog_that_ended_a_shutdown_that_hung() -> None:
    evidence = known(mark="reboot", journal=CUT, wtmp=False)
    evidence.watchdogs = [Watchdog("w", (watchdogs.FIRED,))]
    assert short(evidence) == ("watchdog", LIKELY, "")


def test_too_hot_and_it_went_down_in_order() -> None:
    evidence = known(journal=STOPPED, how="poweroff")
    assert evidence.journal is not None
    hot = "thermal thermal_zone0: critical temperature reached, shutting down"
    evidence.journal.reports = [report("thermal", "hardware", hot, before_end_s=9)]
    assert short(evidence) == ("overheated", LIKELY, "poweroff")


def test_every_combination_has_a_verdict_and_words() -> None:
    for mark, watched, journal, wtmp, dumps, asleep, before in itertools.product(
        ("", "reboot", "stopped"), (False, True), ("", CUT, STOPPED), (None, False, True), (0, 2), (False, True),
        ("", "6.1"),
    ):  # fmt: skip
        evidence = known(
            mark=mark, watched=watched, journal=journal, wtmp=wtmp, dumps=dumps, asleep=asleep, before=before
        )
        reason, confidence, _ = short(evidence)
        assert confidence in (CERTAIN, LIKELY, GUESS)
        if mark == "reboot":
            assert reason in ("clean", "kernel-update")
