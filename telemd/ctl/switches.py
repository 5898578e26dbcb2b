# SPDX-License-Identifier: Apache-2.0
"""What the configuration enables and disables, and which layer of it says so. Pure; what telemd knows isn't in here."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from telemd.config import Loaded

NAMES: Final = {
    "record_server_delivery_enabled": "delivery",
    "record_retention_enabled": "copies of records",
    "rate_limit_enabled": "rate limits",
    "daemon_recycling_enabled": "leaving when idle",
}
"""In the operator's words."""


class Switch:
    """One setting that is on or off. layer: a file, or the built-in ones."""

    __slots__ = ("is_on", "key", "layer")

    def __init__(self, key: str, is_on: bool, layer: str) -> None:
        self.key = key
        self.is_on = is_on
        self.layer = layer


def found(loaded: Loaded) -> list[Switch]:
    """All of NAMES."""
    origins = loaded.origins
    return [Switch(key, bool(getattr(loaded.settings, key)), origins[key]) for key in NAMES]


def rows(of: Iterable[Switch]) -> list[tuple[str, str]]:
    """What is enabled and what isn't, each by layer: a name and what stands beside it."""
    sorts: dict[str, dict[str, list[str]]] = {"enabled": {}, "disabled": {}}
    for each in of:
        layers = sorts["enabled" if each.is_on else "disabled"]
        layers.setdefault(each.layer, []).append(NAMES[each.key])
    return [
        (sort, "; ".join(f"{', '.join(names)} ({layer})" for layer, names in layers.items()))
        for sort, layers in sorts.items()
        if layers
    ]
