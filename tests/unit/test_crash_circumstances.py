# SPDX-License-Identifier: Apache-2.0
"""What the files of /proc/PID say of a process, also where it named itself to deceive; and the kernel's ten words."""

from __future__ import annotations

import pytest

from telemetry_probes import eventid
from telemetry_probes.crash import circumstances, kernelsaid
from telemetry_probes.crash.kernelsaid import KernelSaid

DOCKER = "9f1a" * 16
WORDS = ["4242", "7", "4243", "11", "1000", "1", "0", "3", "my prog", "!usr!bin!my prog"]


@pytest.mark.parametrize(
    ("cgroup", "unit", "container"),
    [
        (b"0::/system.slice/nginx.service\n", "nginx.service", ""),
        (b"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope\n", "app-x.scope", ""),
        (f"0::/system.slice/docker-{DOCKER}.scope\n".encode(), f"docker-{DOCKER}.scope", DOCKER),
        (f"0::/kubepods/burstable/pod1/{DOCKER}\n".encode(), "", DOCKER),
        (f"0::/machine.slice/libpod-{DOCKER}.scope/container\n".encode(), f"libpod-{DOCKER}.scope", DOCKER),
        (f"0::/x/cri-containerd:{DOCKER}\n".encode(), "", DOCKER),
        (b"0::/lxc.payload.web/init.scope\n", "init.scope", "web"),
        (b"0::/machine.slice/machine-db.scope/payload/system.slice/a.service\n", "a.service", "db"),
        (b"12:cpu:/\n1:name=systemd:/system.slice/old.service\n0::/\n", "old.service", ""),
        (b"9:name=systemd:/\n0::/system.slice/new.service\n", "new.service", ""),
        (b"0::/\n", "", ""),
        (b"", "", ""),
        (b"0::/" + b"a" * 200 + b".service\n", "", ""),
        (b"\xff:\xfe:/\xfd.service\nnonsense", "", ""),
    ],
)
def test_unit_and_container(cgroup: bytes, unit: str, container: str) -> None:
    assert (circumstances.unit(cgroup), circumstances.container(cgroup)) == (unit, container)


def test_a_user_s_unit_is_not_taken_for_the_system_s() -> None:
    own = b"0::/user.slice/user-1000.slice/user@1000.service/app.slice/sshd.service\n"
    assert circumstances.unit(own) == "sshd.service" and circumstances.is_users(own)
    assert circumstances.is_users(b"0::/user.slice/user-1000.slice/session-2.scope\n")
    assert not circumstances.is_users(b"0::/system.slice/sshd.service\n")


def test_memory() -> None:
    status = b"Name:\tVmRSS: 1 kB\nVmHWM:\t  20 kB\nVmRSS:\t      10 kB\nVmSwap:\t0 kB\nVmSize:\t99 kB\nVmData: x kB\n"
    assert circumstances.memory(status) == {"memory_kib": 10, "memory_peak_kib": 20, "swapped_kib": 0}
    assert circumstances.memory(b"VmRSS:\nVmRSS: -1 kB\nVmRSS: 1 MB") == {}


def test_uptime_and_name_of_a_hostile_stat() -> None:
    stat = b"77 (a) R 1 (b) S " + b" ".join(str(number).encode() for number in range(4, 53))
    assert circumstances.name(stat) == "a) R 1 (b"
    assert circumstances.uptime_s(stat, b"1000.75 5.0\n") == 1000  # began at tick 22
    assert circumstances.uptime_s(stat, b"") is None
    assert circumstances.uptime_s(stat, b"x") is None
    assert circumstances.uptime_s(b"77 (a", b"1.0") is None
    assert circumstances.uptime_s(stat, b"0.0 1") == 0


@pytest.mark.parametrize(
    ("status", "has"),
    [
        (b"Uid:\t5\t5\t5\t5\nGid:\t6\t6\t6\t6\n", False),
        (b"Uid:\t5\t0\t5\t5\nGid:\t6\t6\t6\t6\n", True),
        (b"Uid:\t5\t5\t0\t5\nGid:\t6\t6\t6\t6\n", True),
        (b"Uid:\t5\t5\t5\t5\nGid:\t6\t7\t6\t6\n", True),
        (b"", False),
    ],
)
def test_other_rights(status: bytes, has: bool) -> None:
    assert circumstances.has_other_rights(status) is has


def test_hard_core_limit() -> None:
    head = b"Limit                     Soft Limit           Hard Limit           Units     \n"
    assert (
        circumstances.hard_core_limit(head + b"Max core file size        0                    4096     bytes\n") == 4096
    )
    assert (
        circumstances.hard_core_limit(head + b"Max core file size        0                    unlimited  bytes") is None
    )
    assert circumstances.hard_core_limit(head) is None


def test_arguments_are_bounded() -> None:
    assert circumstances.arguments(b"a\0b c\0\0d\0\0") == "a b c  d"
    assert len(circumstances.arguments(b"x" * 9999)) == circumstances.ARGUMENTS_CHARS_MAX


def test_the_kernel_s_words() -> None:
    said = kernelsaid.read(WORDS)
    assert isinstance(said, KernelSaid)
    assert (said.pid, said.inner_pid, said.tid, said.signal, said.uid) == (4242, 7, 4243, 11, 1000)
    assert (said.dump_mode, said.is_guarded, said.core_limit, said.pidfd) == (1, False, 0, 3)
    assert (said.comm, said.path) == ("my prog", "/usr/bin/my prog")


@pytest.mark.parametrize(
    "words",
    [
        [],
        WORDS[:9],
        ["0", *WORDS[1:]],
        ["-1", *WORDS[1:]],
        ["4194305", *WORDS[1:]],
        ["\u0664", *WORDS[1:]],
        ["1" * 5000, *WORDS[1:]],
        [*WORDS[:4], "", *WORDS[5:]],
        [*WORDS[:5], "x", *WORDS[6:]],
    ],
)
def test_words_that_are_none_of_the_kernel_s(words: list[str]) -> None:
    assert isinstance(kernelsaid.read(words), str)


@pytest.mark.parametrize(("mode", "guarded"), [("0", True), ("1", False), ("2", True), ("3", True)])
def test_dump_modes(mode: str, guarded: bool) -> None:
    said = kernelsaid.read([*WORDS[:5], mode, *WORDS[6:]])
    assert isinstance(said, KernelSaid)
    assert said.is_guarded is guarded


def test_words_that_an_older_kernel_tore_apart() -> None:
    """No pidfd before 6.16; before 5.3 a name with a blank is two words, and nobody can say which."""
    said = kernelsaid.read([*WORDS[:7], "", "my", "prog", "!usr!bin!my", "prog"])
    assert isinstance(said, KernelSaid)
    assert (said.pidfd, said.comm, said.path) == (-1, "", "")


@pytest.mark.parametrize("pidfd", ["0", "2", "99999", "x", "-3"])
def test_a_pidfd_that_can_be_none(pidfd: str) -> None:
    said = kernelsaid.read([*WORDS[:7], pidfd, *WORDS[8:]])
    assert isinstance(said, KernelSaid)
    assert said.pidfd == -1


def test_the_event_id_is_the_boot_s_and_the_process_s() -> None:
    boot = "0b6f6d0e-7c0b-4d0f-9c53-9f3c8b1c2d3e"
    assert eventid.of_crash(boot + "\n", 5) == eventid.of_crash(boot.replace("-", "").upper(), 5)
    assert len({eventid.of_crash(boot, 5), eventid.of_crash(boot, 6), eventid.of_crash(boot[:-1] + "f", 5)}) == 3
    assert eventid.of_crash(boot, 5).hex() == "8cac5894d26e93d7e22c49fd40cf7c0f"
