# SPDX-License-Identifier: Apache-2.0
"""A server of your own in 40 lines: takes batches (docs/protocol.md, section 6), keeps each record once, in SQLite.

    python server.py FILE PORT

Needs the module zstandard, because couriers compress with it. Listens on loopback alone: what faces a network (a
password, encryption, a limit on how many connections there are) is for a proxy before it, and must not come in here.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sqlite3
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import zstandard

BODY_BYTES_MAX = 16 * 1024 * 1024


def unpacked(body: bytes, encoding: str | None) -> bytes:
    """At most BODY_BYTES_MAX. What is cut off there is no batch any more, and so comes again in halves."""
    if encoding == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=BODY_BYTES_MAX).stream_reader(body).read(BODY_BYTES_MAX)
    return gzip.GzipFile(fileobj=BytesIO(body)).read(BODY_BYTES_MAX) if encoding == "gzip" else body


def store(file: str, body: bytes) -> list[str]:
    """One verdict a record, when all of them are on the disk. Where it raises nothing is stored."""
    verdicts, host = [], ""
    with closing(sqlite3.connect(file)) as database, database:  # a single transaction
        database.execute("CREATE TABLE IF NOT EXISTS record (id TEXT PRIMARY KEY, host TEXT, record TEXT)")
        for entry in map(json.loads, body.strip(b"\n").split(b"\n")):
            if "host" in entry:  # of all records up to the next such line
                host = json.dumps(entry["host"])
            elif re.fullmatch("[0-9a-f]{32}", entry["id"]):
                row = (entry["id"], host, json.dumps(entry))
                new = database.execute("INSERT OR IGNORE INTO record VALUES (?, ?, ?)", row).rowcount
                verdicts.append("accepted" if new else "duplicate")
            else:
                verdicts.append("rejected: record-id")
    return verdicts


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    timeout = 60  # seconds of silence

    def do_POST(self) -> None:
        if not 0 <= (length := int(self.headers["Content-Length"])) <= BODY_BYTES_MAX:
            return self.send_error(413)  # and closes the connection
        body = unpacked(self.rfile.read(length), self.headers["Content-Encoding"])
        try:
            status, said = 200, json.dumps({"verdicts": store(sys.argv[1], body)})
        except (KeyError, TypeError, ValueError, RecursionError):
            status, said = 400, '{"message": "this is not a batch of JSON lines"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())
        return None


if __name__ == "__main__":
    os.umask(0o077)
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
