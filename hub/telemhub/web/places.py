# SPDX-License-Identifier: Apache-2.0
"""Who may be connected when many want to be: a number of places, and whose is given to a newcomer when all are taken.

It is taken from the address that has the most, there from the one who has kept the hub waiting longest: a slow client
costs slow clients their place, never one whose request is complete. Pure: no socket, no clock.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

IPV6_NETWORK_BITS: Final = 64
"""One household or machine gets at least so many addresses: they count as one."""

Holder = TypeVar("Holder", bound="Hashable")


class Places(Generic[Holder]):
    """At most `limit` holders, each with its peer's address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._peers: dict[Holder, str] = {}
        self._counts: Counter[str] = Counter()
        self._waiting: dict[Holder, None] = {}  # the one that has kept us waiting longest first

    def __len__(self) -> int:
        return len(self._peers)

    def enter(self, holder: Holder, address: str) -> Holder | None:
        """The holder has a place now, or, as the result, somebody else has lost theirs for it: the caller closes that
        connection. Where the result is the holder itself it has none: everybody else's request is complete."""
        displaced = self._displaceable() if len(self._peers) >= self._limit else None
        if len(self._peers) >= self._limit:
            if displaced is None:
                return holder
            self.leave(displaced)
        peer = network(address)
        self._peers[holder] = peer
        self._counts[peer] += 1
        self._waiting[holder] = None
        return displaced

    def waits(self, holder: Holder) -> None:
        """The hub begins to wait for this one's next request, or the next part of it."""
        if holder in self._peers:
            self._waiting.pop(holder, None)
            self._waiting[holder] = None

    def is_answered(self, holder: Holder) -> None:
        """Its request is complete: it is the hub's turn."""
        self._waiting.pop(holder, None)

    def leave(self, holder: Holder) -> None:
        """It is gone. Who has no place leaves none."""
        peer = self._peers.pop(holder, None)
        if peer is None:
            return
        self._waiting.pop(holder, None)
        self._counts[peer] -= 1
        if not self._counts[peer]:
            del self._counts[peer]

    def _displaceable(self) -> Holder | None:
        most, found = 0, None
        for holder in self._waiting:
            count = self._counts[self._peers[holder]]
            if count > most:
                most, found = count, holder
        return found


def network(address: str) -> str:
    """What counts as one peer: an IPv4 address, or the network of an IPv6 address. Anything else is one peer by its
    text."""
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(number, ipaddress.IPv6Address):
        if number.ipv4_mapped is not None:
            return str(number.ipv4_mapped)
        return str(ipaddress.ip_network((number, IPV6_NETWORK_BITS), strict=False))
    return str(number)
