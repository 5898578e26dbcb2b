# SPDX-License-Identifier: Apache-2.0
"""Why there is no answer: the exceptions of the HTTP stack, the TLS library and the system, put into our few kinds.

Pure: an exception in, a value out. Never str() of an error that is not ours: it may hold an address with a password.
"""

from __future__ import annotations

import errno
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EACCES)

_OWN_CERTIFICATE_ALERTS: Final = (
    "certificate required",
    "alert bad certificate",
    "alert unknown ca",
    "alert certificate unknown",
    "alert certificate expired",
    "alert unsupported certificate",
    "alert access denied",
)
"""What a server says over TLS that is not content with our certificate, in OpenSSL's words."""


class Failure:
    """No whole answer. kind: a key of telemd.answerrules.FAILURES; detail holds nothing that was sent or received."""

    __slots__ = ("detail", "kind")

    def __init__(self, kind: str, detail: str = "") -> None:
        self.kind = kind
        self.detail = detail


def words_of(error: BaseException) -> str:
    """What an operator may read of an error: the system's or OpenSSL's words for it."""
    verify_message = getattr(error, "verify_message", None)
    if isinstance(verify_message, str):
        return verify_message
    if _is(error, "SSLError"):
        return (getattr(error, "reason", None) or "handshake failed").replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def failure_of(error: Exception, connect_s: float, by_proxy: bool) -> Failure:
    """connect_s: what a connection may take, for the operator. by_proxy: a proxy stands between us and the server."""
    causes = list(_causes(error))
    if by_proxy and any(_is(cause, "ProxyError") for cause in causes):
        return _proxy_failure(causes, connect_s)
    return _own_failure(causes, connect_s)


def _own_failure(causes: list[BaseException], connect_s: float) -> Failure:
    def among(*names: str) -> BaseException | None:
        return next((cause for cause in causes if _is(cause, *names)), None)

    if among("LocationValueError", "UnicodeError", "InvalidURL"):
        return Failure("address")
    if found := among("SSLCertVerificationError"):
        return Failure("certificate", words_of(found))
    # Only the standard library's: urllib3 has an SSLError of its own, which wraps it.
    if found := next((cause for cause in causes if isinstance(cause, OSError) and _is(cause, "SSLError")), None):
        return _tls_failure(found)
    if among("gaierror"):
        return Failure("name")
    if among("ConnectionRefusedError"):
        return Failure("refused")
    if among("ConnectTimeoutError"):
        return Failure("unreachable", f"no connection within {connect_s:.0f} s")
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            return Failure("unreachable", words_of(cause))
    if among("TimeoutError", "ReadTimeoutError"):
        return Failure("slow", f"nothing moved for {connect_s:.0f} s or more")
    # RemoteDisconnected is a BadStatusLine too, of nothing at all: it is a connection lost.
    if among("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError", "IncompleteRead"):
        return Failure("dropped")
    if among("HTTPException", "InvalidHeader"):
        return Failure("not-http")
    return Failure("dropped")


def _tls_failure(error: BaseException) -> Failure:
    # The other side hanging up in the middle of a TLS connection is no fault of TLS.
    if _is(error, "SSLEOFError", "SSLZeroReturnError"):
        return Failure("dropped")
    words = words_of(error)
    refused = any(alert in words for alert in _OWN_CERTIFICATE_ALERTS)
    return Failure("client-refused" if refused else "tls", words)


def _proxy_failure(causes: list[BaseException], connect_s: float) -> Failure:
    for cause in causes:
        # http.client says it in words alone; only the number is taken from them.
        if said := re.match(r"Tunnel connection failed: (\d{3})", str(cause.args[0]) if cause.args else ""):
            wants_login = (
                ": it wants other credentials, as in http://USER:PASSWORD@HOST:PORT" if said[1] == "407" else ""
            )
            return Failure("proxy", f"it answered {said[1]}{wants_login}")
    own = _own_failure(causes, connect_s)
    words = {
        "name": "its name can't be resolved",
        "refused": "nothing listens there",
        "dropped": "it closed the connection",
        "slow": "it didn't answer in time",
        "not-http": "what it answers is not HTTP",
    }
    return Failure("proxy", words.get(own.kind) or own.detail or own.kind)


def _is(error: BaseException, *names: str) -> bool:
    """By name: the exceptions of urllib3 1 and 2, http.client, ssl and socket, without importing any of them."""
    return any(base.__name__ in names for base in type(error).__mro__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it wraps; urllib3 keeps it in four different places."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        wrapped = waiting.pop(0)
        if not isinstance(wrapped, BaseException) or id(wrapped) in seen:
            continue
        seen.add(id(wrapped))
        yield wrapped
        more = (getattr(wrapped, "reason", None), getattr(wrapped, "original_error", None))
        waiting += [wrapped.__cause__, wrapped.__context__, *more, *wrapped.args]
