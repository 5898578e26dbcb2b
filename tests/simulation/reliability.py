# SPDX-License-Identifier: Apache-2.0
"""docs/reliability.md, from the sums of a run of the simulation.

Pure: a value in, text out; no date and no machine, so that the page changes only with what was run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tally import Tally

OPENING = """\
# Reliability: what telemd was put through, and what it lost

<!-- written by `tests/simulation/proof.py --first 1 --minutes 2 --report docs/reliability.md`; not by hand -->

A record that telemd has answered `durable` is delivered to the hub, and stored there once, unless the account says
under which reason it ended: rejected by the hub, evicted at the cap, expired, or damaged on the disk. That is the
promise. This page says how it is tested and what came of it.

The simulation (`tests/simulation/`) drives telemd's own intake, admission, rate limits, spool and delivery,
unchanged, with a clock, a disk, a courier and a hub in memory. One number, the seed, decides all that happens: who
sends what and when, at which call the disk fails and how, when power is cut or the process is killed (between any
two calls to the disk, also during a start), which answers are lost. The disk has a page cache: what was never
synced is lost, kept or torn by sectors when power is cut, in any order; names of files appear and disappear only
with the directory's sync; a sync that fails drops what it should have written.
"""

RECORDS = """\

## Records

"""

FAULTS = """\

## Faults injected

"""

CLOSING = """\

## What is judged after every step

- Every record answered `durable` is at the hub, waits on the disk (read from its bytes, not from telemd's
  counters), or is counted under its reason.
- `received = refused + duplicate + admitted`, and `admitted = delivered + rejected + evicted + expired + purged +
  damaged + pending`.
- Nothing reaches the hub with bytes that nobody sent; a record that comes twice has the same bytes, and is stored
  once.
- Within a lane, records arrive in the order in which they were admitted, but for those that were carried or sent
  again.
- The files of the spool stay below the cap, open descriptors below ten; a start succeeds, and reads no more than
  what is there once.
- Every record that was sent gets its answer. When disk and hub are well again, so is telemd: by itself.

In some seeds bits turn on the disk and pages become unreadable, in some the disk lies about its syncs. There the
records that the disk lost are counted as damaged, and what is delivered is what was sent.

## The teeth

`tests/simulation/test_teeth.py` puts faults into telemd on purpose and demands that the simulation finds each one:
the answer before the sync, the unlink before the ledger's sync, the directory's sync left out, a failed sync that
is trusted, a checksum that nobody compares, a verdict applied twice, a lost answer taken for a good one, a number
given twice, and others.

## Doing it again

`make proof HOURS=8` goes on with seeds that were not tried before. A seed that fails prints its steps and the
command that repeats it: `.venv/bin/python tests/simulation/proof.py --seed N`.
"""


def render(tally: Tally) -> str:
    """The page."""
    records = (
        ("seeds", tally.seeds),
        ("records sent", tally.sent),
        ("answered durable", tally.answers["durable"]),
        ("answered duplicate", tally.answers["duplicate"]),
        ("refused, the sender was told", tally.answers["refused"]),
        ("stored at the hub", tally.stored),
        ("known to the hub when they came again", tally.seen_again),
        ("rejected by the hub, or put away", tally.ends["rejected"]),
        ("evicted at the cap", tally.ends["evicted"]),
        ("expired", tally.ends["expired"]),
        ("purged at the owner's word", tally.ends["purged"]),
        ("damaged by a disk that turns bits, or torn before they were answered", tally.ends["damaged"]),
        ("**lost**", tally.lost),
        ("**stored twice**", tally.twice),
    )
    faults = sorted(tally.injected.items(), key=lambda each: (-each[1], each[0]))
    return (
        OPENING
        + RECORDS
        + _table(("", "records"), records)
        + FAULTS
        + _table(("fault", "times"), [*faults, ("in so many calls to the disk", tally.disk_calls)])
        + CLOSING
    )


def _table(head: tuple[str, str], rows: Iterable[tuple[str, int]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---:|"]
    lines += [f"| {name} | {count:,} |" for name, count in rows]
    return "\n".join(lines) + "\n"
