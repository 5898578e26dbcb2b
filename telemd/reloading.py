# SPDX-License-Identifier: Apache-2.0
"""A configuration that comes into force while telemd runs: read and judged as a whole, then taken up by each room.

Where anything in it can't hold, all of the old one stays.
"""

from __future__ import annotations

import logging
import os

from telemd import config
from telemd.destinations import destination_of
from telemd.limits import Limits
from telemd.recordcopies import RecordCopies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.clock import Clock
    from telemd.config import Loaded, Settings
    from telemd.inbound import Inbound
    from telemd.outbound import Outbound

log = logging.getLogger("telemd")


def read(path: str | None, old: Settings) -> Loaded | str:
    """The configuration that may take the old one's place; a sentence, which is in the log then, where it isn't valid
    or needs a restart. path: as for config.load()."""
    try:
        loaded = config.load(path)
    except config.ConfigError as error:
        log.error("the configuration is not valid, the old one stays in force: %s", error)
        return str(error)
    fixed = [name for name in config.FIXED_WHILE_RUNNING if getattr(loaded.settings, name) != getattr(old, name)]
    if fixed:
        sentence = f"{', '.join(fixed)} changed: {_how(path, loaded.settings, old)} that into force"
        log.warning("%s; the old configuration stays in force until then", sentence)
        return sentence
    return loaded


def _how(path: str | None, new: Settings, old: Settings) -> str:
    named = f" -f {path}" if path else ""
    if new.control_socket_path != old.control_socket_path:  # telemctl would ask at the new place, where nobody is
        return f"`kill {os.getpid()}`, then `telemctl{named} start` bring"
    return f"`telemctl{named} restart` brings"


def take_up_inbound(settings: Settings, old: Settings, inbound: Inbound, clock: Clock) -> None:
    """The way in: limits, which go on from what they have counted, and copies."""
    if settings.record_retention_enabled != old.record_retention_enabled:
        inbound.copies = RecordCopies() if settings.record_retention_enabled else None
    if settings.changed(old):
        kept = inbound.limits.dump(clock.minute())
        inbound.limits = Limits(settings)
        inbound.limits.load(clock.minute(), kept)


def take_up_outbound(settings: Settings, outbound: Outbound) -> None:
    """The way out: where to, how much at once, how long to wait."""
    outbound.redirect(destination_of(settings))
    outbound.records_max = settings.delivery_batch_records
    outbound.delivery.cap_s = settings.retry_max_s
