# SPDX-License-Identifier: Apache-2.0
"""What the verbs of the control socket see of the daemon. For the type checker alone: nothing is made here."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from telemd.inbound import Inbound
    from telemd.outbound import Outbound
    from telemd.spool import Spool

    class Running(Protocol):
        """The rooms of one daemon."""

        inbound: Inbound
        outbound: Outbound

        @property
        def spool(self) -> Spool | None:
            """Where the owner has opted in and it can be used."""
            ...
