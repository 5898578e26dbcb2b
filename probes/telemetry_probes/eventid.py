# SPDX-License-Identifier: Apache-2.0
"""The event id of a crash: the same in every record of it, whoever makes one.

The kernel's log, the journal and the crash handler each tell of a crash in a record of their own; that they belong
together is seen by this id, which each can work out from the boot and the pid. Pure: the id of a boot is an argument.
"""

from __future__ import annotations

_PERSON = b"tm crash event"


def of_crash(boot_id: str, pid: int) -> bytes:
    """16 bytes. `boot_id` as in /proc/sys/kernel/random/boot_id, dashes or not; `pid` is the process's, not a thread's,
    as the host counts. A pid that comes again within one boot has the same id."""
    from _blake2 import blake2b  # a small part of hashlib, in every version

    text = f"{boot_id.strip().replace('-', '').lower()} {pid}"
    return blake2b(text.encode("ascii", "replace"), digest_size=16, person=_PERSON).digest()
