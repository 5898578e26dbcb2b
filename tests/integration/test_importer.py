# SPDX-License-Identifier: Apache-2.0
"""Files that become records, in a running telemd with a real hub behind it: what telemetrics-client left in its spool,
and what was dropped because no telemd answered. Good ones arrive once, whatever lies beside them and whenever telemd
dies.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import TYPE_CHECKING, Any

from hubprocess import HubProcess, hub_at
from leftfiles import CLASSIFICATION, dropped, left, old_record
from records import record, record_id
from running import NOBODY, Root, Telemd, needs_root, running, state_root, wait_until
from senders import DURABLE, Answer, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD_S = time.time() - 3600


@contextlib.contextmanager
def service(data: Path) -> Iterator[tuple[Root, HubProcess]]:
    """A root with an empty spool directory, and a hub; no telemd yet."""
    with hub_at(data) as hub, state_root(server=hub.url, spool_max_size=1 << 20, retry_max_s=1) as root:
        root.spool.mkdir(mode=0o700, parents=True)
        yield root, hub


def names(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()}


def own(name: str) -> bool:
    return name in ("lock", "ledger", "spare", "drop", "quarantine") or name.endswith(".seg")


def foreign(root: Root) -> set[str]:
    """What lies in the spool directory and isn't telemd's own."""
    return {name for name in names(root.spool) if not own(name)}


def is_durable(answer: Answer | None) -> bool:
    return answer is not None and answer.verdict == DURABLE


def wait_taken(telemd: Telemd, received: int) -> dict[str, Any]:
    """Until so many were received and nothing waits any more."""
    return telemd.wait_account(
        f"{received} are received and delivered",
        lambda account: account["received"] >= received and account["pending"] == 0,
    )


def payloads(hub: HubProcess, classification: str = CLASSIFICATION) -> list[str]:
    return [each["payload"] for each in hub.records(classification=classification)]


def test_two_hundred_good_ones_behind_every_bad_one(tmp_path: Path) -> None:
    needs_root()
    with service(tmp_path / "hub") as (root, hub):
        good = old_record("never to be read\n")
        elsewhere = left(root.path, "elsewhere", good, OLD_S)
        left(root.spool, "empty", b"", OLD_S + 1)
        left(root.spool, "truncated", good[:300], OLD_S + 2)
        left(root.spool, "corrupt", good.replace(b"severity: 2", b"severity: x"), OLD_S + 3)
        left(root.spool, "oversize", good + b"x" * 200_000, OLD_S + 4)
        left(root.spool, "writable", good, OLD_S + 5, 0o666)
        os.chown(left(root.spool, "stranger", good, OLD_S + 6), NOBODY, NOBODY)
        os.link(left(root.spool, "doubled", good, OLD_S + 7), root.path / "second-name")
        (root.spool / "link").symlink_to(elsewhere)
        left(root.spool, "CFG", b"CFG:/no/newline", OLD_S + 8)
        left(root.spool, "\udcff\n\x1b[2J", b"CFG:\n", OLD_S + 9)
        bad = foreign(root)
        left(root.spool, "README", b"of no concern to telemd\n", OLD_S + 10)
        left(root.spool, "CORE", os.urandom(4096), OLD_S + 11)
        os.mkfifo(root.spool / "fifo")
        (root.spool / "lost+found").mkdir()
        others = foreign(root) - bad
        for number in range(200):
            config = "/etc/other.conf" if number % 3 == 0 else ""
            content = old_record(f"{number}\n", 1_600_000_000 + number, config)
            left(root.spool, f"hash_{number * 7919 % 200:06}", content, OLD_S + 100 + number)
        with running(root) as telemd:
            account = wait_taken(telemd, 200 + len(bad))
            assert foreign(root) == others
            log = telemd.log()
        assert account["delivered"] == 200
        assert sum(account["refused"].values()) == len(bad)
        assert elsewhere.read_bytes() == (root.path / "second-name").read_bytes() == good
        found = {each["payload"]: each for each in hub.records(classification=CLASSIFICATION)}
        assert set(found) == {f"{number}\n" for number in range(200)}
        one = found["7\n"]
        assert (one["created_us"], one["severity"]) == (1_600_000_007_000_000, 2)
        assert (one["payload_version"], one["event_id"]) == (3, "00112233445566778899aabbccddeeff")
        assert (one["facts"]["kernel_version"], one["facts"]["build"]) == ("4.19.0-old", "1.2")
        kept = names(root.spool / "quarantine")
        assert len(kept) == len(bad) - 1  # of the empty one there is nothing to keep
        assert max((root.spool / "quarantine" / name).stat().st_size for name in kept) <= 256 * 1024
        assert all(name.startswith("spool.") for name in kept)
        assert "\x1b" not in log
        assert "never to be read" not in log
        assert "README is no record" in log


def test_only_foreign_files_are_left_alone(tmp_path: Path) -> None:
    with service(tmp_path / "hub") as (root, _):
        contents = {f"other-{n}": os.urandom(n * 50 + 1) for n in range(40)}
        for name, content in contents.items():
            left(root.spool, name, content, OLD_S)
        with running(root) as telemd:
            assert is_durable(say(root.socket5, record(1)))
            account = wait_taken(telemd, 1)
            assert (account["received"], account["delivered"]) == (1, 1)
        assert foreign(root) == set(contents)
        assert all((root.spool / name).read_bytes() == content for name, content in contents.items())
        assert "quarantine" not in names(root.spool) or names(root.spool / "quarantine") == set()


def test_expired_ones_are_counted_and_go(tmp_path: Path) -> None:
    with service(tmp_path / "hub") as (root, hub):
        left(root.spool, "old", old_record("old\n"), OLD_S - 3 * 86_400)
        left(root.spool, "new", old_record("new\n"), OLD_S)
        left(root.spool, "future", old_record("future\n"), OLD_S + 10 * 86_400)
        with running(root) as telemd:
            account = wait_taken(telemd, 3)
            assert (account["expired"], account["delivered"]) == (1, 2)
        assert sorted(payloads(hub)) == ["future\n", "new\n"]
        assert foreign(root) == set()


def test_not_opted_in_nothing_is_touched(tmp_path: Path) -> None:
    with service(tmp_path / "hub") as (root, hub):
        root.opt_out()
        left(root.spool, "one", old_record("one\n"), OLD_S)
        dropped(root.spool / "drop", 1)
        with running(root) as telemd:
            telemd.status()
            assert foreign(root) == {"one"}
            assert names(root.spool / "drop") == {"1.rec"}
            root.opt_in()
            wait_until(
                lambda: is_durable(say(root.socket5, record(2))), "it sees that"
            )  # whoever connects makes it look
            wait_until(lambda: not foreign(root) and not names(root.spool / "drop"), "both are taken in")
            telemd.wait_delivered()
        assert payloads(hub) == ["one\n"]


def test_killed_twenty_times_each_arrives_once(tmp_path: Path) -> None:
    chance = random.Random(20)
    a_turn, kills = 300, 20
    in_the_middle = 0
    with service(tmp_path / "hub") as (root, hub):
        drop = root.spool / "drop"
        for turn in range(kills):
            for number in range(turn * a_turn, (turn + 1) * a_turn):
                left(root.spool, f"r_{number}", old_record(f"{number}\n"), OLD_S + number / 100)
            for number in range(turn * 10, turn * 10 + 10):
                dropped(drop, number)
            point = chance.randrange(len(foreign(root)))
            telemd = Telemd(root)
            try:
                wait_until(lambda below=point: len(foreign(root)) <= below, "so many are taken over")  # type: ignore[misc]
            finally:
                telemd.kill()
            in_the_middle += bool(foreign(root))
        assert in_the_middle > 0, "every import was over before the kill"
        with running(root) as telemd:
            wait_until(lambda: not foreign(root) and not names(drop), "all the rest is taken in")
            account = telemd.wait_delivered()
            assert (account["evicted"], account["expired"], account["damaged"], account["rejected"]) == (0, 0, 0, 0)
            assert account["refused"] == {}
        found = payloads(hub)
        assert len(found) == len(set(found)) == kills * a_turn
        assert set(found) == {f"{number}\n" for number in range(kills * a_turn)}
        ids = [each["id"] for each in hub.records(classification="org.test/unit/record")]
        assert sorted(ids) == sorted(record_id(number).hex() for number in range(kills * 10))
        quarantine = root.spool / "quarantine"
        assert not quarantine.exists() or names(quarantine) == set()


def test_drop_directory_with_everything_in_it(tmp_path: Path) -> None:
    needs_root()
    with service(tmp_path / "hub") as (root, hub):
        drop = root.spool / "drop"
        for number in range(65):
            dropped(drop, number, ("\n\x1b[31m" if number == 64 else "") + f"{number}.rec")
        dropped(drop, 1000, "no-suffix")
        dropped(drop, 1001, "torn.rec").write_bytes(record(1001)[:-1])
        dropped(drop, 1002, "empty.rec").write_bytes(b"")
        left(drop, "513-KiB.rec", b"x" * (513 * 1024), OLD_S)
        left(drop, "200-KiB.rec", b"x" * (200 * 1024), OLD_S)
        left(drop, "writable.rec", record(1003), OLD_S, 0o622)
        os.chown(dropped(drop, 1004, "stranger.rec"), NOBODY, NOBODY)
        os.link(dropped(drop, 1005, "doubled.rec"), root.path / "second-name")
        left(root.path, "elsewhere", record(1006), OLD_S)
        (drop / "link.rec").symlink_to(root.path / "elsewhere")
        (drop / "-rf .rec").symlink_to("/dev/zero")
        os.mkfifo(drop / "fifo.rec")
        left(drop, "x" * 251 + ".rec", record(1007, severity=9), OLD_S)
        bad = len(names(drop)) - 65
        left(drop, ".abandoned", record(1008), OLD_S)
        left(drop, "tmp.abandoned", record(1009), OLD_S)
        left(drop, "tmp.begun", record(1010)[:50], time.time())
        (drop / "folder.rec").mkdir()
        with running(root) as telemd:
            account = wait_taken(telemd, 65 + bad)
            assert account["admitted"] == account["delivered"] == 65
            assert sum(account["refused"].values()) == bad
            wait_until(lambda: names(drop) == {"tmp.begun", "folder.rec"}, "everything that can go is gone")
            log = telemd.log()
            # and what comes while telemd runs is taken in too
            (drop / "tmp.begun").write_bytes(record(65))
            (drop / "tmp.begun").rename(drop / "begun.rec")
            say(root.socket5, record(66))
            wait_taken(telemd, 67 + bad)
            assert names(drop) == {"folder.rec"}
        ids = [each["id"] for each in hub.records(classification="org.test/unit/record")]
        assert sorted(ids) == [record_id(number).hex() for number in range(67)]
        assert (root.path / "elsewhere").read_bytes() == record(1006)
        assert (root.path / "second-name").read_bytes() == record(1005)
        assert "\x1b" not in log
        assert log.count("folder.rec") == 1
        assert all(name.startswith("drop.") for name in names(root.spool / "quarantine"))


def test_drop_directory_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    with service(tmp_path / "hub") as (root, _):
        drop = root.spool / "drop"
        dropped(drop, 1)
        drop.chmod(0o777)
        left(root.spool, "old", old_record("old\n"), OLD_S)
        with running(root) as telemd:
            telemd.wait_log("others may write it")
            account = wait_taken(telemd, 1)  # the rest goes on
            assert account["delivered"] == 1
            assert names(drop) == {"1.rec"}
