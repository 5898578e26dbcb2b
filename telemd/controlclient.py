# SPDX-License-Identifier: Apache-2.0
"""Ask a running telemd something over its control socket (docs/protocol.md, section 7).

One question, one bounded answer. That nobody answers is a value, not an exception; what an answer means is the asker's.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

TIMEOUT_S: Final = 2.0
"""For the whole conversation."""

ANSWER_BYTES_MAX: Final = 1 << 20

NOT_RUNNING: Final = "not-running"
NOT_ALLOWED: Final = "not-allowed"
NO_ANSWER: Final = "no-answer"
REFUSED: Final = "refused"


class Unavailable:
    """No answer: kind is NOT_RUNNING, NOT_ALLOWED, NO_ANSWER or REFUSED; text says it to the operator."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text


def ask(
    path: str, verb: str, timeout_s: float = TIMEOUT_S, arguments: Mapping[str, object] | None = None
) -> dict[str, object] | Unavailable:
    """telemd's answer to a verb, where it is {"ok": true, ...}."""
    deadline = time.monotonic() + timeout_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(timeout_s)
            asking.connect(path)
            asking.sendall(json.dumps({"verb": verb, **(arguments or {})}).encode() + b"\n")
            data = _line(asking, deadline)
    except TimeoutError:
        return Unavailable(NO_ANSWER, f"telemd doesn't answer at {path} within {timeout_s:g} s")
    except OSError as error:
        return _unreachable(path, error)
    return _understood(data)


def _line(asking: socket.socket, deadline: float) -> bytes:
    data = b""
    while b"\n" not in data and len(data) <= ANSWER_BYTES_MAX:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        asking.settimeout(left_s)
        piece = asking.recv(65_536)
        if not piece:
            break
        data += piece
    return data[: ANSWER_BYTES_MAX + 1]


def _understood(data: bytes) -> dict[str, object] | Unavailable:
    if not data:
        return Unavailable(NO_ANSWER, "telemd hung up without an answer")
    if len(data) > ANSWER_BYTES_MAX:
        return Unavailable(NO_ANSWER, f"telemd's answer is larger than {ANSWER_BYTES_MAX >> 20} MiB")
    try:
        answer: object = json.loads(data)
    except (ValueError, RecursionError):
        return Unavailable(NO_ANSWER, "telemd's answer is no JSON: is it of the same version as telemctl?")
    if not isinstance(answer, dict):
        return Unavailable(NO_ANSWER, "telemd's answer is no JSON object: is it of the same version as telemctl?")
    if answer.get("ok") is not True:
        message = answer.get("message")
        return Unavailable(REFUSED, f"telemd says: {message if isinstance(message, str) else 'no'}"[:500])
    return answer


def _unreachable(path: str, error: OSError) -> Unavailable:
    # A name too long for a socket has no errno.
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR, errno.ENOTSOCK) or error.errno is None:
        return Unavailable(NOT_RUNNING, "telemd is not running")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unavailable(NOT_ALLOWED, f"only root and telemd's own user may use {path}: run it as one of them")
    if error.errno in (errno.EPIPE, errno.ECONNRESET):
        # It takes its own user and root only, hangs up on others, and while it is busy with many.
        if os.geteuid() != 0:
            return Unavailable(NOT_ALLOWED, f"telemd hung up at {path}: only root and its own user may ask")
        return Unavailable(NO_ANSWER, "telemd hung up without an answer: try again")
    return Unavailable(NO_ANSWER, f"telemd can't be asked at {path}: {error.strerror}")
