# SPDX-License-Identifier: Apache-2.0
"""How much of its answers the hub keeps for clients that don't take them, and whose goes where that is too much.

That of the address which leaves the most unread, there of the one who has done so longest. Pure: no socket, no clock.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic

from telemhub.web.places import Holder, network

if TYPE_CHECKING:
    from collections.abc import Iterator


class Unread(Generic[Holder]):
    """At most `limit` bytes, or one answer that is larger."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Holder, tuple[str, int]] = {}  # the one that has left it longest first
        self._bytes: Counter[str] = Counter()

    def add(self, holder: Holder, address: str, size: int) -> list[Holder]:
        """So many bytes wait for that client. The others whose bytes have to go: the caller ends their connections."""
        self.forget(holder)
        peer = network(address)
        self._held[holder] = peer, size
        self._bytes[peer] += size
        return list(self._make_room(holder))

    def forget(self, holder: Holder) -> None:
        """It has taken them, or is gone."""
        peer, size = self._held.pop(holder, ("", 0))
        self._bytes[peer] -= size
        if not self._bytes[peer]:
            del self._bytes[peer]

    def _make_room(self, newest: Holder) -> Iterator[Holder]:
        while self._bytes.total() > self._limit and len(self._held) > 1:
            others = [each for each in self._held if each is not newest]
            found = max(others, key=lambda each: self._bytes[self._held[each][0]])  # the first of those
            self.forget(found)
            yield found
