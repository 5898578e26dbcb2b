# SPDX-License-Identifier: Apache-2.0
"""What of a crash may leave the machine: decided by paths alone, before anything of the program is looked at.

The rules of telemetrics-client, and one more: what isn't the system's own is not named inside a report, either. The
file opt-in-no-privacy-filters lifts all of them. Pure: paths in, decisions out.
"""

from __future__ import annotations

SYSTEM = "org.clearlinux/crash/clr"
THIRD_PARTY = "org.clearlinux/crash/unknown"
BUILD = "org.clearlinux/crash/clr-build"
ERROR = "org.clearlinux/crash/error"

BUILD_FOLDER = "/builddir/build/BUILD/"
SYSTEM_FOLDERS = ("/usr/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/bin/", "/sbin/")
"""Where packages put programs; / and /usr may be merged or not."""
LOCAL_FOLDER = "/usr/local/"
HOMES = ("/home/", "/root/")
DELETED = " (deleted)"
HIDDEN = "third party"

RULE_BUILD = "the program runs in a package's build: only that it crashed is told"
RULE_THIRD_PARTY = "the program is not the system's (outside /usr, or in /usr/local): only that it crashed is told"
RULE_MODULE = f"modules that are not the system's are shown as {HIDDEN!r}, without functions and files"
RULE_SCRIPT = "Python functions whose file is not the system's are shown without name and file"
RULE_SOURCE = "folders of source files below /home and /root are left out"
RULE_GUARDED = "the program had more rights than its user (set-id, for one): frames have no names and no addresses"
RULE_ADDRESS = "addresses where the program had no memory are left out: they may be its data"
RULE_ARGUMENTS = "arguments, environment, registers and memory are never sent"


class Decision:
    """How a crash of this program is reported."""

    __slots__ = ("backtrace", "classification", "rule", "severity", "text")

    def __init__(self, classification: str, severity: int, backtrace: bool, text: str, rule: str) -> None:
        """`backtrace`: the core may be looked at. Otherwise `text` is all that is sent, and `rule` says why."""
        self.classification = classification
        self.severity = severity
        self.backtrace = backtrace
        self.text = text
        self.rule = rule


_FULL = Decision(SYSTEM, 3, True, "", "")
_BUILD = Decision(BUILD, 2, False, "Crash from Clear package build\n", RULE_BUILD)
_THIRD_PARTY = Decision(THIRD_PARTY, 2, False, "Crash from third party\n", RULE_THIRD_PARTY)


def executable_path(name: str) -> str:
    """What core_pattern's %E gives, as a path: `!` stands for `/`. A path that has slashes is one already."""
    return name.replace("!", "/") if name.startswith("!") else name


def decide(executable: str, lifted: bool) -> Decision:
    """For a program by its path; for an empty one, which nobody knows, as for one that isn't the system's."""
    if lifted:
        return _FULL
    if BUILD_FOLDER in executable:
        return _BUILD
    return _FULL if is_system(executable) else _THIRD_PARTY


def is_system(path: str) -> bool:
    """A package put it there. `..` and the like are nobody's package."""
    if "/../" in path or "/./" in path or "//" in path:
        return False
    return path.startswith(SYSTEM_FOLDERS) and not path.startswith(LOCAL_FOLDER)


def module_name(path: str, lifted: bool) -> str:
    """As a report shows it: the path, or HIDDEN. What the kernel itself calls so (`[vdso]`) is no secret."""
    return path if lifted or is_system(path) or path.startswith("[") else HIDDEN


def is_own_script(path: str) -> bool:
    """A Python file that isn't the system's; `<frozen importlib._bootstrap>` and the like are part of Python."""
    return not is_system(path) and not path.startswith("<frozen ")


def source_name(path: str, lifted: bool) -> str:
    """A source file as a report shows it."""
    if lifted or not path.startswith(HOMES):
        return path
    return path.rpartition("/")[2]
