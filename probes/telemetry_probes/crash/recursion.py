# SPDX-License-Identifier: Apache-2.0
"""How many frames of an endless recursion are all alike, told by comparing memory at once instead of frame by frame.

A stack of 8 MiB holds hundreds of thousands of them, and only its ends go into a report. Pure: it reads `Memory`.
"""

from __future__ import annotations

from struct import error, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.model import Memory

BYTES_MAX = 1 << 20
"""That are compared at once."""
FRAMES_MIN = 256
"""Fewer are walked as quickly."""


def alike(memory: Memory, cfa: int, base: int, stride: int, returns: tuple[int, int], chain: int | None) -> int:
    """How many frames follow each other by `stride` bytes and differ in nothing else: 0, or FRAMES_MIN and more.

    The first has its canonical address at `cfa`, and its rules count from `base`. `returns` is where each has its
    return address, measured from its own `cfa`, and which; `chain` where it has the frame pointer of the next, if rules
    count from that.
    """
    place, address = returns
    if stride < 16 or stride % 8 or not -stride <= place < 0 or (chain is not None and not -stride <= chain < 0):
        return 0
    count = BYTES_MAX // stride
    while count >= FRAMES_MIN:
        content = memory.read(cfa - stride, count * stride)
        if content is not None:
            words = memoryview(content).cast("Q")
            same = words[(stride + place) // 8 :: stride // 8].tobytes() == address.to_bytes(8, "little") * count
            if same and (
                chain is None
                or words[(stride + chain) // 8 :: stride // 8].tobytes() == _rising(base + stride, stride, count)
            ):
                return count
        count //= 2
    return 0


def _rising(first: int, stride: int, count: int) -> bytes:
    try:
        return pack(f"<{count}Q", *range(first, first + count * stride, stride))
    except error:  # past the end of the address space
        return b""
