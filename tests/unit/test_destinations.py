# SPDX-License-Identifier: Apache-2.0
"""Which record goes where: files that count, files that don't, and how much of all that is kept in mind."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from telemd.config import Settings
from telemd.courierframes import Destination
from telemd.delivery import Standing
from telemd.destinations import (
    COMPLAINTS_MAX,
    FILES_MAX,
    LOOK_AGAIN_MS,
    SERVERS_MAX,
    Destinations,
    NamedFiles,
    destination_of,
)
from telemd.namedfile import Distrusted

if TYPE_CHECKING:
    from collections.abc import Collection

    from telemd.reader import Waiting

OWN, OTHER = 500, 1000


def named_by_settings(server: str) -> Destination:
    found = destination_of(Settings(server=server))
    assert found is not None
    return found


HOME = named_by_settings("https://home.test/")


class Disk:
    """Files by path, and how often each was read."""

    def __init__(self, **servers: str) -> None:
        self.files = {f"/etc/telemetrics/{name}": f'[settings]\nserver = "{at}"\n' for name, at in servers.items()}
        self.reads: list[str] = []

    def read(self, path: bytes, owners: Collection[int]) -> bytes | Distrusted:
        assert set(owners) == {0, OWN}
        self.reads.append(path.decode())
        text = self.files.get(path.decode())
        return Distrusted("it isn't there") if text is None else text.encode()


class Head:
    """Records at the head of a lane: what each names, and its user."""

    def __init__(self, *records: tuple[str, int]) -> None:
        self._records = records
        self.count = len(records)

    def named(self, first: int) -> tuple[int, bytes, int]:
        path, uid = self._records[first]
        same = 1
        while first + same < self.count and self._records[first + same] == (path, uid):
            same += 1
        return same, path.encode(), uid


def head(*records: tuple[str, int]) -> Waiting:
    return cast("Waiting", Head(*records))


def at(name: str, uid: int = 0) -> tuple[str, int]:
    return f"/etc/telemetrics/{name}", uid


def destinations(disk: Disk, configured: Destination | None = HOME) -> Destinations:
    return Destinations(configured, Standing(), NamedFiles((0, OWN), "/etc/telemetrics", disk.read))


def server(found: Destinations, one: tuple[str, int], now_ms: int = 0) -> str:
    way, _ = found.of_head(head(one), now_ms)
    return way.destination.server if way.destination is not None else ""


def test_what_names_nothing_goes_to_the_server_of_the_settings() -> None:
    disk = Disk()
    found = destinations(disk)
    way, count = found.of_head(head(("", 0), ("", 0), ("", OTHER)), 0)
    assert (way, count, disk.reads) == (found.configured, 3, [])


def test_a_file_of_the_owners_counts() -> None:
    found = destinations(Disk(a="https://a.test/"))
    assert server(found, at("a")) == server(found, at("a", OWN)) == server(found, at("a", OTHER)) == "https://a.test/"
    assert found.notes == []


def test_the_whole_destination_is_the_files() -> None:
    disk = Disk()
    disk.files["/x"] = (
        '[settings]\nserver = "https://x.test/v3"\ntransport = "backend-json"\ncainfo = "/etc/ca.pem"\n'
        'tidheader = "X-Telemetry-TID: 1"\nclient_certificate = "/c.pem"\nclient_key = "/k.pem"\n'
    )
    way, _ = destinations(disk).of_head(head(("/x", 0)), 0)
    assert way.destination == Destination(
        "https://x.test/v3", "backend-json", "X-Telemetry-TID: 1", "/etc/ca.pem",
        client_certificate="/c.pem", client_key="/k.pem",
    )  # fmt: skip


def test_the_original_programs_form_is_read_too() -> None:
    disk = Disk()
    disk.files["/x"] = "server=https://x.test/v2/collector\nrecord_expiry=1200\n"
    assert server(destinations(disk), ("/x", 0)) == "https://x.test/v2/collector"


def test_who_may_name_a_file_outside_of_the_owners_folder() -> None:
    disk = Disk()
    disk.files["/usr/share/x.conf"] = '[settings]\nserver = "https://x.test/"\n'
    disk.files["/etc/telemetrics-other/x.conf"] = disk.files["/usr/share/x.conf"]
    found = destinations(disk)
    for path in ("/usr/share/x.conf", "/etc/telemetrics-other/x.conf"):
        assert server(found, (path, OTHER)) == HOME.server
        assert server(found, (path, 0)) == server(found, (path, OWN)) == "https://x.test/"
        assert server(found, (path, OTHER)) == HOME.server  # also when it is in mind
    assert disk.reads == ["/usr/share/x.conf", "/etc/telemetrics-other/x.conf"]
    [note] = found.notes
    assert f"user {OTHER} names /usr/share/x.conf" in note and "owner's telemetrics folder" in note


@pytest.mark.parametrize(
    "text",
    ["", "[settings]\n", "garbage", "[settings]\nserver = 12\n", '[settings]\nnonsense = "x"\n', "server\n", "\0"],
)
def test_a_bad_file_is_as_good_as_none(text: str) -> None:
    disk = Disk()
    disk.files["/etc/telemetrics/bad"] = text
    found = destinations(disk)
    assert server(found, at("bad")) == server(found, at("gone")) == HOME.server
    assert len(found.notes) == 2


def test_where_nothing_is_sent_no_file_changes_that() -> None:
    disk = Disk(a="https://a.test/")
    found = destinations(disk, None)
    assert found.of_head(head(at("a")), 0) == (found.configured, 1)
    assert disk.reads == []


def test_a_file_that_switches_delivery_off_leads_nowhere() -> None:
    disk = Disk()
    disk.files["/x"] = '[settings]\nserver = "https://x.test/"\nrecord_server_delivery_enabled = false\n'
    found = destinations(disk)
    assert found.of_head(head(("/x", 0), ("/x", 0), ("", 0)), 0) == (found.nowhere, 2)


def test_records_for_one_server_stand_together_whatever_they_name() -> None:
    found = destinations(Disk(a="https://a.test/", b="https://a.test/", c="https://c.test/", home=HOME.server))
    way, count = found.of_head(head(at("a"), at("b"), at("a", OTHER), at("c"), at("a")), 0)
    assert (way.destination, count) == (named_by_settings("https://a.test/"), 3)
    way, count = found.of_head(head(("", 0), at("gone"), at("home"), ("/bad", OTHER), at("a")), 0)
    assert (way, count) == (found.configured, 4)
    assert len(found.named()) == 2


def test_a_file_is_read_again_after_a_while_and_on_demand() -> None:
    disk = Disk(a="https://a.test/")
    found = destinations(disk)
    assert server(found, at("a")) == "https://a.test/"
    disk.files["/etc/telemetrics/a"] = '[settings]\nserver = "https://b.test/"\n'
    assert server(found, at("a"), LOOK_AGAIN_MS - 1) == "https://a.test/"
    assert server(found, at("a"), LOOK_AGAIN_MS) == "https://b.test/"
    del disk.files["/etc/telemetrics/a"]
    assert server(found, at("a"), LOOK_AGAIN_MS + 1) == "https://b.test/"
    found.look_again()
    assert server(found, at("a"), LOOK_AGAIN_MS + 1) == HOME.server


def test_how_a_server_fares_is_known_as_long_as_it_is_in_mind() -> None:
    disk = Disk(a="https://a.test/")
    found = destinations(disk)
    way, _ = found.of_head(head(at("a")), 0)
    found.look_again()
    assert found.of_head(head(at("a")), 10 * LOOK_AGAIN_MS)[0] is way


def test_another_server_of_the_settings() -> None:
    found = destinations(Disk(a="https://a.test/"))
    way, _ = found.of_head(head(at("a")), 0)
    standing = Standing()
    found.redirect(named_by_settings("https://a.test/"), standing)
    assert found.of_head(head(at("a")), 0)[0] is found.configured is not way
    assert found.configured.standing is standing and found.named() == []
    found.redirect(HOME, Standing())
    assert found.of_head(head(at("a")), 0)[0] is not found.configured


def test_of_many_servers_those_that_rest_longest_are_kept() -> None:
    disk = Disk(**{f"f{number}": f"https://s{number}.test/" for number in range(SERVERS_MAX + 1)})
    found = destinations(disk)
    ways = [found.of_head(head(at(f"f{number}")), 0)[0] for number in range(SERVERS_MAX)]
    for number, way in enumerate(ways):
        way.standing.not_before_ms = 1000 + abs(number - 3)
    found.of_head(head(at(f"f{SERVERS_MAX}")), 0)
    assert len(found.named()) == SERVERS_MAX and ways[3] not in found.named()
    assert found.of_head(head(at("f3")), 0)[0] is not ways[3]
    assert found.of_head(head(at("f4")), 0)[0] is ways[4]


def test_many_files_are_not_all_kept_in_mind() -> None:
    disk = Disk(**{f"f{number}": "https://a.test/" for number in range(FILES_MAX + 1)})
    found = destinations(disk)
    for number in range(FILES_MAX + 1):
        server(found, at(f"f{number}"))
    for number in range(1, FILES_MAX + 1):
        server(found, at(f"f{number}"))
    assert len(disk.reads) == FILES_MAX + 1
    server(found, at("f0"))
    assert len(disk.reads) == FILES_MAX + 2


def test_complaints_have_an_end_and_nothing_in_them_is_raw() -> None:
    found = destinations(Disk())
    for _ in range(2):
        server(found, ("/etc/\x1b[2J\n" + "x" * 500, OTHER))
    [note] = found.notes
    assert "\x1b" not in note and "\n" not in note and "x" * 200 not in note
    for uid in range(2000, 2000 + 2 * COMPLAINTS_MAX):
        server(found, ("/bad", uid))
    assert len(found.notes) == COMPLAINTS_MAX


def test_the_destination_of_settings() -> None:
    assert destination_of(Settings()) is None
    assert destination_of(Settings(server="https://a.test/", record_server_delivery_enabled=False)) is None
    found = destination_of(Settings(server="https://a.test/", use_environment=True, proxy="http://p.test/"))
    assert found is not None
    assert (found.server, found.proxy, found.use_environment) == ("https://a.test/", "http://p.test/", "yes")
