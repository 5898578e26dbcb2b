# SPDX-License-Identifier: Apache-2.0
"""The ways out: one file per transport, found by its name; nothing else in the project touches the network.

A transport is a module of this package (its name with `_` for `-`) with a function `open_transport(destination)`.
There is no list to add it to. Modules that begin with `_` are what transports share. Only the courier imports this
package: it must never be imported by telemd itself, and never touch the spool.
"""

from __future__ import annotations

import importlib
import pkgutil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from telemd.answers import Outcome
    from telemd.courierframes import Destination

    class Transport(Protocol):
        """A kept-alive way to one server for one machine id; a change of either takes a new one."""

        def deliver(self, host: dict[str, str], records: bytes, deadline_s: float) -> Outcome:
            """Send records (format 5, back to back; 1 .. 1,000) and say what became of each, in order.

            host: machine_id and the host's facts. deadline_s: on time.monotonic()'s scale; what is undecided then is
            RETRY. Whatever the server or the network does is an outcome; only a fault of ours raises.
            """
            ...

        def close(self) -> None: ...


class UnknownTransport(LookupError):
    """No transport has this name."""


def names() -> list[str]:
    """The transports there are, as `transport` in the settings spells them."""
    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )


def opener(name: str) -> Callable[[Destination], Transport]:
    """open_transport of the transport of that name. UnknownTransport where there is none."""
    if name not in names():
        raise UnknownTransport(name)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    opened: Callable[[Destination], Transport] = module.open_transport
    return opened
