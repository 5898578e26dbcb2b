# SPDX-License-Identifier: Apache-2.0
"""A scripted HTTP server for tests of the courier: reads requests by its own reading of HTTP and says whatever the test
wants, at any pace. Also certificates of its own. Nothing of the product is imported here.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import zstandard
from loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Stream = socket.socket
    Script = Callable[["Request", Stream], bytes | None]


class Request(NamedTuple):
    """One request as it came. `connection` counts from 1; `resumed`: on a TLS session of an earlier connection."""

    connection: int
    resumed: bool
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines of the body, unpacked."""
        encoding = self.headers["content-encoding"]
        assert encoding in {"zstd", "gzip"}
        data = zstandard.decompress(self.body) if encoding == "zstd" else gzip.decompress(self.body)
        return [json.loads(line) for line in data.splitlines()]

    @property
    def host(self) -> dict[str, str]:
        host: dict[str, str] = self.lines[0]["host"]
        return host

    @property
    def records(self) -> list[dict[str, Any]]:
        return self.lines[1:]


def reply(status: int, body: bytes | object = b"", *headers: str, length: int | None = None) -> bytes:
    """A whole HTTP answer. length: a Content-Length that isn't the body's."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Length: {len(data) if length is None else length}",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(head).encode() + data


def verdicts(*each: str) -> bytes:
    totals = {name: sum(1 for one in each if one.startswith(name)) for name in ("accepted", "duplicate", "rejected")}
    return reply(200, {**totals, "verdicts": each})


def accept(request: Request, stream: Stream) -> bytes:
    """What a hub says when all is well."""
    return verdicts(*["accepted"] * len(request.records))


class Server(Loopback):
    """Answers each request with what script returns; None closes the connection. A script that raises fails a test."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self._tls = tls
        super().__init__()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def serve(self, plain: socket.socket, number: int) -> None:
        stream: socket.socket = plain
        try:
            if self._tls:
                stream = self._tls.wrap_socket(plain, server_side=True)
                self.keep(stream)
            resumed = isinstance(stream, ssl.SSLSocket) and bool(stream.session_reused)
            with stream.makefile("rb") as reader:
                if reader.peek(1)[:1] == b"\x16":  # a TLS handshake at a plain port
                    stream.sendall(reply(400, b"this is a plain HTTP port"))
                    return
                while request := _read(reader, number, resumed):
                    self.requests.append(request)
                    answer = self.script(request, stream)
                    if answer is None:
                        break
                    stream.sendall(answer)
        except OSError:
            pass  # the courier left, or refused our certificate: what a test looks for shows elsewhere
        except BaseException as error:
            self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()


def _read(reader: Any, number: int, resumed: bool) -> Request | None:
    """None at the end, also where that comes in the middle of one: who sent it was killed."""
    line = reader.readline().decode("latin-1").strip()
    if not line:
        return None
    headers: dict[str, str] = {}
    while (header := reader.readline().decode("latin-1")).strip() != "":
        name, _, value = header.partition(":")
        assert name.lower() not in headers
        headers[name.lower()] = value.strip()
    if header == "":
        return None
    length = int(headers["content-length"])
    body = reader.read(length)
    return Request(number, resumed, line, headers, body) if len(body) == length else None


@contextlib.contextmanager
def serving(script: Script = accept, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(script, tls)
    try:
        yield server
    finally:
        server.close()
    assert not server.errors


class Authority(NamedTuple):
    """A CA and a server's certificate by it, for 127.0.0.1 and localhost."""

    ca: Path
    server: ssl.SSLContext
    certificate: Path
    key: Path


def authority(
    folder: Path, name: str, subject_alternative: str = "IP:127.0.0.1,DNS:localhost", days: int = 2
) -> Authority:
    """Made anew by the openssl program; the test is skipped where there is none. days: the server's certificate is good
    for; negative for one that isn't any more."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl (apt install openssl) to make certificates")
    folder.mkdir(parents=True, exist_ok=True)

    def path(kind: str) -> Path:
        return folder / f"{name}.{kind}.pem"

    def openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={subject_alternative}\n")
    authority_options = ("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-days", 2)
    openssl(
        "req", "-x509", *new, "-subj", f"/CN={name}", *authority_options, "-keyout", path("cakey"), "-out", path("ca")
    )
    openssl("req", *new, "-subj", "/CN=server", "-keyout", path("key"), "-out", path("request"))
    signing = ("-CA", path("ca"), "-CAkey", path("cakey"), "-CAcreateserial", "-extfile", extensions, "-days", days)
    openssl("x509", "-req", "-in", path("request"), *signing, "-out", path("cert"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path("cert"), path("key"))
    return Authority(path("ca"), context, path("cert"), path("key"))
