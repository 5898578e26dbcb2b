# SPDX-License-Identifier: Apache-2.0
"""The record of boots and shutdowns where a system has wtmpdb(8) and no wtmp: a table of SQLite.

A row of type BOOT_TIME is written as a boot begins, and gets its `Logout` when it ends in order; both in microseconds,
`RemoteHost` is the kernel's release. Read as it lies there, without a lock.
"""

from __future__ import annotations

from telemetry_probes.boots.wtmp import RELEASE_MAX, Word

PATH = "/var/lib/wtmpdb/wtmp.db"
NEAR_S = 600
"""A row that began so near to this boot is this boot's."""
_BOOT_TIME = 1


def last_boot(path: str, began_s: int) -> Word | None:
    """What is written of the boot before the one that began then. None where there is nothing, or nobody can say which
    boot a row is of."""
    from sqlite3 import Error, connect

    try:
        opened = connect(f"file:{path.replace('%', '%25').replace('?', '%3f')}?mode=ro&immutable=1", uri=True)
    except Error:
        return None
    try:
        rows = opened.execute(
            "SELECT Login, Logout, RemoteHost FROM wtmp WHERE Type = ? ORDER BY ID DESC LIMIT 2", (_BOOT_TIME,)
        ).fetchall()
    except Error:
        return None
    finally:
        opened.close()
    for at, (login, logout, host) in enumerate(rows):
        if not isinstance(login, int) or not 0 < login < 1 << 62:
            return None
        if not isinstance(logout, int) or logout <= 0:
            if at == 0 and abs(login // 1_000_000 - began_s) <= NEAR_S:
                continue
            if at == 0:
                return None  # this boot's after the clock was set, or the last one's after its power was cut
            logout = 0
        release = host[:RELEASE_MAX] if isinstance(host, str) else ""
        return Word(logout > 0, login // 1_000_000, logout // 1_000_000, release)
    return None
