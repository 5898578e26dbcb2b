# SPDX-License-Identifier: Apache-2.0
"""Lines of the kernel's log joined to reports: who forged them, whose they are, where they end; whatever comes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from telemetry_probes import kmsg, oops
from telemetry_probes.kernel import assembly, lines, masking, patterns, payload
from telemetry_probes.kernel.assembly import Assembler, Line, Report
from telemetry_probes.kernel.repeats import BURST, EVERY_S, FAULTS_MAX, Repeats

TEXTS = Path(__file__).parents[1] / "golden/kernel/texts"


def fed(*said: str | tuple[str, str], step_us: int = 10) -> list[Report]:
    """Lines, or lines with who said them."""
    assembler = Assembler()
    found: list[Report] = []
    for seq, each in enumerate(said):
        caller, text = each if isinstance(each, tuple) else ("", each)
        found += assembler.feed(Line(text, seq * step_us, seq, caller))
    return found + assembler.flush()


@pytest.mark.parametrize(
    ("line", "classification", "severity"),
    [
        ("NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out", patterns.WARNING, 2),
        ("sysctl table check failed: /net/ipv4/foo  Missing strategy", patterns.WARNING, 2),
        ("IRQ handler type mismatch for IRQ 5", patterns.WARNING, 2),
        ("ALSA sound/pci/hda/hda_intel.c:123: BUG? no period", patterns.BUG, 2),
        ('irq 16: nobody cared (try booting with the "irqpoll" option)', patterns.WARNING, 2),
        ("WARNING: at net/core/dev.c:1905 skb_gso_segment+0x1/0x2()", patterns.WARNING, 2),
        ("general protection fault: 0000 [#1] SMP", patterns.BUG, 4),
        ("BUG: unable to handle kernel paging request at f0000000", patterns.BUG, 4),
        ("BUG: sleeping function called from invalid context at mm/slub.c:942", patterns.BUG, 3),
        ("BUG: something new", patterns.BUG, 4),
        ("kernel BUG at fs/inode.c:12!", patterns.BUG, 4),
        ("do_IRQ: stack overflow: 512", patterns.STACK_OVERFLOW, 4),
        ("RTNL: assertion failed at net/core/dev.c (1595)", patterns.WARNING, 2),
        ("Eeek! page_mapcount(page) went negative! (-1)", patterns.BUG, 4),
        ("modprobe used greatest stack depth: near stack overflow (cur:1,top:2)", patterns.BUG, 4),
        ("double fault, gdt at c1408000", patterns.BUG, 4),
        ("Badness at kernel/softirq.c:143", patterns.BUG, 4),
        ("list_del corruption. prev->next should be a, but was b", patterns.WARNING, 2),
        ("list_add corruption. next->prev should be a, but was b", patterns.WARNING, 2),
        ("ACPI Error: Method parse/execution failed", patterns.WARNING, 2),
        ("ACPI BIOS Error (bug): Could not resolve symbol", patterns.WARNING, 2),
        ("Kernel panic - not syncing: Attempted to kill init!", patterns.PANIC, 4),
    ],
)
def test_patterns_of_telemetrics_client(line: str, classification: str, severity: int) -> None:
    found = patterns.match(line)
    assert found is not None
    assert (found.classification, found.severity) == (classification, severity)
    (report,) = fed(line)
    assert oops.parse(report, False).severity == severity


def test_there_are_as_many_as_telemetrics_client_has() -> None:
    assert len(patterns.ORIGINAL) == 22


@pytest.mark.parametrize(
    "line",
    [
        "BUG: x[123]: segfault at 0 ip 00005593777fb314 sp 00007ffc4efd20f8 error 6 in program[1314,5593777fb000+1000]",
        "WARNING: a[77]: segfault at 8 ip 0 sp 0 error 4",
        "traps: BUG: x[5] trap invalid opcode ip:1 sp:2 error:0 in a[1+1]",
        "XFS (dm-0): Mounting V5 Filesystem",
        "EDAC MC: Ver: 3.0.0",
        "INFO: task scheduler started",
        "rcu: INFO: all is well",
        "audit: type=1400 msg='a BUG: in it'",
        "systemd[1]: Kernel panic - not syncing",
        "usb 1-1: irq 5: fine",
        "",
    ],
)
def test_no_report(line: str) -> None:
    assert fed(line) == []


def test_what_a_process_is_called_begins_no_report() -> None:
    """A name with a newline in it makes a line of its own; the kernel's record began before it."""
    entry = kmsg.entry(rb"6,1,5,-;prog\x0aBUG: forged[12]: at" + b"\n KEY=value\n")
    assert entry is not None
    assert entry.lines() == ["prog", "BUG: forged[12]: at"]
    assembler = Assembler()
    for at, text in enumerate(entry.lines()):
        assert assembler.feed(Line(text, 5, 1, "", at == 0)) == []
    assert assembler.flush() == []


WARNING = [
    "------------[ cut here ]------------", "WARNING: CPU: {0} PID: 7 at a/b.c:1 f{0}+0x1/0x2",
    "Modules linked in: m{0}",
    "CPU: {0} PID: 7 Comm: c{0} Not tainted 6.1.0 #1", "RIP: 0010:f{0}+0x1/0x2",
    "Call Trace:", " <TASK>", " g{0}+0x1/0x2",
    " h{0}+0x1/0x2", " </TASK>", "---[ end trace 0000000000000000 ]---",
]  # fmt: skip


def test_interleaved_reports_are_apart_where_the_kernel_says_who_speaks() -> None:
    chance = random.Random(8)
    for _ in range(200):
        queues = {cpu: [(f"C{cpu}", text.format(cpu)) for text in WARNING] for cpu in range(4)}
        mixed = []
        while any(queues.values()):
            cpu = chance.choice([cpu for cpu, queue in queues.items() if queue])
            mixed.append(queues[cpu].pop(0))
        found = fed(*mixed)
        assert sorted(report.caller for report in found) == ["C0", "C1", "C2", "C3"]
        for report in found:
            who = report.caller[1]
            one = oops.parse(report, False)
            assert (one.comm, one.cpu, one.at, one.mixed) == (f"c{who}", int(who), f"f{who}+0x1/0x2", False)
            assert [frame.function for frame in one.trace] == [f"g{who}", f"h{who}"]


def test_two_reports_in_blocks_are_apart_though_nobody_says_who_speaks() -> None:
    """Processor 1 begins while processor 0 is not done, and goes on when it is."""
    first, second = ([text.format(cpu) for text in WARNING] for cpu in (0, 1))
    for at in range(2, len(WARNING)):
        found = [oops.parse(report, False) for report in fed(*first[:at], second[0], *first[at:], *second[1:])]
        assert [(one.cpu, one.comm, one.mixed) for one in found] == [(0, "c0", True), (1, "c1", True)], at
        assert [[frame.function for frame in one.trace] for one in found] == [["g0", "h0"], ["g1", "h1"]], at


def test_a_report_ends_by_silence_and_by_a_line_of_another() -> None:
    assembler = Assembler()
    head = [
        "BUG: unable to handle page fault for address: 1",
        "CPU: 0 PID: 1 Comm: a Not tainted 6.1.0 #1",
        "Call Trace:",
    ]
    for seq, text in enumerate([*head, " f+0x1/0x2"]):
        assert assembler.feed(Line(text, 1000 + seq, seq)) == []
    assert assembler.oldest_seq() == 0
    assert assembler.quiet(1003 + assembly.GAP_US) == []
    assert len(assembler.quiet(1004 + assembly.GAP_US)) == 1
    assert assembler.oldest_seq() is None
    (report,) = fed(*head, " f+0x1/0x2", "eth0: link is up")
    assert report.lines == [*head, " f+0x1/0x2"]


def test_a_report_whose_end_was_lost_does_not_take_the_log_for_its_own() -> None:
    said = ["a invoked oom-killer: gfp_mask=0x1, order=0, oom_score_adj=0", *["usb 1-1: another line"] * 200]
    done = fed(*said, "I/O error, dev sda, sector 8", step_us=1_000_000)
    assert [report.pattern.kind for report in done if report.pattern is not None] == ["oom", "io-error"]
    assert len(done[0].lines) <= assembly.LONGEST_US // 1_000_000 + 1


def test_bounded_lines_bytes_and_reports() -> None:
    (long,) = fed("BUG: KASAN: a in b", *[f" line {n} " + "x" * 500 for n in range(5000)], "=====")
    assert long.cut
    assert len(long.lines) <= assembly.LINES_MAX
    assert sum(map(len, long.lines)) <= assembly.BYTES_MAX + 600
    assembler = Assembler()
    done = 0
    for n in range(1000):
        done += len(assembler.feed(Line("BUG: a", n, n, f"T{n}")))
    assert done == 1000 - assembly.OPEN_MAX
    (deep,) = fed("BUG: x", "CPU: 0 PID: 1 Comm: a Not tainted 6.1.0 #1", "Call Trace:", *[" f+0x1/0x2"] * 500)
    one = oops.parse(deep, False)
    assert len(one.trace) + one.trace_left_out == 500
    assert len(one.trace) == 64


def test_cut_anywhere_and_mutated_nothing_breaks() -> None:
    chance = random.Random(5)
    for path in sorted(TEXTS.glob("*.txt")):
        said = path.read_text().splitlines()[1:]
        for _ in range(12):
            text = list(said[chance.randrange(len(said)) :]) if chance.random() < 0.5 else list(said)
            for _ in range(chance.randrange(1, 20)):
                if text:
                    at = chance.randrange(len(text))
                    line = text[at]
                    cut = chance.randrange(len(line) + 1)
                    text[at] = chance.choice(
                        [line[:cut], line[cut:], line * 2, "\0" * 30, line[:cut] + "\x1b[31mé\ud800"]
                    )
            for report in fed(*[lines.unprefixed(line)[2] for line in text]):
                for lifted in (False, True):
                    sent = payload.payload(oops.parse(report, lifted))
                    assert len(sent) <= payload.PAYLOAD_MAX
                    sent.decode("ascii")


def test_random_bytes_are_no_record_and_break_nothing() -> None:
    chance = random.Random(6)
    for _ in range(3000):
        raw = bytes(chance.choices(b"0123456789,;-c\\x\n \xff\0BUG:", k=chance.randrange(60)))
        found = kmsg.entry(raw)
        assert found is None or (found.seq >= 0 and found.lines())


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("INFO: task nfsd:812 blocked for more than 9 s", "INFO: task nfsd blocked for more than 9 s"),
        ("watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [kworker/3:1:99]",
         "watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [kworker/3:1:99]"),
        ("BUG: soft lockup - CPU#3 stuck for 22s! [sh:99]", "BUG: soft lockup - CPU#3 stuck for 22s! [sh]"),
        ("BUG: scheduling while atomic: sh/125/0x00000002", "BUG: scheduling while atomic: sh/0x2"),
        ("BUG: unable to handle page fault for address: ffffb00000001000",
         "BUG: unable to handle page fault for address: (address)"),
        ("kernel NULL pointer dereference, address: 0000000000000008", "kernel NULL pointer dereference, address: 0x8"),
        ("WARNING: CPU: 1 PID: 28102 at kernel/module.c:1108 module_put+0x57/0x70",
         "WARNING: at kernel/module.c:1108 module_put+0x57/0x70"),
        ("I/O error, dev sda, sector 12345678", "I/O error, dev sda, sector 12345678"),
    ],
)  # fmt: skip
def test_masked_reason(line: str, masked: str) -> None:
    expected = masked.replace("[kworker/3:1:99]", "[kworker/3:1]")
    assert masking.reason(line, False, False) == expected


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-4242.scope", "app-firefox.scope"),
        ("/user.slice/user-1000.slice/session-3.scope", "session.scope"),
        ("/user.slice/user-1000.slice", "user-.slice"),
        ("/system.slice/a.service/inner", "a.service"),
        ("/", ""),
    ],
)
def test_unit_of_a_control_group(cgroup: str, unit: str) -> None:
    assert masking.unit(cgroup) == unit


def test_a_fault_again_and_again_is_counted() -> None:
    repeats = Repeats()
    assert [repeats.admit("a", 0.0) for _ in range(BURST)] == [0] * BURST
    assert [repeats.admit("a", 1.0) for _ in range(5)] == [None] * 5
    assert repeats.admit("b", 1.0) == 0
    assert repeats.admit("a", EVERY_S) == 5
    assert repeats.admit("a", EVERY_S + 1) is None
    for n in range(FAULTS_MAX * 2):
        assert repeats.admit(f"fault {n}", 0.0) == 0
    assert repeats.admit("a", 0.0) == 0
