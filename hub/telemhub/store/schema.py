# SPDX-License-Identifier: Apache-2.0
"""The tables, and connections to them. The one place that knows SQLite's settings and what its errors mean; no
records here."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

from telemhub.store import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME: Final = "records.sqlite"
VERSION: Final = 2
APPLICATION_ID: Final = 0x746C6D68  # "tlmh"

PAGE_SIZE: Final = 4096
WRITER_CACHE_KIB: Final = 32 * 1024
READER_CACHE_KIB: Final = 8 * 1024
CHECKPOINT_PAGES: Final = 4096
"""Of the write-ahead log, after which its content moves into the file: fewer would write the indexes' pages over and
over."""

WAL_KEPT_BYTES: Final = 64 * 1024 * 1024
BUSY_TIMEOUT_S: Final = 5.0
FULL_RETRY_S: Final = 30
BROKEN_RETRY_S: Final = 10

TABLES: Final = """
CREATE TABLE machine (
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    records INTEGER NOT NULL DEFAULT 0,
    received_us INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE host (
    key INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL REFERENCES machine,
    facts TEXT NOT NULL,
    UNIQUE (machine, facts)
);
CREATE TABLE classification (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    records INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    event_id BLOB,                  -- NULL: none
    created_us INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    machine INTEGER NOT NULL REFERENCES machine,
    host INTEGER NOT NULL REFERENCES host,
    classification INTEGER NOT NULL REFERENCES classification,
    severity INTEGER NOT NULL,
    payload_version INTEGER NOT NULL,
    payload_kind INTEGER NOT NULL,
    facts TEXT,
    attributes TEXT,
    payload                         -- TEXT or BLOB, as it came
);
CREATE INDEX record_by_time ON record (created_us);
CREATE INDEX record_by_classification ON record (classification, created_us);
CREATE INDEX record_by_machine ON record (machine, created_us);
CREATE INDEX record_by_event ON record (event_id) WHERE event_id IS NOT NULL;
CREATE TABLE pulse (key INTEGER PRIMARY KEY CHECK (key = 1), beaten_us INTEGER NOT NULL);
INSERT INTO pulse VALUES (1, 0);
"""


METRIC_TABLES: Final = """
CREATE TABLE series (
    key INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL REFERENCES machine,
    name TEXT NOT NULL,
    attributes TEXT NOT NULL,       -- JSON object of strings
    unit TEXT NOT NULL,
    kind TEXT NOT NULL,             -- counter or gauge
    last_us INTEGER NOT NULL,       -- of its newest point
    UNIQUE (machine, name, attributes, unit, kind)
);
CREATE INDEX series_by_age ON series (machine, last_us);
CREATE TABLE points (
    series INTEGER NOT NULL REFERENCES series,
    first_us INTEGER NOT NULL,
    start_us INTEGER NOT NULL,      -- the baseline of a counter, else 0
    last_us INTEGER NOT NULL,
    data BLOB NOT NULL,             -- telemhub.points
    PRIMARY KEY (series, first_us, start_us)
) WITHOUT ROWID;
"""
"""New in version 2."""


class NotOurs(Exception):
    """The file is there, but isn't this program's, or of another version. The text says what to do."""


def open_writer(directory: Path, size_max: int | None) -> sqlite3.Connection:
    """The only connection that writes; makes the file if it isn't there. size_max: bytes the file may grow to. Raises
    NotOurs and sqlite3.Error."""
    path = directory / FILE_NAME
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and (application != APPLICATION_ID or version not in (1, VERSION)):
            raise NotOurs(f"{path} is not a store of this version of telemhub: give another directory, or move it away")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        if size_max is not None:
            connection.execute(f"PRAGMA max_page_count = {max(1, size_max // PAGE_SIZE)}")
        if not tables:
            _make_tables(connection, TABLES + METRIC_TABLES)
            _sync_directory(directory)
        elif version == 1:
            _make_tables(connection, METRIC_TABLES)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(directory: Path) -> sqlite3.Connection:
    """A connection that can't write."""
    path = (directory / FILE_NAME).absolute()
    connection = sqlite3.connect(
        path.as_uri() + "?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _make_tables(connection: sqlite3.Connection, tables: str) -> None:
    """All or nothing: a kill in the middle leaves no half a store."""
    connection.executescript(
        f"BEGIN IMMEDIATE;{tables}PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def _sync_directory(directory: Path) -> None:
    """The file's name must be as durable as the first record in it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unavailable(error: sqlite3.Error) -> Unavailable:
    """What to tell a client about an error of SQLite's that isn't our own fault."""
    if is_full(error):
        return Unavailable("the hub's disk is full, or its store has reached the size it was given", FULL_RETRY_S)
    return Unavailable("the hub's store can't be used at present", BROKEN_RETRY_S)


def is_full(error: sqlite3.Error) -> bool:
    # Python 3.10 has no error codes yet.
    return "full" in str(error)
