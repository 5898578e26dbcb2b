# SPDX-License-Identifier: Apache-2.0
"""The server's life: a listening socket, the ready line, and an end within two seconds, with all that was
handed over finished.

No routes and no records.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final

import uvicorn
from sdnotify import SystemdNotifier

from telemhub.web.connection import HEAD_BYTES_MAX, IDLE_S, bounded_connections

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import ASGIApp

    from telemhub.store import Store

BACKLOG: Final = 512

GRACE_S: Final = 1
"""For requests that are under way when the hub is told to stop."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket at a numeric address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def serve(
    app: ASGIApp,
    store: Store,
    listener: socket.socket,
    ready: Callable[[], None],
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Until SIGTERM or SIGINT; the store is closed then. ready: called once, when requests are answered. tls: files of
    certificate and key, for https (TLS 1.2 or newer)."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again when it is done, for whoever was there before: that is nobody.
        signal.signal(number, lambda *_: None)
    asyncio.run(_serve(app, store, listener, ready, tls))


async def _serve(
    app: ASGIApp, store: Store, listener: socket.socket, ready: Callable[[], None], tls: tuple[Path, Path] | None
) -> None:
    config = uvicorn.Config(
        app,
        http=bounded_connections(),
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        ssl_certfile=None if tls is None else tls[0],
        ssl_keyfile=None if tls is None else tls[1],
    )
    if tls is not None:
        config.load()
        assert config.ssl is not None
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    notifier = SystemdNotifier()
    try:
        await _Announced(config, notifier, ready).serve(sockets=[listener])
    finally:
        await asyncio.to_thread(store.close)
        _disconnect(notifier)


def _watchdog_s() -> float:
    """How often systemd wants to hear from us, half of what it allows; 0 for never."""
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(limit_us) / 2_000_000 if ours and limit_us.isdecimal() else 0.0


class _Announced(uvicorn.Server):
    """Says when it is ready, that it is alive, and when it stops."""

    def __init__(self, config: uvicorn.Config, notifier: SystemdNotifier, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._notifier = notifier
        self._ready = ready
        self._watchdog_s = _watchdog_s()
        self._watchdog_due_s = 0.0

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, by the loop that answers: a loop that hangs says nothing any more."""
        now_s = time.monotonic()
        if self._watchdog_s and now_s >= self._watchdog_due_s:
            self._watchdog_due_s = now_s + self._watchdog_s
            self._notifier.notify("WATCHDOG=1")
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
        self._notifier.notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._notifier.notify("STOPPING=1")
        await super().shutdown(sockets)


def _disconnect(notifier: SystemdNotifier) -> None:
    """It keeps a socket and has no word for closing it."""
    if notifier.socket is not None:
        notifier.socket.close()
        notifier.socket = None
