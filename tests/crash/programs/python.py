# SPDX-License-Identifier: Apache-2.0
"""An interpreter that dies in a C library, under functions of the script: [in square brackets], innermost first.
ctypes.string_at is Python, too.

case: python_ctypes = python
case: python_thread = python
case: python_abort  = python
case: python_signal = python
signal python_ctypes python_thread python_signal: SIGSEGV
signal python_abort: SIGABRT
arguments python_ctypes: reading
arguments python_thread: threaded
arguments python_abort: aborting
arguments python_signal: sorting
stack python_ctypes: ... <- [string_at] <- [reading] <- [Reader.middle] <- [main] <- [<module>] <- ... <- outermost
stack python_thread: ... <- [string_at] <- [reading] <- [work] <- ... <- outermost
stack python_abort: ... <- [aborting] <- [Reader.middle] <- [main] <- [<module>] <- ... <- outermost
stack python_signal: ... <- [string_at] <- [reading] <- [order] <- ... <- [sorting] <- [Reader.middle] <- [main]
    <- [<module>] <- ... <- outermost
others: any
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading


def reading() -> int:
    ctypes.string_at(0)  # @reading
    return 1


def order(number: int) -> int:
    return reading() + number  # @order


def aborting() -> None:
    os.abort()  # @aborting


def sorting() -> None:
    sorted([3, 2, 1], key=order)  # @sorting


def work() -> None:
    reading()  # @work


def threaded() -> None:
    one = threading.Thread(target=work)
    one.start()
    one.join()


class Reader:
    def middle(self, how: str) -> None:
        globals()[how]()  # @Reader.middle


def main() -> None:
    Reader().middle(sys.argv[1])  # @main


if __name__ == "__main__":
    main()  # @<module>
