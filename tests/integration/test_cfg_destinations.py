# SPDX-License-Identifier: Apache-2.0
"""Records whose configuration file is the owner's go to the server that it names, those of all others do not, and a
server that is away holds up nobody else's records.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from httppeer import Request, Server, accept, reply, serving
from hubprocess import hub_at
from leftfiles import left, old_record
from naming import format5_naming, owners_file, owners_root, send_both, write_configuration
from ownersplace import owners_place
from records import record, record_id
from running import NOBODY, Root, needs_root, running, wait_until
from senders import DURABLE, connected, receive_answer, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httppeer import Stream

EVERYBODY = pytest.mark.parametrize("user", [None, NOBODY], ids=["owner", "nobody"])


def ids(server: Server) -> set[str]:
    return {each["id"] for request in server.requests for each in request.records}


def ids_of(*numbers: int) -> set[str]:
    return {record_id(number).hex() for number in numbers}


def send(root: Root, *records: bytes) -> None:
    """Over one connection; all are durable then."""
    with connected(root.socket5) as stream:
        for each in records:
            stream.sendall(each)
            answer = receive_answer(stream)
            assert answer is not None
            assert answer.verdict == DURABLE


class Away:
    """A server that takes nothing until it is told to."""

    def __init__(self) -> None:
        self.back = threading.Event()

    def __call__(self, request: Request, stream: Stream) -> bytes:
        return accept(request, stream) if self.back.is_set() else reply(503, {"message": "not now"})


@pytest.fixture
def home() -> Iterator[Server]:
    """The server of the settings."""
    with serving() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    """The one that files name."""
    with serving() as server:
        yield server


@EVERYBODY
def test_each_record_reaches_the_hub_that_its_file_names(tmp_path: Path, user: int | None) -> None:
    if user is not None:
        needs_root()
    with (
        hub_at(tmp_path / "home") as home,
        hub_at(tmp_path / "other") as other,
        owners_root(server=home.url, retry_max_s=1) as root,
    ):
        named = owners_file(root, "other.conf", server=other.url)
        with running(root) as telemd:
            say(root.socket5, record(7))
            send_both(root, os.fsencode(named), user, 8)
            say(root.socket5, record(9))
            account = telemd.wait_delivered()
            assert (account["delivered"], account["rejected"]) == (4, 0)
            assert [each["server"] for each in telemd.status()["delivery"]["named"]] == [other.url]
        assert {each["id"] for each in home.records()} == ids_of(7, 9)
        found = other.records()
        assert len(found) == 2
        assert {each["id"] for each in found} >= ids_of(8)


def test_one_batch_has_one_destination(home: Server, other: Server) -> None:
    with owners_root(retry_max_s=1) as root:
        path = os.fsencode(owners_file(root, "other.conf", server=other.url))
        with running(root) as telemd:
            send(root, *(format5_naming(path, number) if number % 3 else record(number) for number in range(60)))
            root.configure(server=home.url)
            telemd.reload()
            assert telemd.wait_delivered()["delivered"] == 60
    assert ids(home) == ids_of(*range(0, 60, 3))
    assert ids(other) == ids_of(*(number for number in range(60) if number % 3))


@EVERYBODY
def test_outside_of_the_owners_folder_it_counts_who_sends(home: Server, other: Server, user: int | None) -> None:
    if user is not None:
        needs_root()
    with owners_root(server=home.url, retry_max_s=1) as root, owners_place() as elsewhere, running(root) as telemd:
        write_configuration(elsewhere / "a.conf", server=other.url)
        send_both(root, os.fsencode(elsewhere / "a.conf"), user)
        assert telemd.wait_delivered()["delivered"] == 2
        if user is None:
            assert (len(ids(home)), len(ids(other))) == (0, 2)
            return
        assert (len(ids(home)), other.connections) == (2, 0)
        telemd.wait_log(f"user {NOBODY} names {elsewhere}/a.conf, which isn't followed")


def tampered(root: Root, other: Server, how: str) -> Path:
    """A file in the owner's folder in which somebody else may have had a hand."""
    named = owners_file(root, "a.conf", server=other.url)
    if how == "writable":
        named.chmod(0o666)
    elif how == "given-away":
        needs_root()
        os.chown(named, NOBODY, NOBODY)
    elif how == "linked":
        named.rename(named.with_name("b.conf"))
        named.symlink_to(named.with_name("b.conf"))
    elif how == "open-folder":
        named.parent.chmod(0o777)
    elif how == "dots":
        (named.parent.parent / "c.conf").write_text(named.read_text())
        return named.parent / "../c.conf"
    return named


@pytest.mark.parametrize("how", ["writable", "given-away", "linked", "open-folder", "dots"])
def test_a_file_in_which_others_may_have_had_a_hand_redirects_nothing(home: Server, other: Server, how: str) -> None:
    with owners_root(server=home.url, retry_max_s=1) as root, running(root) as telemd:
        send_both(root, os.fsencode(tampered(root, other, how)), None)
        assert telemd.wait_delivered()["delivered"] == 2
        telemd.wait_log("which isn't followed")
    assert (len(ids(home)), other.connections) == (2, 0)


def test_a_server_that_is_away_holds_up_nobody_and_gets_its_records_later(home: Server) -> None:
    away = Away()
    with serving(away) as other, owners_root(server=home.url, retry_max_s=1) as root:
        path = os.fsencode(owners_file(root, "other.conf", server=other.url))
        with running(root) as telemd:
            mixed = [format5_naming(path, number) if number % 2 else record(number) for number in range(40)]
            send(root, *mixed)
            telemd.wait_account("the others are delivered", lambda account: account["delivered"] == 20)
            send(root, record(100))
            account = telemd.wait_account("and a newcomer, too", lambda account: account["delivered"] == 21)
            assert account["pending"] == 20
            assert ids(home) == ids_of(*range(0, 40, 2), 100)
            assert telemd.status()["delivery"]["last_error"] == ""
            wait_until(lambda: telemd.status()["delivery"]["named"][0]["last_error"], "the other one was tried, too")
            telemd.kill()
        with running(root) as telemd:
            assert telemd.account()["pending"] == 20
            away.back.set()
            telemd.wait_delivered()
        assert ids(home) == ids_of(*range(0, 40, 2), 100)
        taken = [each["id"] for request in other.requests for each in request.records]
        assert set(taken) == ids_of(*range(1, 40, 2))


def test_while_a_server_is_away_the_spool_is_not_written_again_and_again(home: Server) -> None:
    with serving(Away()) as other, owners_root(server=home.url, retry_max_s=1) as root:
        path = os.fsencode(owners_file(root, "other.conf", server=other.url))
        with running(root) as telemd:
            send(root, *(format5_naming(path, number, b"x" * 1000) for number in range(50)), record(50))
            telemd.wait_account("the other one is delivered", lambda account: account["delivered"] == 1)
            written = {each.name: each.stat().st_mtime_ns for each in root.spool.glob("*.seg")}
            tries = len(other.requests)
            wait_until(lambda: len(other.requests) >= tries + 3, "it is tried again, as before")
            assert {each.name: each.stat().st_mtime_ns for each in root.spool.glob("*.seg")} == written
            assert telemd.account()["pending"] == 50


def test_a_file_that_is_gone_or_spoilt_later_holds_up_nobody(home: Server) -> None:
    with serving(Away()) as other, owners_root(server=home.url, retry_max_s=1) as root:
        gone = owners_file(root, "gone.conf", server=other.url)
        spoilt = owners_file(root, "spoilt.conf", server=other.url)
        with running(root) as telemd:
            send(root, format5_naming(os.fsencode(gone), 1), format5_naming(os.fsencode(spoilt), 2), record(3))
            telemd.wait_account("the other one is delivered", lambda account: account["delivered"] == 1)
            gone.unlink()
            spoilt.write_bytes(os.urandom(512))
            telemd.reload()
            assert telemd.wait_delivered()["delivered"] == 3
    assert ids(home) == ids_of(1, 2, 3)


def test_what_the_owner_wants_delivered_nowhere_is_not(home: Server, other: Server) -> None:
    with owners_root(server=home.url, retry_max_s=1) as root:
        named = owners_file(root, "here.conf", server=other.url, record_server_delivery_enabled=False)
        with running(root) as telemd:
            send(root, format5_naming(os.fsencode(named), 1), record(2))
            account = telemd.wait_delivered()
            assert (account["delivered"], account["rejected"]) == (1, 1)
    assert (ids(home), other.connections) == (ids_of(2), 0)


def test_files_of_the_originals_spool_may_name_the_owners_files(home: Server, other: Server) -> None:
    with owners_root(server=home.url, retry_max_s=1) as root, owners_place() as elsewhere:
        named = owners_file(root, "other.conf", server=other.url)
        write_configuration(elsewhere / "a.conf", server=other.url)
        root.spool.mkdir(parents=True)
        for number, config in enumerate([str(named), str(elsewhere / "a.conf"), "/proc/nonexistent", ""]):
            left(root.spool, f"{number}", old_record(f"number {number}", config=config), time.time() - 100 + number)
        with running(root) as telemd:
            telemd.wait_account("all are taken over", lambda account: account["admitted"] == 4)
            assert telemd.wait_delivered()["delivered"] == 4
    assert [each["payload"] for request in other.requests for each in request.records] == ["number 0"]
    assert {each["payload"] for request in home.requests for each in request.records} == {
        "number 1", "number 2", "number 3",
    }  # fmt: skip


def test_no_server_in_the_settings_and_nothing_goes_anywhere(home: Server, other: Server) -> None:
    with owners_root() as root:
        named = owners_file(root, "other.conf", server=other.url)
        with running(root) as telemd:
            send(root, format5_naming(os.fsencode(named), 1))
            off: dict[str, str | int | bool] = {"server": home.url, "record_server_delivery_enabled": False}
            for settings in ({}, off):
                root.configure(**settings)
                telemd.reload()
                telemd.wait_log("the configuration was read again")
                assert telemd.status()["delivery"]["state"] == "disabled"
                assert telemd.account()["pending"] == 1
            assert telemd.courier_pids() == []
            root.configure(server=home.url)
            telemd.reload()
            assert telemd.wait_delivered()["delivered"] == 1
    assert (ids(other), home.connections) == (ids_of(1), 0)
