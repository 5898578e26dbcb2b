# SPDX-License-Identifier: Apache-2.0
"""One kept-alive HTTP connection to one server, with a limit on everything: what transports share.

It knows HTTP and time; what an answer means, it leaves to telemd.answers, and it must never learn what a record is.
urllib3 and not more: no redirect is followed, no cookie kept, no .netrc read, since there is nothing that could. No TLS
session or connection outlives the object.
"""

from __future__ import annotations

import http.client
import io
import os
import urllib.parse

import urllib3

from telemd.courierframes import Destination
from telemd.transport import _surroundings
from telemd.transport._deadline import Deadline, DeadlinePassed
from telemd.transport._failure import Failure, failure_of, words_of
from telemd.transport._lookup import in_time
from telemd.transport._tls import introduce, trusting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from telemd.transport._tls import Context

__all__ = ["ANSWER_BYTES_MAX", "Answer", "Connection", "Failure"]

CONNECT_TIMEOUT_S: Final = 5.0
SOCKET_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1024 * 1024
_PIECE_BYTES: Final = 16 * 1024

_OURS: Final = {"User-Agent": "telemetrics", "Accept-Encoding": "identity"}

_NOT_FOR_TIDHEADER: Final = frozenset(
    ("connection", "content-encoding", "content-length", "content-type", "expect", "host", "transfer-encoding")
)
"""The owner's header line must not change what the request is."""


class Answer:
    """A whole HTTP answer; header names in lower case, the values of one given twice joined by a comma.

    ended: it said itself where it ends, and went on to there. Else the connection's end was taken for its own.
    """

    __slots__ = ("body", "ended", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes, ended: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.ended = ended


class Connection:
    """POSTs to one URL. close() it before the next machine id or destination."""

    __slots__ = ("_by_proxy", "_failure", "_headers", "_pool", "_reused", "_url")

    def __init__(self, url: str, destination: Destination | None = None) -> None:
        """destination: CAs, client certificate, proxy and header of the settings; its server is not looked at, url is.
        What is wrong with any of them shows at post()."""
        way = destination or Destination(url)
        self._failure: Failure | None = None
        self._reused = False
        self._by_proxy = False
        self._headers = {**_tid_header(way.tidheader), **_OURS}
        self._pool: urllib3.PoolManager | None = None
        # A name server that doesn't answer is left for the next one, where the C library asks them itself.
        os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")
        try:
            self._url, user, host = _address(url)
            if user:
                self._headers.update(urllib3.make_headers(basic_auth=user))
        except ValueError:
            self._failure = Failure("address")
            return
        opened = self._open(way, self._url, host)
        if isinstance(opened, Failure):
            self._failure = opened
        else:
            self._pool = opened

    def _open(self, way: Destination, url: str, host: str) -> urllib3.PoolManager | Failure:
        proxy = _surroundings.proxy(way, url)
        try:
            proxy_url, proxy_user, proxy_host = _address(proxy) if proxy else ("", "", "")
        except ValueError:
            return Failure("proxy-address")
        cainfo = _surroundings.cainfo(way)
        try:
            context = trusting(cainfo, host) if url.startswith("https:") else None
            proxy_context = trusting(cainfo, proxy_host) if proxy_url.startswith("https:") else None
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            return Failure("cainfo", words_of(error))
        if context is not None and (way.client_certificate or way.client_key):
            try:
                introduce(context, way.client_certificate, way.client_key)
            except (OSError, ValueError) as error:
                return Failure("client", words_of(error))
        self._by_proxy = bool(proxy)
        return _pool(context, proxy_url, proxy_user, proxy_context)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.clear()

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
        answer: Answer | Failure
        try:
            with Deadline(deadline_s), in_time():
                answer = self._exchange(body, headers)
        except DeadlinePassed:
            answer = Failure("slow", "no whole answer in the time a batch may take")
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            answer = failure_of(error, CONNECT_TIMEOUT_S, self._by_proxy)
        except ValueError:  # UnicodeError too: a host name that is none
            answer = Failure("address")
        if isinstance(answer, Failure):
            self.close()  # the connection is in an unknown state; the next post makes a new one
        else:
            self._reused = True
        return answer

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer | Failure:
        assert self._pool is not None
        response = self._pool.urlopen(
            "POST",
            self._url,
            # As a file it goes out in pieces, each with a timeout of its own: a slow uplink is not a dead one.
            body=io.BytesIO(body) if len(body) > _PIECE_BYTES else body,
            headers={**self._headers, "Content-Length": str(len(body)), **headers},
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=SOCKET_TIMEOUT_S),
            redirect=False,
            retries=False,
            preload_content=False,
        )
        received = bytearray()
        try:
            # Undecoded: nothing that was not asked for is unpacked, so ANSWER_BYTES_MAX is what it costs.
            while piece := response.read(_PIECE_BYTES, decode_content=False):
                received += piece
                if len(received) > ANSWER_BYTES_MAX:
                    return Failure("oversized")
        finally:
            response.release_conn()
        named = {name.lower(): value for name, value in response.headers.items()}
        length = named.get("content-length", "")
        if length.isdigit() and len(received) < int(length):
            return Failure("dropped")  # urllib3 1 takes the end of the connection for the end of the body
        ended = length.isdigit() or "chunked" in named.get("transfer-encoding", "").lower() or response.status == 204
        return Answer(response.status, named, bytes(received), ended)


def _pool(context: Context | None, proxy: str, proxy_user: str, proxy_context: Context | None) -> urllib3.PoolManager:
    """Of one connection."""
    if not proxy:
        return urllib3.PoolManager(num_pools=1, maxsize=1, cert_reqs="CERT_REQUIRED", ssl_context=context)
    headers = urllib3.make_headers(proxy_basic_auth=proxy_user) if proxy_user else {}
    return urllib3.ProxyManager(
        proxy,
        num_pools=1,
        maxsize=1,
        cert_reqs="CERT_REQUIRED",
        proxy_headers=headers,
        ssl_context=context,
        proxy_ssl_context=proxy_context,
    )


def _address(url: str) -> tuple[str, str, str]:
    """The address without its credentials, "user:password" or "", and the host's name. ValueError where it is none."""
    parts = urllib.parse.urlsplit(url.strip())
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or parts.port == 0:
        raise ValueError("no address of a server")
    user = ""
    if parts.username is not None:
        user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
    if not bare.path:
        bare = bare._replace(path="/")
    return urllib.parse.urlunsplit(bare), user, host


def _tid_header(line: str) -> dict[str, str]:
    """The owner's header; none where it can't go over HTTP as it stands."""
    name, _, value = line.partition(":")
    name, value = name.strip(), value.strip()
    printable = value.isascii() and value.isprintable() and name.isascii() and name.isprintable()
    if not name or not printable or name.lower() in _NOT_FOR_TIDHEADER:
        return {}
    return {name: value}
