# SPDX-License-Identifier: Apache-2.0
"""What the last entries of a journal say of the end, and who is not believed."""

from __future__ import annotations

import pytest

from telemetry_probes.boots import journalend
from telemetry_probes.boots.evidence import CUT, GOING_DOWN, STOPPED, JournalEnd
from telemetry_probes.boots.journalend import Entry

SECRET = bytes(32)
END_US = 2_000_000_000


def at(before_s: float) -> int:
    return END_US - int(before_s * 1_000_000)


def said(text: str = "something", before_s: float = 0, unit: str = "a.service", **more: object) -> Entry:
    return Entry(at(before_s), str(more.pop("transport", "journal")), text, unit=unit, **more)  # type: ignore[arg-type]


def reached(target: str, before_s: float = 0, **more: object) -> Entry:
    return said(
        f"Reached target {target}", before_s, "init.scope", message_id=journalend.UNIT_STARTED, target=target, **more
    )


def stopped() -> Entry:
    return said(
        "Journal stopped", 0, "systemd-journald.service", message_id=journalend.JOURNAL_STOPPED, transport="driver"
    )


def kernel(text: str, before_s: float, kernel_us: int = 1) -> Entry:
    return said(text, before_s, "", transport="kernel", kernel_us=kernel_us)


def ending(*entries: Entry, lifted: bool = False) -> JournalEnd:
    of_kernel = [each for each in entries if each.transport == "kernel"]
    return journalend.ending("b" * 32, entries, of_kernel, SECRET, lifted)


def test_stopped_in_order() -> None:
    found = ending(
        said(before_s=9), reached("shutdown.target"), reached("reboot.target"), said("Shutting down."), stopped()
    )
    assert (found.stage, found.how) == (STOPPED, "reboot")


@pytest.mark.parametrize(
    ("targets", "how"),
    [
        (["shutdown.target", "umount.target", "final.target", "systemd-poweroff.service"], "poweroff"),
        (["shutdown.target"], ""),
        (["umount.target"], ""),
        (["kexec.target", "shutdown.target"], "kexec"),
    ],
)
def test_going_down(targets: list[str], how: str) -> None:
    found = ending(said(before_s=3), *(reached(target) for target in targets))
    assert (found.stage, found.how) == (GOING_DOWN, how)


def test_cut() -> None:
    assert ending(said(before_s=3), reached("multi-user.target", 2), said()).stage == CUT


def test_journal_that_was_stopped_early_is_the_initrds() -> None:
    assert ending(stopped(), *(said(before_s=1) for _ in range(20))).stage == CUT


def test_a_user_can_end_nothing() -> None:
    """Whoever isn't root can write a message id, and the unit it is of."""
    forged = [
        reached("reboot.target", trusted=False),
        said("Journal stopped", message_id=journalend.JOURNAL_STOPPED),
        said("asleep", message_id=journalend.SLEEP_BEGAN, trusted=False),
    ]
    found = ending(*forged)
    assert (found.stage, found.asleep) == (CUT, False)


BEGAN = {"message_id": journalend.SLEEP_BEGAN, "unit": "systemd-suspend.service"}
ENDED = {"message_id": journalend.SLEEP_ENDED, "unit": "systemd-suspend.service"}


def test_asleep_and_awake() -> None:
    assert ending(said(before_s=9), said(before_s=1, **BEGAN), kernel("PM: suspend entry (deep)", 0)).asleep
    assert not ending(said(before_s=9, **BEGAN), kernel("PM: suspend exit", 5), said()).asleep
    assert not ending(said(before_s=9, **BEGAN), said(before_s=8, **ENDED), said()).asleep
    assert ending(kernel("PM: hibernation: hibernation entry", 1)).asleep
    assert not ending(said("PM: suspend entry (deep)", 1), said()).asleep
    assert not ending(said(before_s=1, **BEGAN), reached("shutdown.target")).asleep


OOPS = [
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "CPU: 1 PID: 77 Comm: sh Not tainted 6.1.0-56-amd64 #1  Debian 6.1.1",
    "Call Trace:",
    " <TASK>",
    " provoke_null+0x12/0x20 [provoke]",
    " </TASK>",
]


def test_what_the_kernel_said_last() -> None:
    entries = [kernel(text, 2, 1_000_000 + number) for number, text in enumerate(OOPS)]
    found = ending(*entries, said())
    (report,) = found.reports
    assert (report.kind, report.kernel, report.before_end_s) == ("null-pointer", "6.1.0-56-amd64", 2)
    assert len(report.event) == 16
    old = [kernel(text, 2000, 1_000_000) for text in OOPS]
    assert ending(*old, said()).reports == []


def test_reports_are_few() -> None:
    entries = [kernel(text, 50 - number, 3_000_000 * number) for number in range(50) for text in OOPS]
    assert len(ending(*entries).reports) == journalend.REPORTS_MAX


def test_last_entries_tell_of_nobody() -> None:
    found = ending(
        said("secret", 4, "user@1000.service"),
        said("secret", 3, "docker-0123456789abcdef.scope"),
        said("secret", 2, "openvpn@payroll.service"),
        kernel("secret", 1),
        said("secret", 0, "\x1b[31m.service"),
    )
    assert [each.who for each in found.last_entries] == [
        "user@.service", "docker.scope", "openvpn@.service", "kernel", ""
    ]  # fmt: skip
    assert {each.text for each in found.last_entries} == {""}
    assert [each.before_end_s for each in found.last_entries] == [4, 3, 2, 1, 0]
    lifted = ending(*(said("s" * 1000, number) for number in range(20, 0, -1)), lifted=True).last_entries
    assert len(lifted) == journalend.SHOWN
    assert {len(each.text) for each in lifted} == {journalend.TEXT_CHARS_MAX}
