# SPDX-License-Identifier: Apache-2.0
"""crashprobe: turn a core into a report and send it.

The command line and what is said to people; how a core is looked at stands in crash/. Nothing is written to disk.
"""

from __future__ import annotations

import sys
from time import monotonic

from libtelemetry import REFUSED, TelemetryError, is_opted_in, send, set_config_file, setting, telemctl
from telemetry_probes.consent import privacy_is_lifted
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.program import Mistake, Program, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.examine import Examined

NAME = "crashprobe"
STDIN = 0
OWNERS_FOLDER = "/etc/telemetrics"
STATE_FOLDER = "/var/lib/telemetry"
_S_IFMT, _S_IFDIR = 0o170000, 0o040000

OPTIONS = (
    Option("c", "core-file", "FILE", "the core; without it from standard input, which may be a pipe"),
    Option("p", "process-name", "NAME", "the process's name, default what the core says"),
    Option("E", "process-path", "PATH", "its executable, with / or ! between folders, default what the core says"),
    Option("s", "signal", "N", "the signal, where the core doesn't say"),
    Option("x", "explain", "", "print what would be sent and what is left out, and send nothing"),
    Option("j", "json", "", "print the report's JSON, and send nothing"),
    Option("l", "list", "", "print what crashed here and how often, a JSON object a line, and send nothing"),
    Option("v", "verbose", "", "print the payload, too"),
    CONFIG_FILE,
    HELP,
    VERSION,
)
PROGRAM = Program(NAME, "Turns a core into a crash report and sends it.", OPTIONS)


KERNEL, CHAINED = "-k", "-K"
"""The first argument, or the first behind `-f FILE`: the kernel calls, and its words follow (crash/kernelsaid). With
the other one the handler of before has its turn then (crash/chain). For core_pattern alone; nobody types them."""


def main(argv: list[str] | None = None) -> int:
    """Look at one core and send its report. 0 when telemd has it or nothing was to be sent, 1 when not."""
    arguments = (argv or sys.argv)[1:]
    called = arguments[2:3] if arguments[:1] == ["-f"] else arguments[:1]
    if called in ([KERNEL], [CHAINED]):
        return _called_by_the_kernel(arguments, called == [CHAINED])
    return PROGRAM.run([NAME, *arguments], _run)


def _called_by_the_kernel(arguments: list[str], chained: bool) -> int:
    """One crash; what goes wrong is told in the journal, since nobody looks at output or exit code."""
    from telemetry_probes.crash import faults, handler, kernelsaid

    handler.have_descriptors()
    before, words = (arguments[:2], arguments[3:]) if arguments[0] == "-f" else ([], arguments[1:])
    said = kernelsaid.read(words)
    try:
        if before:
            set_config_file(before[1])
    except TelemetryError as error:
        said = error.strerror
    if isinstance(said, str):
        faults.tell(f"a crash is not reported: {said}", faults.ERROR, faults.kernel_log())
        return 1
    kernel_said = said

    def report() -> int:
        return handler.handle(kernel_said, monotonic) if is_opted_in() else 0

    if not chained:
        return report()
    from telemetry_probes.crash import chain

    try:
        folder = setting("opt_in_path").rpartition("/")[0]
    except TelemetryError:
        folder = OWNERS_FOLDER  # a broken configuration is no reason to take the crash from the other handler
    return chain.ahead(report, said, folder)


def _run(given: dict[str, str]) -> int:
    if "l" in given:
        return _list()
    sends = "x" not in given and "j" not in given
    if sends and not is_opted_in():
        raise Mistake(
            f"this machine is not opted in, nothing was looked at: run `{telemctl('opt-in')}` to allow telemetry, or"
            " use --explain to see a report"
        )
    lifted = privacy_is_lifted()
    examined = _examined(given, lifted)
    if examined.failure:
        raise Mistake(f"{given.get('c', 'standard input')}: {examined.failure}; give a core with -c FILE or on a pipe")
    payload = examined.report.payload() if examined.report is not None else examined.decision.text.encode()
    if "x" in given:
        output(_explained(examined, payload, lifted).encode())
        return 0
    if "j" in given:
        output(_json(examined, payload) + b"\n")
        return 0
    if "v" in given:
        output(payload)
    return _send(examined)


def _examined(given: dict[str, str], lifted: bool) -> Examined:
    import posix

    from telemetry_probes.crash import examine, privacy

    signal = given.get("s", "")
    if signal and not (signal.isascii() and signal.isdigit() and 0 < int(signal[:6]) <= examine.SIGNAL_MAX):
        raise Mistake(f"-s: a signal is a number from 1 to {examine.SIGNAL_MAX}")
    asked = examine.Asked(
        given.get("p", ""), privacy.executable_path(given.get("E", "")), int(signal) if signal else None
    )  # fmt: skip
    foregone = examine.foregone(asked, lifted)
    if foregone is not None:
        return foregone
    if "c" not in given:
        if posix.isatty(STDIN):
            raise Mistake("a core is needed: -c FILE, or on standard input; see --help")
        _be_telemd_s_user()
        return examine.examine(STDIN, asked, lifted, monotonic)
    try:
        # of a FIFO that nobody writes to not even the opening would end
        core = posix.open(given["c"], posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise Mistake(f"{given['c']} can't be opened: {why}") from None
    try:
        if posix.fstat(core).st_mode & _S_IFMT == _S_IFDIR:
            raise Mistake(f"{given['c']} is a folder: name the core in it")
        posix.set_blocking(core, True)
        _be_telemd_s_user()
        return examine.examine(core, asked, lifted, monotonic)
    finally:
        posix.close(core)


def _be_telemd_s_user() -> None:
    """What is in a core may be meant to harm who reads it: root opens it, and telemd's user goes on, with no way back.
    Where telemd is root's, or was never here, nobody else could send the report."""
    import posix

    if posix.geteuid() != 0:
        return
    from telemetry_probes.crash import leastprivilege

    who = leastprivilege.telemd_s(_state_folder())
    if who is None:
        return
    try:
        leastprivilege.drop(who, ())
    except OSError as error:
        raise Mistake(f"root can't be left ({error.strerror}): run it as user {who.uid}, telemd's") from None


def _state_folder() -> str:
    return setting("state_root").rstrip("/") + STATE_FOLDER


def _list() -> int:
    from telemetry_probes.crash import crashloop, jsontext

    kinds = {crashloop.EXECUTABLE: "program", crashloop.FINGERPRINT: "fault"}
    for each in crashloop.counted(_state_folder()):
        if each.kind in kinds:
            told: dict[str, jsontext.Value] = {
                "kind": kinds[each.kind], "name": each.name.decode("utf-8", "surrogateescape"), "uid": each.uid,
                "first_s": each.first_s, "last_s": each.last_s, "seen": each.seen, "not_reported": each.more,
            }  # fmt: skip
            output(jsontext.write(told).encode() + b"\n")
    return 0


def _json(examined: Examined, payload: bytes) -> bytes:
    if examined.report is not None:
        return payload.partition(b"\n")[0]
    from telemetry_probes.crash import jsontext

    return jsontext.write({"text": examined.decision.text}).encode()


def _explained(examined: Examined, payload: bytes, lifted: bool) -> str:
    from telemetry_probes.crash.explain import explained

    report = examined.report
    return explained(
        examined.decision, examined.classification, examined.severity, payload,
        report.rules if report is not None else (), report.flags if report is not None else (), lifted,
    )  # fmt: skip


def _send(examined: Examined) -> int:
    from telemetry_probes.crash import sending

    with sending.record(examined, for_older=sending.is_older_telemd()) as record:
        ack = send(record)
    if ack.verdict == REFUSED:
        return PROGRAM.failed(f"telemd refused the report ({ack.reason_name}): see `{telemctl('status')}`")
    return 0
