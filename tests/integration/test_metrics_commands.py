# SPDX-License-Identifier: Apache-2.0
"""Programs that collectors run: those that behave, and those that never end, say too much or leave others behind."""

from __future__ import annotations

import os
import posix
import signal
import time
from pathlib import Path

import pytest

from telemetry_probes.metrics import commands
from telemetry_probes.metrics.commands import Program, Stream, found, run
from telemetry_probes.metrics.model import Absent
from telemetry_probes.metrics.places import Places

SH = "/bin/sh"
SOON_S = 30.0
"""Far more than any of these programs needs."""
BEGUN_S = 2.0
"""So long a program may run that never ends: by then it has done what it does first."""


def gone(pid: int) -> bool:
    """Whether that process ends."""
    end_s = time.monotonic() + SOON_S
    while time.monotonic() < end_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def inherited(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


def test_output_and_status() -> None:
    before = descriptors()
    ran = run([SH, "-c", "echo out; echo err >&2; exit 7"], SOON_S)
    assert (ran.output, ran.status) == (b"out\n", 7)
    assert run([SH, "-c", "kill -TERM $$"], SOON_S).status == -signal.SIGTERM
    assert descriptors() == before


def test_arguments_are_the_program_s_alone() -> None:
    assert run(["/bin/echo", "$(id)", "a b", ";", "*"], SOON_S).output == b"$(id) a b ; *\n"


def test_it_gets_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    ours = os.open("/dev/null", os.O_RDONLY)
    inheritable = {name for name in descriptors() if inherited(int(name))}
    said = run([SH, "-c", "ls /proc/self/fd; echo -; cat; echo -; exec env"], SOON_S).output.decode()
    os.close(ours)
    open_there, heard, environment = said.split("-\n")
    # 3 is that of the folder that ls lists.
    assert set(open_there.split()) == {"0", "1", "2", "3"} | inheritable
    assert heard == ""
    names = {line.partition("=")[0] for line in environment.splitlines()}
    assert names - {"PWD", "_", "OLDPWD", "SHLVL"} == set(commands.ENVIRONMENT)


def test_signals_are_as_they_were() -> None:
    ours = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        said = run(["/bin/grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"], SOON_S).output
    finally:
        signal.signal(signal.SIGTERM, ours)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    # Without 32 and 33, which glibc keeps for itself.
    assert [int(line.split()[1], 16) & 0x7FFF_FFFF for line in said.splitlines()] == [0, 0]


def test_one_that_never_ends_is_ended_with_all_it_started(tmp_path: Path) -> None:
    before = descriptors()
    began_s = time.monotonic()
    with pytest.raises(TimeoutError, match="longer than 2 s") as said:
        run([SH, "-c", f"trap '' TERM; sleep 1000 & echo $! > {tmp_path}/child; wait"], BEGUN_S)
    assert said.value.strerror and time.monotonic() - began_s < SOON_S
    assert gone(int((tmp_path / "child").read_text()))
    assert descriptors() == before


def test_one_that_says_a_gigabyte_is_ended() -> None:
    with pytest.raises(OSError, match="more than 65536 bytes") as said:
        run([SH, "-c", "exec cat /dev/zero"], SOON_S, 65_536)
    assert not isinstance(said.value, TimeoutError)


def test_one_that_closes_its_output_and_stays() -> None:
    with pytest.raises(TimeoutError):
        run([SH, "-c", "exec >&-; sleep 1000"], 0.3)


def test_what_it_leaves_behind_holds_nobody_up(tmp_path: Path) -> None:
    began_s = time.monotonic()
    ran = run([SH, "-c", f"sleep 1000 & echo $! > {tmp_path}/child; echo done"], SOON_S)
    assert (ran.output, ran.status) == (b"done\n", 0)
    assert time.monotonic() - began_s < SOON_S
    assert gone(int((tmp_path / "child").read_text()))


def test_output_longer_than_a_pipe_comes_whole() -> None:
    assert run([SH, "-c", "head -c 500000 /dev/zero"], SOON_S).output == b"\0" * 500_000


@pytest.mark.parametrize("name", ["none", "not-a-program", "not-for-us"])
def test_what_cannot_be_started(tmp_path: Path, name: str) -> None:
    (tmp_path / "not-a-program").write_text("\x7fELF, but no more")
    (tmp_path / "not-a-program").chmod(0o755)
    (tmp_path / "not-for-us").write_text("#!/bin/sh\n")
    before = descriptors()
    with pytest.raises(OSError):
        run([str(tmp_path / name)], SOON_S)
    assert descriptors() == before


def test_found_on_the_search_path_or_absent(tmp_path: Path) -> None:
    places = Places(str(tmp_path), "/usr/bin:relative:/bin")
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/tool").write_text("#!/bin/sh\necho $1\n")
    with pytest.raises(Absent, match="there is no program tool: install it"):
        found(places, "tool", "install it", SOON_S)
    (tmp_path / "usr/bin/tool").chmod(0o755)
    assert found(places, "tool", "install it", SOON_S).run(100.0, "yes").output == b"yes\n"


def test_one_that_was_too_slow_has_a_pause(tmp_path: Path) -> None:
    path = tmp_path / "slow"
    path.write_text(f"#!/bin/sh\necho x >> {tmp_path}/runs\nexec sleep 1000\n")
    path.chmod(0o755)
    for now_s in (100.0, 101.0, 100.0 + commands.PAUSE_S - 1):
        with pytest.raises(TimeoutError) as said:
            Program(str(path), BEGUN_S).run(now_s)
        assert said.value.strerror
    assert (tmp_path / "runs").read_text() == "x\n"
    path.write_text("#!/bin/sh\necho better\n")
    assert Program(str(path), SOON_S).run(100.0 + commands.PAUSE_S).output == b"better\n"
    assert Program(str(path), SOON_S).run(101.0 + commands.PAUSE_S).output == b"better\n"


def test_one_that_the_kernel_does_not_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a disk hangs: then waitpid() has nothing to tell of it."""
    waited, held = posix.waitpid, True
    monkeypatch.setattr(posix, "waitpid", lambda pid, how: (0, 0) if held else waited(pid, how))
    monkeypatch.setattr(commands, "KILLED_S", 0.05)
    monkeypatch.setattr(commands, "LEFT_MAX", 2)
    with pytest.raises(TimeoutError, match="longer than"):
        run(["/bin/sleep", "1000"], 0.1)
    with pytest.raises(TimeoutError, match="hangs in the kernel"):  # and isn't run a second time beside it
        run(["/bin/sleep", "1000"], 0.1)
    assert run(["/bin/echo", "others go on"], SOON_S).output == b"others go on\n"
    with pytest.raises(OSError, match="2 programs that were ended hang"):
        run(["/bin/echo"], SOON_S)
    held = False
    assert run(["/bin/echo", "again"], SOON_S).status == 0
    assert not commands._left


def lines_of(stream: Stream, count: int) -> list[bytes]:
    """That many lines, which come in their time."""
    heard: list[bytes] = []
    end_s = time.monotonic() + SOON_S
    while len(heard) < count and time.monotonic() < end_s:
        stream.wait(1.0)
        heard += stream.lines() or []
    return heard


def test_stream_says_lines_until_it_is_closed(tmp_path: Path) -> None:
    before = descriptors()
    os.mkfifo(tmp_path / "go")
    said = "echo one; echo two; printf th; read x < go; echo ree; sleep 1000"
    stream = Stream([SH, "-c", f"cd {tmp_path}; echo $$ > pid; {said}"])
    assert lines_of(stream, 2) == [b"one", b"two"]
    assert stream.lines() == []
    with open(tmp_path / "go", "w") as go:
        go.write("\n")
    assert lines_of(stream, 1) == [b"three"]
    stream.close()
    stream.close()
    assert gone(int((tmp_path / "pid").read_text()))
    assert descriptors() == before


def test_stream_that_ends_says_so_after_its_lines() -> None:
    stream = Stream([SH, "-c", "echo last"])
    assert lines_of(stream, 1) == [b"last"]
    end_s = time.monotonic() + SOON_S
    while stream.lines() is not None and time.monotonic() < end_s:
        stream.wait(0.1)
    assert stream.lines() is None
    stream.close()


def test_stream_that_says_too_much_is_kept_in_bounds() -> None:
    stream = Stream([SH, "-c", "exec cat /dev/zero"])
    for _ in range(3):
        stream.wait(SOON_S)
        assert stream.lines() == []
        assert len(stream._rest) <= commands.LINE_BYTES_MAX
    stream.close()
    stream = Stream([SH, "-c", "exec yes"])
    stream.wait(SOON_S)
    assert sum(len(line) + 1 for line in stream.lines() or []) <= commands.OUTPUT_BYTES_MAX
    stream.close()
