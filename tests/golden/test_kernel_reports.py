# SPDX-License-Identifier: Apache-2.0
"""Kernel texts, and what becomes of them: what a person reads in each, and the whole of what is sent.

kernel/texts/ names the source of each text in its first line; kernel/expected/ holds what is sent. After a change that
was meant, `python tests/golden/test_kernel_reports.py` writes those anew: read the difference.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from telemetry_probes import kmsg, oops
from telemetry_probes.kernel import lines, payload
from telemetry_probes.kernel.assembly import Assembler, Line, Report

HERE = Path(__file__).parent / "kernel"
TEXTS = sorted(path.stem for path in (HERE / "texts").glob("*.txt"))


def written(name: str) -> list[str]:
    """The lines of a text, without the one that names its source."""
    source, *said = (HERE / f"texts/{name}.txt").read_text().splitlines()
    assert source.startswith("# source: ")
    return said


def reports(name: str) -> list[Report]:
    """All in a text: records of /dev/kmsg, or lines of a console or a dump."""
    assembler = Assembler()
    found: list[Report] = []
    now_us = 0
    for seq, line in enumerate(written(name)):
        record = kmsg.entry(line.encode())
        if record is not None:
            for at, text in enumerate(record.lines()):
                found += assembler.feed(Line(text, record.time_us, record.seq, record.caller, at == 0))
            continue
        time_us, caller, text = lines.unprefixed(line)
        now_us = now_us if time_us is None else time_us
        found += assembler.feed(Line(text, now_us, seq, caller))
    return found + assembler.flush()


def parsed(name: str, lifted: bool = False) -> list[oops.Oops]:
    return [oops.parse(report, lifted) for report in reports(name)]


def sent(name: str) -> list[dict[str, Any]]:
    """What golden files hold of each report."""
    found = []
    for one in parsed(name):
        fields, _, text = payload.payload(one).decode().partition("\n")
        found.append(
            {
                "classification": one.classification,
                "severity": one.severity,
                "fields": json.loads(fields),
                "text": text.splitlines(),
            }
        )
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_sent(name: str) -> None:
    assert sent(name) == json.loads((HERE / f"expected/{name}.json").read_text())


# By eye: name of the text, report in it, kind, class, severity, kernel, taint, processor, process, function, caller.
READ = [
    ("debian-6.1-warn", 0, "warning", "warning", 2, "6.1.0-56-amd64", "GOE", 1, "sh", "provoke_warn", "written"),
    ("debian-6.1-message", 0, "warning", "warning", 2, "6.1.0-56-amd64", "GWOE", 1, "sh", "provoke_message", "written"),
    ("debian-6.1-null", 0, "null-pointer", "bug", 4, "6.1.0-56-amd64", "GWOE", 0, "sh", "provoke_null", "written"),
    ("debian-6.1-jump", 0, "null-pointer", "bug", 4, "6.1.0-56-amd64", "GDWOE", 0, "sh", "", "written"),
    ("debian-6.1-page", 0, "page-fault", "bug", 4, "6.1.0-56-amd64", "GDWOE", 0, "sh", "provoke_page", "written"),
    ("debian-6.1-gpf", 0, "general-protection", "bug", 4, "6.1.0-56-amd64", "GDWOE", 0, "sh", "provoke_gpf", "written"),
    ("debian-6.1-divide", 0, "divide-error", "bug", 4, "6.1.0-56-amd64", "GDWOE", 1, "sh", "provoke_divide", "written"),
    ("debian-6.1-ud2", 0, "invalid-opcode", "bug", 4, "6.1.0-56-amd64", "GDWOE", 1, "sh", "provoke_ud2", "written"),
    ("debian-6.1-bug", 0, "bug", "bug", 4, "6.1.0-56-amd64", "GDWOE", 0, "sh", "provoke_bug", "written"),
    ("debian-6.1-list", 0, "bug", "bug", 4, "6.1.0-56-amd64", "GDWOE", 0, "sh", "__list_del_entry_valid.cold",
     "provoke_list"),
    ("debian-6.1-atomic", 0, "scheduling-while-atomic", "bug", 4, "6.1.0-56-amd64", "GDWOE", 1, "sh", "",
     "dump_stack_lvl"),
    ("debian-6.1-refcount", 0, "refcount", "warning", 3, "6.1.0-56-amd64", "GDWOE", 1, "sh", "refcount_warn_saturate",
     "provoke_refcount"),
    ("debian-6.1-vfree", 0, "warning", "warning", 2, "6.1.0-56-amd64", "GDWOE", 1, "sh", "__vunmap", "written"),
    ("debian-6.1-alloc", 0, "page-allocation", "warning", 2, "6.1.0-56-amd64", "GDWOE", 1, "sh", "", "dump_stack_lvl"),
    ("debian-6.1-slab", 0, "slab-corruption", "bug", 4, "6.1.0-56-amd64", "GDWOE", 0, "sh", "", "dump_stack_lvl"),
    ("debian-6.1-twice", 0, "sysfs-duplicate", "warning", 2, "6.1.0-56-amd64", "GBDWOE", 0, "sh", "", "dump_stack_lvl"),
    ("debian-6.1-hung", 0, "hung-task", "hang", 3, "6.1.0-56-amd64", "GOE", None, "sh", "", "__schedule"),
    ("debian-6.1-rcu-stall", 0, "rcu-stall", "hang", 3, "6.1.0-56-amd64", "GBDWOE", 0, "sh", "spin", "written"),
    ("debian-6.1-soft-lockup", 0, "soft-lockup", "hang", 3, "6.1.0-56-amd64", "GBDWOE", 0, "sh", "spin", "written"),
    ("debian-6.1-oom-unit", 0, "oom", "oom", 3, "6.1.0-56-amd64", "GBDWOEL", 0, "tail", "clear_user_erms",
     "dump_stack_lvl"),
    ("debian-6.1-panic", 0, "panic", "panic", 4, "6.1.0-56-amd64", "", 0, "swapper/0", "", "dump_stack_lvl"),
    ("debian-6.1-stack-overflow", 0, "stack-overflow", "stackoverflow", 4, "6.1.0-56-amd64", "GBDWOE", 1, "sh",
     "deeper",
     "deeper"),
    ("debian-6.1-two-processors", 0, "warning", "warning", 2, "6.1.0-56-amd64", "GBDWOE", 0, "first", "provoke_message",
     "warning_thread"),
    ("debian-6.1-two-processors", 1, "warning", "warning", 2, "6.1.0-56-amd64", "GBDWOE", 1, "second",
     "provoke_message",
     "warning_thread"),
    ("debian-6.1-io", 0, "io-error", "storage", 3, "", "", None, "", "", ""),
    ("debian-6.1-filesystem", 0, "filesystem", "storage", 3, "", "", None, "mount", "", ""),
    ("doc-2.6-dma", 0, "warning", "warning", 2, "2.6.28-dmatest-09289-g8bb99c0", "GW", None, "swapper", "",
     "warn_slowpath"),
    ("doc-3.0-rcu-usage", 0, "rcu-usage", "warning", 2, "3.0.0-rc5", "", None, "scsi_scan_6", "",
     "lockdep_rcu_dereference"),
    ("doc-4.4-ubsan", 0, "ubsan", "warning", 2, "4.4.0-rc1+", "", 0, "swapper", "", "dump_stack"),
    ("doc-4.8-warning", 0, "warning", "warning", 2, "4.8.4-build.1", "PWCO", 1, "rmmod", "module_put", "dump_stack"),
    ("doc-4.8-null", 0, "null-pointer", "bug", 4, "", "", None, "", "iret_exc", ""),
    ("doc-4.14-irq", 0, "irq", "warning", 2, "4.14.87-rt49-02410-g4a640ec-dirty", "", 0, "irq/34-nipalk", "",
     "dump_stack"),
    ("doc-4.19-kasan", 0, "kasan", "bug", 4, "4.19.0-rc3+", "", 1, "insmod", "", "dump_stack"),
    ("doc-4.20-null", 0, "null-pointer", "bug", 4, "4.20.0-0.rc6.fc30", "PWO", 0, "insmod", "my_oops_init", ""),
    ("doc-5.12-kcsan", 0, "kcsan", "warning", 2, "5.12.0-rc2+", "", 6, "access_thread", "", "test_kernel_write"),
    ("doc-5.13-kfence-bounds", 0, "kfence", "bug", 4, "5.13.0-rc3+", "", 0, "kunit_try_catch", "",
     "test_out_of_bounds_read"),
    ("doc-5.16-kmsan", 0, "kmsan", "bug", 4, "5.16.0-rc3+", "GBE", 0, "kunit_try_catch", "",
     "test_uninit_kmsan_check_memory"),
    ("doc-rcu-stall", 0, "rcu-stall", "hang", 3, "", "", None, "", "", ""),
    ("made-3.10-page-fault", 0, "page-fault", "bug", 4, "3.10.0-229.el7.x86_64", "PFO", 2, "frobd", "frob_unlink",
     "vfs_unlink"),
    ("made-3.10-page-fault", 1, "panic", "panic", 4, "", "", None, "", "", ""),
    ("made-5.15-arm64", 0, "null-pointer", "bug", 4, "5.15.32-v8+", "GC", 3, "kworker/3:2", "brcmf_sdio_probe",
     "brcmf_sdio_probe"),
    ("made-6.12-null", 0, "null-pointer", "bug", 4, "6.12.9-amd64", "POE", 5, "gnome-shell",
     "nv_drm_atomic_commit.isra.0",
     "__die_body.cold"),
    ("made-hard-lockup", 0, "hard-lockup", "hang", 4, "5.10.0-21-amd64", "", 7, "swapper/7",
     "native_queued_spin_lock_slowpath",
     "_raw_spin_lock"),
    ("made-netdev-watchdog", 0, "netdev-watchdog", "warning", 2, "5.4.0-26-generic", "", 1, "swapper/1", "dev_watchdog",
     "pfifo_fast_enqueue"),
    ("made-3.2-oom", 0, "oom", "oom", 3, "3.2.0-4-amd64", "", None, "mysqld", "", "dump_header"),
]  # fmt: skip


@pytest.mark.parametrize("row", READ, ids=lambda row: f"{row[0]}-{row[1]}")
def test_what_a_person_reads(row: tuple[Any, ...]) -> None:
    name, at, *told = row
    one = parsed(name)[at]
    caller = one.trace[0].function if one.trace else ""
    place = one.at.partition("+")[0]
    classification = one.classification.removeprefix("org.clearlinux/kernel/")
    assert told == [
        one.kind, classification, one.severity, one.kernel, one.tainted, one.cpu, one.comm, place, caller
    ]  # fmt: skip


def test_enough_texts_and_few_of_them_made() -> None:
    kinds = {one.kind for name in TEXTS for one in parsed(name)}
    real = [name for name in TEXTS if not name.startswith("made-")]
    assert len(kinds) >= 25
    assert len(real) >= 25


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_has_the_reports_that_were_counted(name: str) -> None:
    """A report for each line that a person would call the begin of one."""
    counts = {
        "debian-6.1-two-processors": 2, "debian-6.1-atomic": 2, "debian-6.1-stack-overflow": 2,
        "debian-6.1-io": 11, "doc-4.15-io-filesystem": 2,
        "made-3.10-page-fault": 2, "made-hardware": 6, "made-core-pipe-limit": 2, "made-filesystems": 5,
    }  # fmt: skip
    assert len(reports(name)) == counts.get(name, 1)


def test_victim_unit_and_memory_of_an_oom_kill() -> None:
    (one,) = parsed("debian-6.1-oom-unit")
    assert one.memory["victim"] == "tail"
    assert one.memory["unit"] == "eater.service"
    assert (one.memory["scope"], one.memory["limit_kib"]) == ("cgroup", 8192)
    assert one.memory["tasks"] == [{"rss_kib": 9428, "swap_kib": 0, "oom_score_adj": 0}]
    (old,) = parsed("made-3.2-oom")
    assert old.memory["victim"] == "mysqld"
    assert old.memory["tasks_in_all"] == 2
    assert old.memory["anon_rss_kib"] == 1_600_000
    assert "private-name" not in payload.payload(old).decode()


SECRETS = {
    "debian-6.1-page": ["ffffb00000001000", "provoke-case"],
    "debian-6.1-gpf": ["dead000000000108"],
    "debian-6.1-list": ["prev->next should be ff"],
    "made-filesystems": ["private diary"],
    "made-6.12-null": ["55d3d5f0c9a0", "2201", "1000 PID"],
    "debian-6.1-hung": ["sh:1"],
}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_masked_unless_the_owner_lifts_it(name: str) -> None:
    said = "\n".join([payload.payload(one).decode() for one in parsed(name)])
    for secret in SECRETS[name]:
        assert secret not in said


@pytest.mark.parametrize("name", TEXTS)
def test_no_value_of_a_register_and_no_address_is_told(name: str) -> None:
    for one in parsed(name):
        assert set(one.registers.values()) <= {"Zero", "Non-zero"}
        fields = json.loads(payload.payload(one).partition(b"\n")[0])
        del fields["fingerprint"]
        told = json.dumps(fields)
        for line in written(name):
            for word in line.replace("<", " ").replace(">", " ").replace(":", " ").split():
                if len(word) == 16 and not set(word) - set("0123456789abcdef") and set(word) != {"0"}:
                    assert word not in told


def test_lifted_filters_tell_all() -> None:
    (masked,), (lifted,) = parsed("debian-6.1-null"), parsed("debian-6.1-null", lifted=True)
    assert masked.registers["RSP"] == "Non-zero"
    assert masked.text == []
    assert len(lifted.registers["RSP"]) == 16
    assert lifted.text[0].startswith("BUG: kernel NULL pointer dereference, address: 0000000000000008")


def relocated(text: list[str], shift: int) -> list[str]:
    """As the same kernel says it when it was loaded elsewhere: every address of it moved."""
    moved = []
    for line in text:
        words = line.replace("<", " < ").replace(">", " > ").split(" ")
        moved.append(" ".join([
            f"{(int(word, 16) + shift) & (1 << 64) - 1:016x}" if word.startswith("ffff") and len(word) == 16 else word
            for word in words
        ]).replace(" < ", "<").replace(" > ", ">"))  # fmt: skip
    return moved


@pytest.mark.parametrize("name", ["debian-6.1-null", "debian-6.1-list", "doc-4.8-warning", "made-3.10-page-fault"])
def test_fingerprint_survives_address_randomisation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [one.fingerprint for one in parsed(name)]
    text = written(name)
    monkeypatch.setattr(sys.modules[__name__], "written", lambda _: relocated(text, 0x1F200000))
    assert [one.fingerprint for one in parsed(name)] == before


def test_fingerprint_of_two_boots_and_two_builds() -> None:
    """The same warning on two processors is one fault; another function is another."""
    first, second = parsed("debian-6.1-two-processors")
    assert first.fingerprint == second.fingerprint
    names = ["null", "page", "gpf", "divide", "ud2", "bug", "list", "warn", "message", "refcount", "vfree"]
    assert len({parsed(f"debian-6.1-{name}")[0].fingerprint for name in names}) == len(names)


if __name__ == "__main__":
    (HERE / "expected").mkdir(exist_ok=True)
    for each in TEXTS:
        golden = json.dumps(sent(each), indent=1, ensure_ascii=False)
        (HERE / f"expected/{each}.json").write_text(golden + "\n")
