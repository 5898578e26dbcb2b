# SPDX-License-Identifier: Apache-2.0
"""Sockets that answer with files: over HTTP as Docker, Podman and others do, and in a line as telemd does.

What is said stands in the folder beside the socket, whose name ends in .d, and is read anew for each question.
"""

from __future__ import annotations

import contextlib
import json
import re
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

NO_LENGTH = "/containers/json"
"""Docker sends this without saying how long it is: it ends with the connection."""


class Server(socketserver.ThreadingUnixStreamServer):
    """asked: for what, in order."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, socket: Path, handler: type[socketserver.BaseRequestHandler]) -> None:
        self.folder = Path(f"{socket}.d")
        self.asked: list[str] = []
        super().__init__(str(socket), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has hung up."""


class OverHttp(BaseHTTPRequestHandler):
    """One question: the file of that path, without a version before it or a query behind it."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        path = re.sub(r"^/v1\.\d+(?=/)", "", self.path.partition("?")[0])
        try:
            status, body = 200, (self.server.folder / path.lstrip("/")).read_bytes()
        except OSError:
            status, body = 404, json.dumps({"message": "page not found"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if path != NO_LENGTH:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class InALine(socketserver.StreamRequestHandler):
    """One question, of which the verb names the file."""

    server: Server

    def handle(self) -> None:
        asked = json.loads(self.rfile.readline(4096))
        self.server.asked.append(asked["verb"])
        self.wfile.write((self.server.folder / f"{asked['verb']}.json").read_bytes())


@contextlib.contextmanager
def serving(socket: Path, handler: type[socketserver.BaseRequestHandler] = OverHttp) -> Iterator[Server]:
    """Until it is left."""
    with Server(socket, handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            socket.unlink()
