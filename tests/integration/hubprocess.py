# SPDX-License-Identifier: Apache-2.0
"""A real telemhub for tests, on a free port of loopback."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

TIMEOUT_S = 60.0
NDJSON = "application/x-ndjson"


def request_head(length: int) -> bytes:
    """The head of a batch's request, for tests that write to a socket themselves."""
    return (
        f"POST /v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


class HubClient:
    """A kept connection to a hub; one thread's alone."""

    def __init__(self, url: str, cainfo: Path | None = None) -> None:
        """cainfo: the CA of a hub that serves https."""
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        if cainfo is not None:
            self._session.verify = str(cainfo)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def post(self, body: bytes, encoding: str = "", content_type: str = NDJSON) -> requests.Response:
        headers = {"Content-Type": content_type}
        if encoding:
            headers["Content-Encoding"] = encoding
        return self._session.post(self.url + "/v1/records", body, headers=headers, timeout=TIMEOUT_S)

    def get(self, path: str, **parameters: Any) -> requests.Response:
        return self._session.get(self.url + path, params=parameters, timeout=TIMEOUT_S)

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        return self._session.request(method, self.url + path, timeout=TIMEOUT_S, **more)

    def records(self, **parameters: Any) -> list[dict[str, Any]]:
        """All that match, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self.get("/api/v1/records", **parameters)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["records"]
            if page["next"] is None:
                return found
            parameters["cursor"] = page["next"]


class HubProcess(HubClient):
    """One running hub, and a connection to it."""

    def __init__(
        self, data: Path, *arguments: str, env: Mapping[str, str] | None = None, cainfo: Path | None = None,
        program: Sequence[str] = ("-m", "telemhub"),
    ) -> None:  # fmt: skip
        """program: what Python runs."""
        self.process = subprocess.Popen(
            [sys.executable, *program, "serve", "--data", str(data), "--listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        super().__init__(self._ready(), cainfo)
        self.port = urlsplit(self.url).port or 0

    def _ready(self) -> str:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        said = self.process.stdout.readline() if readable else ""
        found = re.fullmatch(r"telemhub: listening on (https?://127\.0\.0\.1:\d+)\n", said)
        if found is None:
            self.process.kill()
            raise AssertionError((said, self.process.communicate()))
        return found.group(1)

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what was said on standard error."""
        self._session.close()
        self.process.terminate()
        _, said = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, said

    def kill(self) -> None:
        self._session.close()
        self.process.kill()
        self.process.communicate(timeout=TIMEOUT_S)


@contextlib.contextmanager
def hub_at(
    data: Path, *arguments: str, cainfo: Path | None = None, program: Sequence[str] = ("-m", "telemhub")
) -> Iterator[HubProcess]:
    """A hub that is stopped at the end, and must stop well."""
    hub = HubProcess(data, *arguments, cainfo=cainfo, program=program)
    try:
        yield hub
    except BaseException:
        hub.kill()
        raise
    code, said = hub.stop()
    assert code == 0, said
    assert "Traceback" not in said, said
