# SPDX-License-Identifier: Apache-2.0
"""Frames of call traces, as kernels from 2.6 to 6.x write them, on any architecture. Pure: a line in, a value out."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FRAMES_MAX = 64
"""Of one trace; a stack that overflowed has hundreds."""
NAME_CHARS_MAX = 256

_FRAME = re.compile(
    r"^(?:<[#/A-Za-z_0-9]+>)?\s*(?:\[[<0-9a-f>]+\]\s*){0,3}(?:\([0-9a-f]{8,16}\)\s*)?(?P<guess>\?\s+)?"
    r"(?P<function>[A-Za-z_.$][\w.$]*)\+0x(?P<offset>[0-9a-f]{1,8})/0x(?P<size>[0-9a-f]{1,8})(?P<rest>.*)$"
)
_NAMELESS = re.compile(
    r"^(?:<[#/A-Za-z_0-9]+>)?\s*(?P<guess>\?\s+)?(?:0x[0-9a-f]{4,16}|\[<[0-9a-f]{8,16}>\]|[0-9a-f]{16})\s*$"
)
_MODULE = re.compile(r"\[(?P<module>[\w-]{1,64})(?: [0-9a-f]{40})?\]")
_SUFFIX = re.compile(r"\.(?:isra|constprop|part|cold|llvm|lto_priv|clone)(?:\.\d+)*")

_PLUMBING = re.compile(
    r"(?:dump_stack|show_stack|show_trace|show_regs|dump_backtrace|print_address|print_report|kasan_|__kasan|__asan|"
    r"end_report|__warn|warn_slow|report_bug|handle_bug|exc_|asm_exc_|do_trap|do_error_trap|do_invalid_op|invalid_op|"
    r"ubsan_|__ubsan_|lockdep_rcu|print_circ|check_noncirc|__schedule_bug|__might_|___might|bad_page|warn_alloc|"
    r"dump_header|oom_kill_process|out_of_memory|slab_err|slab_bug|print_trailer|object_err|check_bytes|"
    r"refcount_warn|list_del_entry|__list_del|__list_add|die|oops_|no_context|__bad_area|bad_area|page_fault_oops|"
    r"panic|nmi_|sched_show|rcu_dump|print_cpu_stall|rcu_check|rcu_sched_clock|trigger_|watchdog|__show_regs|"
    r"__schedule$|schedule$|schedule_timeout|io_schedule|__dump_stack|sysfs_warn_dup|kmsan_|__msan|kcsan_|__tsan)"
)


class Frame:
    """One frame. `module`: empty for the kernel itself; `guess`: an address that lay on the stack and may be no caller;
    `function`: empty where the kernel had no name."""

    __slots__ = ("function", "guess", "module", "offset", "size")

    def __init__(self, function: str, offset: int, size: int, module: str, guess: bool) -> None:
        self.function = function
        self.offset = offset
        self.size = size
        self.module = module
        self.guess = guess

    def text(self) -> str:
        """As newer kernels write it, without any address."""
        if not self.function:
            return "? (no name)" if self.guess else "(no name)"
        module = f" [{self.module}]" if self.module else ""
        return f"{'? ' if self.guess else ''}{self.function}+0x{self.offset:x}/0x{self.size:x}{module}"


def read(line: str) -> Frame | None:
    """None for a line that is none."""
    text = line.strip()
    found = _FRAME.match(text)
    if found is None:
        nameless = _NAMELESS.match(text)
        return Frame("", 0, 0, "", bool(nameless["guess"])) if nameless is not None else None
    module = _MODULE.search(found["rest"])
    return Frame(
        found["function"][:NAME_CHARS_MAX],
        int(found["offset"], 16),
        int(found["size"], 16),
        module["module"] if module is not None else "",
        found["guess"] is not None,
    )


def plain(function: str) -> str:
    """Without what the compiler added, which another build of the same source has otherwise."""
    return _SUFFIX.sub("", function)


def telling(frames: Sequence[Frame], most: int) -> list[str]:
    """The names that tell this fault from another, innermost first: without guesses, unless there is nothing else, and
    without the functions that only report."""
    sure = [frame for frame in frames if frame.function and not frame.guess]
    names = [plain(frame.function) for frame in (sure or [frame for frame in frames if frame.function])]
    begin = 0
    while begin < len(names) and _PLUMBING.match(names[begin]):
        begin += 1
    once: list[str] = []
    for name in names[begin:] or names:
        if not once or once[-1] != name:  # a recursion counts as one
            once.append(name)
    return once[:most]
