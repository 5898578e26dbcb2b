# SPDX-License-Identifier: Apache-2.0
"""telemctl's words: the status page, the advice below it, figures, and which journal lines are listed."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import pytest

from telemd.config import DEFAULTS_FILE, load
from telemd.ctl import switches, words
from telemd.ctl.journal import matches
from telemd.ctl.statustext import ENDS, Found, account_differs, advice, rendered
from telemd.ctl.units import FailedUnit
from telemd.ctl.words import Paint
from telemd.journalfile import Entry

if TYPE_CHECKING:
    from pathlib import Path

NOW_US = 1_800_000_000_000_000
COMMAND = {"opt-in": "telemctl opt-in", "start": "telemctl start", "restart": "telemctl restart"}
WELL: dict[str, Any] = {
    "ok": True,
    "version": "0.1.0",
    "pid": 123,
    "started_us": NOW_US - 7_500_000_000,
    "opted_in": True,
    "server": "https://hub.example/",
    "machine_id": "ab" * 16,
    "connections": 1,
    "closed_for_room": 0,
    "accounting": {
        "received": 1_234_567,
        "refused": {"rate-limit": 7, "malformed": 3},
        "duplicate": 57,
        "admitted": 1_234_500,
        "delivered": 1_234_000,
        "rejected": 1,
        "evicted": 0,
        "expired": 0,
        "purged": 0,
        "damaged": 0,
        "pending": 499,
    },
    "lanes": {
        "vital": {"pending": 0, "oldest_us": 0, "bytes": 0},
        "event": {"pending": 499, "oldest_us": NOW_US - 61_000_000, "bytes": 512_000},
        "metric": {"pending": 0, "oldest_us": 0, "bytes": 0},
    },
    "spool_bytes": 520_192,
    "spool_max_bytes": 5 * 1024 * 1024,
    "delivery": {
        "state": "sending",
        "next_try_us": 0,
        "last_success_us": NOW_US - 2_000_000,
        "last_error": "",
        "in_flight": 100,
    },
    "sync": {"count": 1000, "p50_us": 210, "p99_us": 21_000},
}


def found(telemd: Any = WELL, **changed: Any) -> Found:
    values: dict[str, Any] = {
        "silence": "",
        "running": True,
        "opted_in": True,
        "on_demand": False,
        "server": "https://hub.example/",
        "config_files": ["/etc/telemetrics/telemetrics.conf"],
        "mistake": "",
        "spool_dir": "/var/spool/telemetry",
        "spool_bytes": 2048,
        "warnings": [],
    }
    return Found(telemd, **{**values, **changed})


def page(of: Found, colour: bool = False) -> str:
    return rendered(of, advice(of, COMMAND), NOW_US, Paint(colour))


def changed(path: str, value: object) -> dict[str, Any]:
    telemd = copy.deepcopy(WELL)
    *parents, last = path.split("/")
    place = telemd
    for parent in parents:
        place = place[parent]
    place[last] = value
    return telemd


# ---- the page -------------------------------------------------------------------------------------------------------


def test_page_of_a_telemd_that_is_well() -> None:
    assert (
        page(found())
        == """\
telemd      running  version 0.1.0, pid 123, for 2 h 5 min
opted in    yes
server      https://hub.example/
machine id  abababababababababababababababab
records     1,234,567 received: 1,234,500 admitted, 57 duplicate, 10 refused
            refused: rate-limit 7, malformed 3
            1,234,000 delivered, 1 rejected, 499 pending
            the account adds up
  vital     0 pending
  event     499 pending, oldest of 1 min 1 s ago, 500.0 KB on disk
  metric    0 pending
spool       508.0 KB of 5.0 MB (9 %) in /var/spool/telemetry
delivery    sending, 100 records on the way, last success 2 s ago
disk syncs  1,000, p50 0.21 ms, p99 21 ms
connected   1 sender
settings    /etc/telemetrics/telemetrics.conf"""
    )


def test_page_without_telemd() -> None:
    away = found(None, silence="telemd is not running", running=False)
    assert (
        page(away)
        == """\
telemd      not running
opted in    yes
server      https://hub.example/
spool       2.0 KB in /var/spool/telemetry
settings    /etc/telemetrics/telemetrics.conf

What to do
  - telemd is not running. To start it: telemctl start"""
    )


def test_page_says_what_is_enabled_and_which_layer_says_so(tmp_path: Path) -> None:
    below, above = tmp_path / "below", tmp_path / "above"
    below.write_text('[settings]\nserver = "https://hub.example/"\nrate_limit_enabled = false\n')
    above.write_text("[settings]\nrecord_retention_enabled = true\n")
    loaded = load(None, layers=(str(below), str(above)))
    of = found(server_layer=loaded.origins["server"], switches=switches.found(loaded))
    assert page(of).splitlines()[2:5] == [
        f"server      https://hub.example/ ({below})",
        f"enabled     delivery, leaving when idle (built-in); copies of records ({above})",
        f"disabled    rate limits ({below})",
    ]


def test_page_with_units_that_failed() -> None:
    failed = [
        FailedUnit("metricprobe.service", "exit-code", True),
        FailedUnit("klogscanner.service", "watchdog", False),
    ]
    shown = page(found(failed_units=failed))
    assert (
        """
units       metricprobe.service failed (exit-code), and is tried again
            klogscanner.service failed (watchdog)

What to do
  - metricprobe.service failed (exit-code), and is tried again. To see why: journalctl -u metricprobe.service. \
Once that is mended: systemctl restart metricprobe.service
  - klogscanner.service failed (watchdog). To see why: journalctl -u klogscanner.service. \
Once that is mended: systemctl restart klogscanner.service"""
        in shown
    )
    assert "systemctl --failed" in page(found(failed_units=None))


def test_page_for_who_cant_look_into_the_spool() -> None:
    shown = page(found(None, silence="telemd is not running", running=False, spool_bytes=None))
    assert "spool       can't be looked at: be root in /var/spool/telemetry" in shown


def test_what_is_set_aside_for_a_lane_is_not_what_waits() -> None:
    shown = page(found(changed("lanes/metric/bytes", 131_072)))
    assert "  metric    0 pending, 128.0 KB reserved\n" in shown


def test_page_where_systemd_starts_it_on_demand() -> None:
    ready = page(found(None, silence="telemd is not running", running=False, on_demand=True))
    assert "ready: systemd starts it" in ready
    assert "What to do" not in ready


MISTAKE = "/etc/telemetrics/telemetrics.conf:2: record_expiry: 0 is below 1; write a whole number"


def test_page_with_a_mistake_in_the_configuration() -> None:
    away = found(
        None, silence="telemd is not running", running=False, server="", config_files=[], mistake=f"{MISTAKE}\x1b"
    )
    assert (
        page(away)
        == f"""\
telemd      not running
opted in    yes
server      unknown
spool       2.0 KB in /var/spool/telemetry
settings    with a mistake; what is shown lies at the built-in paths

What to do
  - {MISTAKE}? Until then telemd can't start"""
    )
    runs = page(found(config_files=[], mistake=MISTAKE))
    assert "settings    with a mistake; telemd has read others\n" in runs
    assert runs.endswith(f"What to do\n  - {MISTAKE}. Until then telemd goes on with what it had read before")


def test_colours_only_where_wanted() -> None:
    plain = page(found(opted_in=False))
    coloured = page(found(opted_in=False), colour=True)
    assert "\x1b" not in plain
    assert "\x1b[33mno\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


@pytest.mark.parametrize("name", sorted(WELL))
@pytest.mark.parametrize("value", [None, "text", 1.5, [1], {"x": {"y": []}}, True, -(1 << 70), 1 << 70])
def test_page_survives_any_answer(name: str, value: object) -> None:
    assert page(found({**WELL, name: value})).startswith("telemd ")
    without = {key: each for key, each in WELL.items() if key != name}
    assert page(found(without)).startswith("telemd ")


def test_nothing_that_came_from_elsewhere_acts_on_the_terminal() -> None:
    telemd = changed("delivery/last_error", "\x1b]0;owned\x07" + "x" * 10_000)
    telemd["delivery"]["state"] = "waiting"
    telemd["accounting"]["refused"] = {"\x1b[2J": 10}
    telemd["lanes"] = {"\r\n": {"pending": 1}}
    shown = page(found(telemd))
    assert not re.search(r"[^\x20-\x7e\n]", shown)
    assert len(shown) < 3000


# ---- advice ---------------------------------------------------------------------------------------------------------


def test_all_is_well_needs_no_advice() -> None:
    assert advice(found(), COMMAND) == []


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (found(opted_in=False), "telemctl opt-in"),
        (found(None, silence="telemd is not running", running=False), "To start it: telemctl start"),
        (found(None, silence="telemd doesn't answer"), "telemd doesn't answer. Where that lasts: telemctl restart"),
        (found(server="", telemd={**WELL, "server": ""}), "in /etc/telemetrics/telemetrics.conf"),
        (found(server="", telemd={**WELL, "server": ""}, config_files=["/my/file"]), "in /my/file"),
        (
            found(server="", telemd={**WELL, "server": ""}, config_files=[DEFAULTS_FILE]),
            "in /etc/telemetrics/telemetrics.conf",  # the other is the package's
        ),
        (found(server="https://new.example/"), "telemctl restart"),
        (found(warnings=["a warning"]), "a warning"),
        (
            found(changed("delivery", {"state": "waiting", "last_error": "nothing listens at https://hub.example/"})),
            "nothing listens",
        ),
        (found(changed("spool_bytes", 5 * 1024 * 1024 - 1)), "spool_max_size"),
        (found({**changed("accounting/damaged", 1), "x": 1}), "/var/spool/telemetry/quarantine"),
        (found(changed("accounting/refused", {"io": 10})), "the disk failed"),
        (found(changed("closed_for_room", 3)), "connections_max"),
        (found({**changed("accounting/refused", {"anonymous": 10}), "named": False}), "opt-in-static-machine-id"),
        (found(changed("accounting/pending", 498)), "doesn't add up"),
    ],
)
def test_what_is_wrong_comes_with_what_to_do(of: Found, said: str) -> None:
    assert any(said in sentence for sentence in advice(of, COMMAND)), advice(of, COMMAND)


def test_metrics_that_were_refused_before_it_had_a_name_need_nothing() -> None:
    of = found({**changed("accounting/refused", {"anonymous": 10, "rate-limit": 0, "malformed": 0}), "named": True})
    assert not any("opt-in-static-machine-id" in sentence for sentence in advice(of, COMMAND))


def test_who_may_not_ask_is_not_told_to_restart_it() -> None:
    of = found(None, silence="only root and telemd's own user may use it: run it as one of them", not_allowed=True)
    assert advice(of, COMMAND) == ["only root and telemd's own user may use it: run it as one of them"]


def test_opted_out_and_not_running_asks_for_consent_only() -> None:
    of = found(None, silence="telemd is not running", running=False, opted_in=False)
    (sentence,) = advice(of, COMMAND)
    assert "opt-in" in sentence


def test_a_spool_without_limit_is_never_full() -> None:
    telemd = {**changed("spool_max_bytes", -1), "spool_bytes": 1 << 50}
    assert advice(found(telemd), COMMAND) == []
    assert "no limit" in page(found(telemd))


def test_account() -> None:
    account = WELL["accounting"]
    assert account_differs(account) == ""
    assert account_differs({}) == ""
    assert "received" in account_differs({**account, "duplicate": 58})
    assert "received" in account_differs({**account, "refused": {"io": 9}})
    for end in ENDS:
        assert "admitted" in account_differs({**account, end: account[end] + 1})


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (999 * 1024, "999.0 KB"),
        (1000 * 1024, "1.0 MB"),
        (5 << 20, "5.0 MB"),
        (3 << 30, "3.0 GB"),
        (1 << 50, "1024.0 TB"),
    ],
)
def test_sizes(count: int, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (7500, "2 h 5 min"),
        (86_400 * 4 + 3 * 3600 + 59, "4 d 3 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_times() -> None:
    assert words.utc(1_525_799_004) == "Tue 2018-05-08 17:03:24 UTC"
    assert words.utc(1e30) == "?"


def test_some() -> None:
    assert (words.some(1, "file"), words.some(2000, "file")) == ("1 file", "2,000 files")


# ---- which lines of the journal -------------------------------------------------------------------------------------

ENTRY = Entry("a1" * 16, 0, "org.clearlinux/hello/world", "b2" * 16, "12a62978-b309-4b35-a7be-90876e311a93")


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        ({}, True),
        ({"record_id": "a1" * 16}, True),
        ({"record_id": "A1" * 16}, True),
        ({"record_id": "a1" * 15}, False),
        ({"event_id": "b2" * 16}, True),
        ({"event_id": "a1" * 16}, False),
        ({"boot_id": "12a62978-b309-4b35-a7be-90876e311a93"}, True),
        ({"boot_id": "12A62978B3094B35A7BE90876E311A93"}, True),
        ({"boot_id": "12a62978"}, False),
        ({"classification": "org.clearlinux/hello/world"}, True),
        ({"classification": "org.clearlinux/hello"}, False),
        ({"classification": "org.clearlinux/*"}, True),
        ({"classification": "org.clearlinux/hello/wo*"}, True),
        ({"classification": "*"}, True),
        ({"classification": "*/hello/world"}, False),
        ({"classification": "org.*/world"}, False),
        ({"classification": "org.clearlinux/*", "event_id": "00" * 16}, False),
    ],
)
def test_journal_query(wanted: dict[str, str], listed: bool) -> None:
    assert matches(ENTRY, **wanted) is listed
