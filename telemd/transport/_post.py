# SPDX-License-Identifier: Apache-2.0
"""One kept-alive HTTP connection to one server, with a limit on everything: what transports share.

It knows HTTP, TLS and time; what an answer means, it leaves to telemd.answers, and it must never learn what a record
is. The environment decides nothing here: no proxy, no CA bundle, no .netrc is taken from it. No redirect is followed,
no cookie kept, and no TLS session or connection outlives the object.
"""

from __future__ import annotations

import errno
import http.client
import http.cookiejar
import io
import os
import signal
import socket
import ssl
import time
import urllib.parse

import requests
import urllib3
from requests.adapters import HTTPAdapter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType, TracebackType
    from typing import Any, Final

CONNECT_TIMEOUT_S: Final = 5.0
SOCKET_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1024 * 1024
_PIECE_BYTES: Final = 16 * 1024

# Where a system keeps its CAs when OpenSSL's built-in paths lead nowhere, as in a Python that was built elsewhere.
_CA_FILES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

_UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EACCES)


class Answer:
    """A whole HTTP answer; header names in lower case, the values of one given twice joined by a comma."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Failure:
    """No whole answer. kind: a key of telemd.answers.FAILURES; detail holds nothing that was sent or received."""

    __slots__ = ("detail", "kind")

    def __init__(self, kind: str, detail: str = "") -> None:
        self.kind = kind
        self.detail = detail


class _DeadlinePassed(BaseException):
    """Not an Exception, so that no handler inside the HTTP stack takes it for one of its own."""


class _Deadline:
    """Ends whatever blocks in the main thread once time.monotonic() passes at_s.

    Socket timeouts start anew with every byte, in the TLS handshake, the answer's headers and its body alike: a server
    that sends one byte a second would hold the courier for hours. An alarm has no such gaps. It repeats, because an
    exception that is raised inside a destructor is lost.
    """

    __slots__ = ("_at_s", "_before", "_on")

    def __init__(self, at_s: float) -> None:
        self._at_s = at_s
        self._on = False

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        self._on = True
        signal.setitimer(signal.ITIMER_REAL, max(self._at_s - time.monotonic(), 0.001), 0.5)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._on:
            raise _DeadlinePassed


class _Context(ssl.SSLContext):
    """Checks the certificate against the URL's host in any case: of an IP address urllib3 1 says nothing to it."""

    host = ""

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        kwargs["server_hostname"] = kwargs.get("server_hostname") or self.host
        return super().wrap_socket(*args, **kwargs)


class _Adapter(HTTPAdapter):
    """Trusts what our own TLS context trusts, where requests would add a CA bundle of its own."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = None
        conn.ca_cert_dir = None


class Connection:
    """POSTs to one URL. close() it before the next machine id or destination."""

    __slots__ = ("_failure", "_reused", "_session", "_url")

    def __init__(self, url: str, cainfo: str = "") -> None:
        """cainfo: PEM file of the CAs to trust; empty for the system's. What is wrong with either shows at post()."""
        self._url = url
        self._failure: Failure | None = None
        self._reused = False
        context = None
        scheme = url.partition("://")[0].lower()
        if scheme == "https":
            try:
                context = _tls_context(cainfo)
                context.host = _host_of(url)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                self._failure = Failure("cainfo", _words_of(error))
        elif scheme != "http":
            self._failure = Failure("address")
        # A name server that doesn't answer must not hold us for the C library's 30 s, which no alarm can end.
        os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.clear()
        self._session.headers.update({"User-Agent": "telemetrics", "Accept-Encoding": "identity"})
        self._session.adapters.clear()
        self._session.mount(f"{scheme}://", _Adapter(context))

    def close(self) -> None:
        self._session.close()

    def post(self, body: bytes, headers: Mapping[str, str], deadline_s: float) -> Answer | Failure:
        """The answer, however the server means it, or why there is none.

        deadline_s: on time.monotonic()'s scale. A connection that was kept and turns out to be dead is made anew, once:
        the server may have read the body twice then, so what it holds must be safe to send again.
        """
        if self._failure is not None:
            return self._failure
        reused = self._reused
        answer = self._post(body, headers, deadline_s)
        if reused and isinstance(answer, Failure) and answer.kind == "dropped":
            answer = self._post(body, headers, deadline_s)
        return answer

    def _post(self, body: bytes, headers: Mapping[str, str], deadline_s: float) -> Answer | Failure:
        self._reused = False
        try:
            with _Deadline(deadline_s):
                answer = self._exchange(body, headers)
        except _DeadlinePassed:
            answer = Failure("slow", "no whole answer in the time a batch may take")
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            answer = _failure_of(error)
        except ValueError:  # UnicodeError too: a host name that is none
            answer = Failure("address")
        if isinstance(answer, Failure):
            self._session.close()  # the connection is in an unknown state; the next post makes a new one
        else:
            self._reused = True
        return answer

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer | Failure:
        with self._session.post(
            self._url,
            # As a file it goes out in pieces, each with a timeout of its own: a slow uplink is not a dead one.
            data=io.BytesIO(body),
            headers=dict(headers),
            timeout=(CONNECT_TIMEOUT_S, SOCKET_TIMEOUT_S),
            allow_redirects=False,
            stream=True,
        ) as response:
            received = bytearray()
            # Undecoded: nothing that was not asked for is unpacked, so ANSWER_BYTES_MAX is what it costs.
            while piece := response.raw.read(_PIECE_BYTES, decode_content=False):
                received += piece
                if len(received) > ANSWER_BYTES_MAX:
                    return Failure("oversized")
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and len(received) < int(length):
                return Failure("dropped")  # urllib3 1 takes the end of the connection for the end of the body
            named = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, named, bytes(received))


def _host_of(url: str) -> str:
    try:
        return urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""  # post() will find that it is no address


def _tls_context(cainfo: str) -> _Context:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cainfo:
        context.load_verify_locations(cafile=cainfo)
        return context
    # Not load_default_certs(): that obeys SSL_CERT_FILE and SSL_CERT_DIR.
    paths = ssl.get_default_verify_paths()
    if os.path.isdir(paths.openssl_capath) and os.listdir(paths.openssl_capath):
        context.load_verify_locations(capath=paths.openssl_capath)
        return context
    for path in (paths.openssl_cafile, *_CA_FILES):
        if os.path.isfile(path):
            context.load_verify_locations(cafile=path)
            return context
    raise FileNotFoundError(errno.ENOENT, "no CA of the system found: install ca-certificates, or set it")


def _words_of(error: BaseException) -> str:
    """What an operator may read of an error: the system's or OpenSSL's words for it, never str() of unknown things."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failed").replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it wraps; requests and urllib3 keep it in three different places."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        wrapped = waiting.pop(0)
        if not isinstance(wrapped, BaseException) or id(wrapped) in seen:
            continue
        seen.add(id(wrapped))
        yield wrapped
        waiting += [wrapped.__cause__, wrapped.__context__, getattr(wrapped, "reason", None), *wrapped.args]


def _failure_of(error: Exception) -> Failure:
    causes = list(_causes(error))

    def among(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    exceptions = requests.exceptions
    if among(exceptions.InvalidURL, exceptions.InvalidSchema, urllib3.exceptions.LocationValueError, UnicodeError):
        return Failure("address")
    if found := among(ssl.SSLCertVerificationError):
        return Failure("certificate", _words_of(found))
    if found := among(ssl.SSLError):
        # The other side hanging up in the middle of a TLS connection is no fault of TLS.
        eof = isinstance(found, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        return Failure("dropped") if eof else Failure("tls", _words_of(found))
    if among(socket.gaierror):
        return Failure("name")
    if among(ConnectionRefusedError):
        return Failure("refused")
    if among(exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return Failure("unreachable", f"no connection within {CONNECT_TIMEOUT_S:.0f} s")
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            return Failure("unreachable", _words_of(cause))
    if among(TimeoutError, exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError):
        return Failure("slow", f"nothing moved for {CONNECT_TIMEOUT_S:.0f} s or more")
    # RemoteDisconnected is a BadStatusLine too, of nothing at all: it is a connection lost.
    if among(http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.IncompleteRead):
        return Failure("dropped")
    if among(http.client.HTTPException, exceptions.InvalidHeader):
        return Failure("not-http")
    return Failure("dropped")
