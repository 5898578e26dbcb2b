# SPDX-License-Identifier: Apache-2.0
"""What telemd knows and the spool doesn't, kept in state_dir over a restart: the rate limits' counts, and how long the
server is to be left alone.

Neither is needed to run: where one can't be kept that is said, and telemd goes on.
"""

from __future__ import annotations

import logging

from telemd import limitsfile, retryfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.clock import Clock
    from telemd.config import Settings
    from telemd.inbound import Inbound
    from telemd.outbound import Outbound

log = logging.getLogger("telemd")

LIMITS_KEEP_MS: Final = 60_000
"""Seldom: a kill forgets the last minute's counts, no more."""


class KeptState:
    """now_ms is monotonic, now_us the wall clock, everywhere."""

    __slots__ = ("_clock", "_failures", "_inbound", "_limits_due_ms", "_outbound", "_recalled")

    def __init__(self, inbound: Inbound, outbound: Outbound, clock: Clock) -> None:
        self._inbound = inbound
        self._outbound = outbound
        self._clock = clock
        self._recalled = False
        self._limits_due_ms = 0
        self._failures = 0  # that retryfile tells of

    def recall(self, settings: Settings, now_ms: int, now_us: int) -> None:
        """What a former telemd has left; once, for then it is known better here."""
        if self._recalled:
            return
        self._recalled = True
        now_s = now_us / 1_000_000
        gone_min, kept = limitsfile.read(settings.state_dir, now_s)
        self._inbound.limits.load(self._clock.minute() - gone_min, kept)
        self._failures, wait_s = retryfile.read(settings.state_dir, now_s, settings.server)
        self._outbound.delivery.resume(self._failures, now_ms + int(wait_s * 1000))

    def keep(self, settings: Settings, now_ms: int, now_us: int) -> None:
        """What is due to be written."""
        if now_ms >= self._limits_due_ms:
            self.keep_limits(settings, now_ms, now_us)
        if self._outbound.delivery.failures != self._failures:  # most of the time there is nothing to keep
            self._keep_retry(settings, now_ms, now_us)

    def keep_limits(self, settings: Settings, now_ms: int, now_us: int) -> None:
        """The counts as they are now, due or not."""
        self._limits_due_ms = now_ms + LIMITS_KEEP_MS
        counts = self._inbound.limits.dump(self._clock.minute())
        try:
            limitsfile.write(settings.state_dir, now_us / 1_000_000, counts)
        except OSError as error:
            log.warning("the rate limits' counts can't be kept (%s), ignoring", error.strerror)

    def _keep_retry(self, settings: Settings, now_ms: int, now_us: int) -> None:
        delivery = self._outbound.delivery
        self._failures = delivery.failures
        if delivery.failures == 0:
            retryfile.remove(settings.state_dir)
            return
        wait_s = max(0, delivery.not_before_ms - now_ms) / 1000
        try:
            retryfile.write(settings.state_dir, now_us / 1_000_000, settings.server, delivery.failures, wait_s)
        except OSError as error:
            log.warning("when to try the server again can't be kept (%s), ignoring", error.strerror)
