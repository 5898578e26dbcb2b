# SPDX-License-Identifier: Apache-2.0
"""Which files of a spool directory are telemetrics-client's, in which order they come, and the id each record gets."""

from __future__ import annotations

import os
import stat

import pytest

from telemd import oldspool
from telemd.folder import LINK, File, Unfit
from telemd.machineid import hmac_sha256

SECRET = bytes(32)


def status(mtime_ns: int = 0, mode: int = stat.S_IFREG | 0o600) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, 0, 0, 5, 0, mtime_ns // 10**9, 0), {"st_mtime_ns": mtime_ns})


def mac(message: bytes) -> bytes:
    return hmac_sha256(SECRET, message)


@pytest.mark.parametrize(
    "name", ["lock", "ledger", "spare", "drop", "quarantine", "event-00000000000000ff.seg", ".anything"]
)
def test_own_names_are_never_taken(name: str) -> None:
    assert oldspool.is_ours(name)
    assert oldspool.oldest([(name, status())], (-1, "")) == []


@pytest.mark.parametrize("name", ["a1b2_XyZ123", "event-ff.seg", "Lock", "tmpAbCd", "\udcff", "x\ny"])
def test_any_other_name_may_be_a_record(name: str) -> None:
    assert not oldspool.is_ours(name)
    assert oldspool.oldest([(name, status(7))], (-1, "")) == [(7, name)]


def test_oldest_come_first_and_directories_not_at_all() -> None:
    entries = [(f"{n}", status(n % 7)) for n in range(50)] + [("lost+found", status(0, stat.S_IFDIR | 0o700))]
    found = oldspool.oldest(entries, (-1, ""))
    assert found == sorted(found)
    assert len(found) == 50
    pieces, after = [], (-1, "")
    while some := oldspool.oldest(entries, after, 8):
        pieces += some
        after = some[-1]
    assert pieces == found


def test_id_is_the_files_own_and_lasts() -> None:
    place = (1_700_000_000_123_456_789, "hash_AbCdEf")
    one = oldspool.record_id(mac, place, b"content")
    assert one == oldspool.record_id(mac, place, b"content")
    assert len(one) == 16
    assert one[:6] == bytes(6)
    assert one[6] >> 4 == 7
    assert one[8] >> 6 == 2
    others = {
        oldspool.record_id(mac, (place[0] + 1, place[1]), b"content"),
        oldspool.record_id(mac, (place[0], "hash_AbCdEg"), b"content"),
        oldspool.record_id(mac, place, b"content."),
        oldspool.record_id(lambda message: hmac_sha256(b"another", message), place, b"content"),
    }
    assert len(others | {one}) == 5


def test_id_of_a_name_that_is_no_text() -> None:
    assert oldspool.record_id(mac, (-5, "\udcff\udc80"), b"") != oldspool.record_id(mac, (-5, "\udcff"), b"")


@pytest.mark.parametrize(
    ("mtime_ns", "expected"),
    [(5_000, 5), (10_000_000, 10_000), (10_001_000, 0), (0, 0), (-1, 0), (999, 0)],
)
def test_age_counts_from_the_files_time_where_that_makes_sense(mtime_ns: int, expected: int) -> None:
    assert oldspool.admitted_us(mtime_ns, 10_000) == expected


@pytest.mark.parametrize(
    "data", [b"", b"CFG:/etc/a.conf\n", b"record_format_version: 4\n", b"record_format_version: x"]
)
def test_record_good_or_bad_is_recognised_by_its_begin(data: bytes) -> None:
    source = oldspool.OldSpool("/nowhere", mac)
    assert isinstance(source.judge("x", File(data, 0)), File)


@pytest.mark.parametrize("data", [b"cfg:/etc", b"CF", b"#!/bin/sh\n", b"\0", b" record_format_version: 4"])
def test_anything_else_stays(data: bytes) -> None:
    judged = oldspool.OldSpool("/nowhere", mac).judge("x", File(data, 0))
    assert isinstance(judged, Unfit)
    assert judged.stays


@pytest.mark.parametrize(
    ("found", "stays"),
    [
        (Unfit(LINK, b"/etc/passwd"), False),
        (Unfit("its owner is user 5", b"CFG:/x"), False),
        (Unfit("its owner is user 5", b"something"), True),
        (Unfit("it is not a regular file"), True),
        (Unfit("it can't be opened (Permission denied)", stays=True), True),
    ],
)
def test_unfit_files_are_put_away_only_where_they_were_records(found: Unfit, stays: bool) -> None:
    judged = oldspool.OldSpool("/nowhere", mac).judge("x", found)
    assert isinstance(judged, Unfit)
    assert (judged.stays, judged.begin, judged.why) == (stays, found.begin, found.why)
