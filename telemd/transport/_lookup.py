# SPDX-License-Identifier: Apache-2.0
"""Names are looked up with an end to the time. Whom the C library asks is the machine's choice (nsswitch.conf(5)), and
some of those, nss-resolve among them, wait for minutes, where no alarm and no timeout of a socket reaches.

The only use of threads among the transports: one that is still asked when the time is over is left to itself.
"""

from __future__ import annotations

import _thread
import contextlib
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

LOOKUP_S = 10.0
QUESTIONS_MAX: Final = 4
"""Without an answer, at a time."""


class _Question:
    """Put to the C library in a thread of its own."""

    __slots__ = ("_arguments", "_error", "_found", "_open")

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._arguments = arguments
        self._found: list[Any] = []
        self._error: Exception | None = None
        self._open = _thread.allocate_lock()
        self._open.acquire()
        _thread.start_new_thread(self._ask, ())

    def _ask(self) -> None:
        try:
            self._found = _getaddrinfo(*self._arguments)
        except Exception as error:  # it is raised where the answer is wanted
            self._error = error
        finally:
            self._open.release()

    def is_answered(self, within_s: float) -> bool:
        """Waits so long for it."""
        if not self._open.acquire(timeout=within_s):
            return False
        self._open.release()
        return True

    def answer(self) -> list[Any]:
        """Once it is answered; or what getaddrinfo() raises."""
        if self._error is not None:
            raise self._error
        return self._found


_getaddrinfo: Final = socket.getaddrinfo
_questions: Final[dict[tuple[Any, ...], _Question]] = {}


def ask(*arguments: Any) -> list[Any]:
    """socket.getaddrinfo(); socket.gaierror where there is no answer after LOOKUP_S."""
    for late in [each for each, question in _questions.items() if question.is_answered(0)]:
        del _questions[late]
    question = _questions.get(arguments)
    if question is None:
        if len(_questions) >= QUESTIONS_MAX:
            raise socket.gaierror(socket.EAI_AGAIN, "too many names have no answer")
        question = _questions[arguments] = _Question(arguments)
    if not question.is_answered(LOOKUP_S):
        raise socket.gaierror(socket.EAI_AGAIN, f"no answer in {LOOKUP_S:.0f} s")
    del _questions[arguments]
    return question.answer()


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Within it this process' names are looked up so: urllib3 can't be handed addresses, and asks where all do."""
    socket.getaddrinfo = ask  # type: ignore[assignment]  # its many forms
    try:
        yield
    finally:
        socket.getaddrinfo = _getaddrinfo
