# SPDX-License-Identifier: Apache-2.0
"""telemctl crash enable: from now on the kernel hands every crash to crashprobe, also after a boot.

Never without the owner's consent, and never in the place of another handler.
"""

from __future__ import annotations

from telemd import optin
from telemd.ctl import corepattern
from telemd.ctl.call import Report, Result, json_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "crash enable"
SUMMARY = "have the kernel hand crashes to crashprobe"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """How, where another handler is there."""
    parser.add_argument("--chain", action="store_true", help="go before the handler that is there, and hand on to it")
    parser.add_argument("--program", metavar="FILE", help="crashprobe, where it isn't beside telemctl; may be a link")
    json_option(parser)


def run(call: Call) -> int:
    """0, also where it was so before; 1 where another handler has core_pattern, or it can't be set."""
    report = Report(call)
    if not optin.is_opted_in(call.settings):
        report.fail(f"this machine is not opted in: run `{call.command('opt-in')}` first")
        return report.end(pattern="")
    found = corepattern.look(call.settings)
    if isinstance(found, Result):
        report.take(found)
        return report.end(pattern="")
    pattern = _pattern(call, found)
    if isinstance(pattern, Result):
        report.take(pattern)
        return report.end(pattern=found.pattern)
    if found.pattern == pattern and found.at_boot and found.limit >= corepattern.HANDLERS_MAX:
        report.say("crashes are looked at already")
        return report.end(pattern=pattern)
    taken = report.take(corepattern.take(call.settings, pattern, found))
    if taken and not found.owner and not found.ours:
        disable = call.command("crash disable")
        report.say(f"the kernel writes no core files meanwhile; to have them again: {disable}")
    return report.end(pattern=pattern if taken else found.pattern)


def _pattern(call: Call, found: corepattern.Found) -> str | Result:
    chain = bool(call.arguments.chain)
    chained = chain or (found.chained and bool(found.before))
    if found.pattern.startswith("@"):
        return Result(False, f"the kernel sends cores to the socket {found.owner}: take that out of core_pattern first")
    if found.owner and not chain:
        return Result(
            False,
            f"{found.owner} has core_pattern, and keeps it: to go before it, and hand each crash on to it, "
            f"{call.command('crash enable --chain')}",
        )
    if chain and not found.owner and not found.chained:
        return Result(False, f"there is no other handler to hand on to: {call.command('crash enable')}")
    program = call.arguments.program or corepattern.gate()
    if program is None:
        return Result(False, "there is no crashprobe beside telemctl or on PATH: name it with --program")
    if not program.startswith("/"):
        return Result(False, "--program: the kernel needs an absolute path")
    doubt = corepattern.distrust(program)
    if not doubt and call.config_file is not None:
        doubt = corepattern.distrust(call.config_file, starts=False)
    if doubt:
        return Result(False, f"{doubt}: the kernel starts it as root, so it has to be in a place that is root's alone")
    return corepattern.wanted(program, call.config_file, chain=chained)
