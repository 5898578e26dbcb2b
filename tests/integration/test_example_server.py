# SPDX-License-Identifier: Apache-2.0
"""examples/server.py takes what a real telemd delivers, as its page says, and stands what others send."""

from __future__ import annotations

import ast
import gzip
import io
import json
import os
import re
import select
import socket
import sqlite3
import subprocess
import sys
import tokenize
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
import zstandard
from exampleruns import EXAMPLES, ROOT, LogProbe, blocks, copied, good, lines_of, needs
from running import BIN, TIMEOUT_S, running, state_root

if TYPE_CHECKING:
    from collections.abc import Iterator


HOST_LINE = json.dumps({"host": {"machine_id": "ab" * 16, "arch": "x86_64"}})


class Server(NamedTuple):
    url: str
    file: Path

    def post(self, body: bytes, encoding: str = "") -> requests.Response:
        headers = {"Content-Encoding": encoding} if encoding else {}
        return requests.post(f"{self.url}/v1/records", body, headers=headers, timeout=TIMEOUT_S)

    def kept(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.file)) as database:
            rows = database.execute("SELECT host, record FROM record ORDER BY rowid").fetchall()
        return [{**json.loads(record), "host": json.loads(host)} for host, record in rows]


@contextmanager
def serving(file: Path) -> Iterator[Server]:
    with (file.parent / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, EXAMPLES / "server.py", file, "0"], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], TIMEOUT_S)
        assert readable
        yield Server(process.stdout.readline().strip(), file)
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "records.sqlite") as found:
        yield found


def batch(*ids: str) -> bytes:
    return "\n".join([HOST_LINE, *(json.dumps({"id": each, "payload": "x"}) for each in ids), ""]).encode()


def test_server_takes_what_telemd_delivers_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    file, folder = tmp_path / "records.sqlite", copied(tmp_path)
    with serving(file) as server, state_root(server=server.url) as root, running(root) as telemd:
        probe = LogProbe(folder, root.config_file)
        probe.write("".join(f"ERROR kept {number:04}\n" for number in range(1500)))
        probe.run()
        account = telemd.wait_delivered()
        assert account["delivered"] == 1500
        assert account["rejected"] == 0
        machine_id = telemd.status()["machine_id"]
    with serving(file) as server, state_root(server=server.url) as root, running(root) as telemd:
        again = LogProbe(folder, root.config_file)
        again.state.write_text(json.dumps({**json.loads(again.state.read_text()), "offset": 0}))
        again.run()
        telemd.wait_delivered()
        kept = server.kept()
    assert lines_of(kept, "kept") == [f"ERROR kept {number:04}" for number in range(1500)]
    assert {each["host"]["machine_id"] for each in kept} == {machine_id}
    assert {each["host"]["kernel_version"] for each in kept} == {os.uname().release}
    assert file.stat().st_mode & 0o777 == 0o600


def test_server_gives_a_verdict_for_each_record(server: Server) -> None:
    first, second = "1" * 32, "2" * 32
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)):
        answer = server.post(pack(batch(first)), encoding)
        assert answer.status_code == 200, encoding
    assert answer.json() == {"verdicts": ["duplicate"]}
    answer = server.post(batch(first, "zz", second, second))
    assert answer.json() == {"verdicts": ["duplicate", "rejected: record-id", "accepted", "duplicate"]}
    assert [each["id"] for each in server.kept()] == [first, second]


@pytest.mark.parametrize(
    "spoiled",
    [b"", b"{", b"[]", b"1", b'{"no": "id"}', b'{"id": 5}', b"\xff", b"[" * 100_000],
    ids=["empty", "cut", "list", "number", "no id", "wrong id", "not utf-8", "deep"],
)
def test_server_stores_nothing_of_a_batch_that_is_none(server: Server, spoiled: bytes) -> None:
    answer = server.post(batch("1" * 32) + spoiled + b"\n" + batch("2" * 32) if spoiled else b"")
    assert answer.status_code == 400
    assert "message" in answer.json()
    assert server.post(batch("3" * 32)).json() == {"verdicts": ["accepted"]}
    assert [each["id"] for each in server.kept()] == ["3" * 32]


def test_server_has_limits(server: Server) -> None:
    bomb = b"\n".join([HOST_LINE.encode(), json.dumps({"id": "1" * 32, "payload": "x" * (17 << 20)}).encode()])
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)):
        assert server.post(pack(bomb), encoding).status_code == 400
    assert server.kept() == []
    for length in (b"16777217", b"-1"):
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), TIMEOUT_S) as talking:
            talking.sendall(b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")
            with talking.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 413 ")  # to the end: the connection is closed


def code_lines(source: str) -> int:
    """Without blank lines, comments, docstrings and imports."""
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if (is_text or isinstance(node, (ast.Import, ast.ImportFrom))) and isinstance(node, ast.stmt):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_server_has_the_forty_lines_it_is_said_to_have() -> None:
    assert 0 < code_lines((EXAMPLES / "server.py").read_text()) <= 40
    assert "in 40 lines of code" in (ROOT / "docs/own-server.md").read_text()


def test_commands_of_own_server(tmp_path: Path) -> None:
    needs("sqlite3")
    (start,) = (block.text for block in blocks("own-server") if block.text.startswith("python server.py"))
    file = re.fullmatch(r"python server\.py (\S+) (\d+) &\n", start)
    assert file is not None
    (setting,) = (block.text for block in blocks("own-server") if block.language == "toml")
    assert f":{file[2]}/" in setting
    with serving(tmp_path / file[1]) as server, state_root(server=server.url) as root, running(root) as telemd:
        good(BIN / "hprobe", "-f", root.config_file, cwd=tmp_path)
        telemd.wait_delivered()
        (ask,) = (block.text for block in blocks("own-server") if block.text.startswith("sqlite3"))
        assert good("bash", "-euc", ask, cwd=tmp_path) == f"org.clearlinux/hello/world|{os.uname().release}\n"
