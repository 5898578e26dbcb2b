# SPDX-License-Identifier: Apache-2.0
"""Asks telemd how it is, over its control socket (docs/protocol.md, section 7). What the answer means never comes in
here.
"""

from __future__ import annotations

import _socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

ANSWER_S: Final = 2.0
"""For the whole conversation."""
ANSWER_BYTES_MAX: Final = 131_072
QUESTION: Final = b'{"verb": "status"}\n'


def status(path: str) -> bytes:
    """telemd's answer, a line of JSON. OSError (TimeoutError is one); ValueError: it is too long, or no line."""
    end_s = time.monotonic() + ANSWER_S
    asking = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        asking.settimeout(ANSWER_S)
        asking.connect(path)
        asking.sendall(QUESTION)
        answer = bytearray()
        while not answer.endswith(b"\n"):
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(110, "telemd doesn't answer in time")
            asking.settimeout(left_s)
            piece = asking.recv(65_536)
            answer += piece
            if not piece or len(answer) > ANSWER_BYTES_MAX:
                raise ValueError("telemd's answer is no line, or too long")
        return bytes(answer)
    finally:
        asking.close()
