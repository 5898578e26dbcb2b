# SPDX-License-Identifier: Apache-2.0
"""The control socket: telemctl asks, telemd answers (docs/protocol.md, section 7).

One JSON line each way, bounded in size, time and number of callers. What a verb does is handed in; nothing of the spool
or the network is known here.
"""

from __future__ import annotations

import json
import os
import socket
import struct

from telemd.request import BadRequest, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    Verb = Callable[[Request], Mapping[str, object]]

REQUEST_MAX: Final = 4096
ANSWER_MAX: Final = 128 * 1024
"""What a socket takes at once, with much to spare; verbs answer in pieces that stay below."""
CALLERS_MAX: Final = 16
CALLER_MS: Final = 2000
_UCRED = struct.Struct("3i")


class _Caller:
    __slots__ = ("asked", "deadline_ms", "peer")

    def __init__(self, peer: socket.socket, deadline_ms: int) -> None:
        self.peer = peer
        self.asked = b""
        self.deadline_ms = deadline_ms


class Control:
    """Callers of one listening socket. The daemon's loop watches the descriptors and calls accept() and read()."""

    def __init__(self, listening: socket.socket, verbs: Mapping[str, Verb]) -> None:
        self._listening = listening
        self._verbs = verbs
        self._callers: dict[int, _Caller] = {}

    def accept(self, now_ms: int) -> int | None:
        """A new caller's descriptor, to be watched; None where it was sent away."""
        self.expire(now_ms)
        try:
            peer, _ = self._listening.accept()
        except OSError:
            return None
        peer.setblocking(False)
        _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid not in (0, os.geteuid()) or len(self._callers) >= CALLERS_MAX:
            peer.close()
            return None
        self._callers[peer.fileno()] = _Caller(peer, now_ms + CALLER_MS)
        return peer.fileno()

    def read(self, fd: int) -> bool:
        """Something came from a caller. False where it is done with and its descriptor is closed."""
        caller = self._callers[fd]
        try:
            data = caller.peer.recv(REQUEST_MAX)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            data = b""
        caller.asked += data
        if data and b"\n" not in caller.asked and len(caller.asked) <= REQUEST_MAX:
            return True
        if b"\n" in caller.asked:
            try:
                caller.peer.sendall(self._answer(caller.asked.split(b"\n", 1)[0]))
            except OSError:
                pass  # it didn't wait for the answer
        self._close(fd)
        return False

    def owns(self, fd: int) -> bool:
        """The descriptor is a caller's."""
        return fd in self._callers

    def expire(self, now_ms: int) -> None:
        """Send those away who connected and asked nothing."""
        for fd in [fd for fd, caller in self._callers.items() if now_ms >= caller.deadline_ms]:
            self._close(fd)

    def due_ms(self) -> int | None:
        """When expire() is due."""
        return min((caller.deadline_ms for caller in self._callers.values()), default=None)

    def close(self) -> None:
        """Hang up on everybody."""
        for fd in list(self._callers):
            self._close(fd)

    def _close(self, fd: int) -> None:
        self._callers.pop(fd).peer.close()

    def _answer(self, line: bytes) -> bytes:
        answer = json.dumps(self._answered(line)).encode() + b"\n"
        if len(answer) > ANSWER_MAX:
            return b'{"ok": false, "message": "the answer is too large: ask for less"}\n'
        return answer

    def _answered(self, line: bytes) -> Mapping[str, object]:
        try:
            asked = json.loads(line)
            name = asked.pop("verb")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {"ok": False, "message": 'expected one JSON object a line: {"verb": "status"}'}
        verb = self._verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            return {"ok": False, "message": f"unknown verb; known are {', '.join(sorted(self._verbs))}"}
        request = Request(asked)
        try:
            answer = verb(request)
        except BadRequest as error:
            return {"ok": False, "message": str(error)}
        return {"ok": True, **answer}
