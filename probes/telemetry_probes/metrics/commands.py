# SPDX-License-Identifier: Apache-2.0
"""Runs a program for its output, with an end to its time and to what it says.

There is no shell: the arguments are the program's. It hears nothing on standard input, what it says on standard error
is dropped, and it and all that it starts are one process group, which is killed when the program ended or was too slow.
A process that the kernel doesn't let go of (a disk that hangs) is left behind, counted, and reaped later. What an
output means never comes in here.
"""

from __future__ import annotations

import _thread
import posix
import time

from telemetry_probes.metrics.model import Absent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.places import Places

OUTPUT_BYTES_MAX = 1 << 20
"""Of one run."""
LINE_BYTES_MAX = 16_384
"""Of a line that a Stream is in the middle of."""
PAUSE_S = 600
"""A program that was too slow isn't run again for so long."""
PAUSES_MAX = 64
"""Programs that have a pause at one time; what is above isn't remembered."""
KILLED_S = 1.0
"""How long one that was killed may take to go."""
LEFT_MAX = 8
"""Killed processes that the kernel still holds; with more, no program is started."""
ENVIRONMENT = {
    "HOME": "/",
    "LC_ALL": "C",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TZ": "UTC",
}

_LOOK_MS = 20
_PIECE_BYTES = 65_536
_SIGKILL = 9
_AS_AT_START = (1, 2, 3, 10, 12, 13, 14, 15, 17, 25)
"""HUP INT QUIT USR1 USR2 PIPE ALRM TERM CHLD XFSZ: as they were before Python, or this program, changed them."""
_ETIMEDOUT, _EFBIG, _EAGAIN = 110, 27, 11
_pauses: dict[str, float] = {}
"""Until when, in seconds since the boot, by path."""
_left: dict[int, tuple[str, ...]] = {}
"""Killed processes that the kernel still holds, and what they were started as."""
_counting = _thread.allocate_lock()
"""Around _left: collectors that wait for programs are in threads."""


class Ran:
    """status is the exit code, below 0 the signal that ended it."""

    __slots__ = ("output", "status")

    def __init__(self, output: bytes, status: int) -> None:
        self.output = output
        self.status = status


class Program:
    """One that is run now and then. After it was too slow it has a pause, also for who asks for it anew."""

    __slots__ = ("_bytes_max", "_environment", "_seconds", "path")

    def __init__(
        self,
        path: str,
        seconds: float,
        bytes_max: int = OUTPUT_BYTES_MAX,
        environment: Mapping[str, str] = ENVIRONMENT,
    ) -> None:
        self.path = path
        self._seconds = seconds
        self._bytes_max = bytes_max
        self._environment = environment

    def run(self, now_s: float, *arguments: str) -> Ran:
        """With these arguments. now_s: seconds since the boot. TimeoutError: it was too slow, now or a short while ago;
        OSError: it can't be started, or said too much."""
        wait_s = _pauses.get(self.path, 0.0) - now_s
        if 0 < wait_s <= PAUSE_S:
            raise TimeoutError(
                _ETIMEDOUT, f"{self.path} was too slow, and is tried again in {wait_s:.0f} s: try it by hand", self.path
            )
        _pauses.pop(self.path, None)
        try:
            return run([self.path, *arguments], self._seconds, self._bytes_max, self._environment)
        except TimeoutError:
            if len(_pauses) < PAUSES_MAX:
                _pauses[self.path] = now_s + PAUSE_S
            raise


def found(places: Places, name: str, hint: str, seconds: float, bytes_max: int = OUTPUT_BYTES_MAX) -> Program:
    """The program of that name on the search path. Absent: it isn't there; the hint says what to install."""
    path = places.program(name)
    if not path:
        raise Absent(f"there is no program {name}: {hint}")
    return Program(path, seconds, bytes_max)


def run(
    command: Sequence[str],
    seconds: float,
    bytes_max: int = OUTPUT_BYTES_MAX,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> Ran:
    """Runs it to its end, at most so long. command[0] is its path. TimeoutError: that was too short; OSError: it can't
    be started, or said more than bytes_max."""
    import select

    end_s = time.monotonic() + seconds
    pid, fd = _started(command, environment)
    output = bytearray()
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        told = ended = False
        # Whoever inherited its output may hold it open: what counts is that the program itself ended.
        while not ended or not told:
            if poll.poll(0 if ended else 1 if told else _LOOK_MS):
                piece = _read(fd)
                told = piece == b""
                output += piece or b""
                if len(output) > bytes_max:
                    raise OSError(_EFBIG, f"{command[0]} said more than {bytes_max} bytes, and was ended")
                if told:
                    poll.unregister(fd)
            elif ended:
                break
            ended = ended or posix.waitid(posix.P_PID, pid, _LOOKING) is not None
            if not ended and time.monotonic() > end_s:
                raise TimeoutError(_ETIMEDOUT, f"{command[0]} took longer than {seconds:g} s, and was ended")
    finally:
        posix.close(fd)
        status = _ended(pid, tuple(command))
    return Ran(bytes(output), status)


class Stream:
    """A program that goes on saying lines until it is closed."""

    __slots__ = ("_command", "_fd", "_pid", "_rest")

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] = ENVIRONMENT) -> None:
        """OSError: it can't be started."""
        self._command = tuple(command)
        self._pid, self._fd = _started(command, environment)
        self._rest = b""

    def wait(self, seconds: float) -> None:
        """Until it says something or ends, at most so long."""
        import select

        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.poll(int(seconds * 1000))

    def lines(self) -> list[bytes] | None:
        """The whole lines that it said since, without their ends; None: it ended. Of what is more than OUTPUT_BYTES_MAX
        the oldest is dropped, and so is a line longer than LINE_BYTES_MAX that isn't finished."""
        content = bytearray(self._rest)
        over = False
        for _ in range(4 * OUTPUT_BYTES_MAX // _PIECE_BYTES):
            piece = _read(self._fd)
            if not piece:
                over = piece == b""
                break
            content += piece
            del content[:-OUTPUT_BYTES_MAX]
        *lines, rest = bytes(content).split(b"\n")
        self._rest = rest if len(rest) <= LINE_BYTES_MAX else b""
        return None if over and not lines else lines

    def close(self) -> None:
        """Ends it."""
        if self._fd >= 0:
            posix.close(self._fd)
            self._fd = -1
            _ended(self._pid, self._command)


_LOOKING = posix.WEXITED | posix.WNOHANG | posix.WNOWAIT
"""Whether it ended, without reaping it: as long as it isn't, its number is nobody else's, and so is its group's."""


def _started(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, int]:
    """Its process, and the end of a pipe that its output comes from."""
    with _counting:
        for pid in tuple(_left):
            if _reaped(pid) is not None:
                del _left[pid]
        if tuple(command) in _left.values():
            raise TimeoutError(_ETIMEDOUT, f"{command[0]} hangs in the kernel since it was last run: look at dmesg")
        if len(_left) >= LEFT_MAX:
            raise OSError(_EAGAIN, f"{LEFT_MAX} programs that were ended hang in the kernel: look for D in `ps ax`")
    ours, theirs = posix.pipe2(posix.O_CLOEXEC)
    try:
        posix.set_blocking(ours, False)
        pid = posix.posix_spawn(
            command[0],
            list(command),
            dict(environment),
            file_actions=[
                (posix.POSIX_SPAWN_DUP2, theirs, 1),
                (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0),
                (posix.POSIX_SPAWN_OPEN, 2, "/dev/null", posix.O_WRONLY, 0),
            ],
            setpgroup=0,
            setsigmask=[],
            setsigdef=_AS_AT_START,
        )
    except BaseException:
        posix.close(ours)
        raise
    finally:
        posix.close(theirs)
    return pid, ours


def _read(fd: int) -> bytes | None:
    """What is there; b"" at the end, None where there is nothing yet."""
    try:
        return posix.read(fd, _PIECE_BYTES)
    except BlockingIOError:
        return None


def _ended(pid: int, command: tuple[str, ...]) -> int:
    """Kills its group and reaps it: how it ended."""
    # The leader isn't reaped yet: nobody else can have this number.
    try:
        posix.killpg(pid, _SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    end_s = time.monotonic() + KILLED_S
    pause_s = 0.000_1
    while (status := _reaped(pid)) is None:
        if time.monotonic() > end_s:
            with _counting:
                _left[pid] = command
            return -_SIGKILL
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.05)
    return status


def _reaped(pid: int) -> int | None:
    try:
        done, status = posix.waitpid(pid, posix.WNOHANG)
    except ChildProcessError:
        return 0
    return posix.waitstatus_to_exitcode(status) if done else None
