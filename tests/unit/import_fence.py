# SPDX-License-Identifier: Apache-2.0
"""Who may import whom, read from the syntax tree; nothing is imported for it. Pure but for `modules()`, which reads the
tree. The rules are those of docs/ARCHITECTURE.md:

1. libtelemetry <- {telemd, telemetry_probes, telemhub}; those three never import each other.
2. Inside telemd nothing but `main` imports `daemon`; `transport` and the network are for the courier alone
   (telemctl, a process that comes and goes, may ask which transports there are).
3. A module whose docstring says `Pure:` touches no clock, random source, environment, socket or file, and imports only
   modules of ours that say the same.
4. What starts in milliseconds or lives in little memory imports no heavy module as it loads.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "libtelemetry": ROOT / "libtelemetry/python/libtelemetry",
    "telemd": ROOT / "telemd",
    "telemetry_probes": ROOT / "probes/telemetry_probes",
    "telemhub": ROOT / "hub/telemhub",
}

PURE_WORD = re.compile(r"\bPure[:.,;]")
# The C codecs: bytes in, bytes out. telemd._engine has sockets too, but gives them to `intake` and `disk` alone.
PURE_EXTENSIONS = {
    "libtelemetry.wire",
    "libtelemetry.ack",
    "libtelemetry.errors",
    "libtelemetry._native",
    "telemd._engine",
}
IMPURE_MODULES = set(
    """
    asyncio ctypes fcntl glob http io logging mmap multiprocessing os pathlib posix random requests secrets select
    selectors shutil signal socket sqlite3 ssl subprocess tempfile threading time urllib uuid
    """.split()
)
CLOCKS = {"now", "utcnow", "today"}  # of datetime, which is welcome for reading dates
IMPURE_BUILTINS = {"open", "input", "print", "exec", "eval", "__import__", "breakpoint"}

NETWORK = {"requests", "urllib", "urllib3", "http", "ssl"}
NETWORK_ROOMS = ("telemd.courier", "telemd.transport", "telemd.answers")

HEAVY_FOR_PROBES = set(
    """
    argparse dataclasses enum functools getopt inspect json logging os pathlib re socket subprocess typing
    collections contextlib importlib cffi
    """.split()
)
HEAVY_FOR_TELEMD = set(
    """
    argparse asyncio cffi concurrent dataclasses hashlib hmac inspect multiprocessing pathlib sqlite3 ssl subprocess
    threading tomli typing unittest urllib uuid
    """.split()
)
QUICK_PROBES = (
    "telemetry_probes.hprobe", "telemetry_probes.recordgen", "telemetry_probes.options",
    # what runs as the machine goes down
    "telemetry_probes.bootprobe", "telemetry_probes.boots",
    # what klogscanner holds in memory while there is no report
    "telemetry_probes.klogscanner", "telemetry_probes.kmsg", "telemetry_probes.kernel.assembly",
    "telemetry_probes.kernel.lines", "telemetry_probes.kernel.patterns", "telemetry_probes.kernel.repeats",
    "telemetry_probes.ownstate", "telemetry_probes.kernel.cursor", "telemetry_probes.program",
    # and journalprobe while nothing fails
    "telemetry_probes.journalprobe", "telemetry_probes.journal.fields", "telemetry_probes.journal.incidents",
    "telemetry_probes.journal.lane", "telemetry_probes.journal.place", "telemetry_probes.journal.source",
    "telemetry_probes.journal.trusted",
    # what metricprobe holds all day
    "telemetry_probes.metricprobe", "telemetry_probes.metrics",
)  # fmt: skip
ROOMY_TELEMD = ("telemd.courier", "telemd.transport", "telemd.ctl")  # processes that come and go


class Import(NamedTuple):
    """One module named by one import statement. `when`: "loading", "calling" (in a function) or "typing"."""

    module: str
    when: str
    line: int


def below(module: str, *places: str) -> bool:
    """Is `module` one of `places`, or inside one?"""
    return any(module == place or module.startswith(place + ".") for place in places)


def imports(tree: ast.Module, module: str, is_package: bool) -> list[Import]:
    """All imports of a module. `from a import b` counts as `a` and as `a.b`, since b may be a module."""
    found: list[Import] = []
    package = module if is_package else module.rpartition(".")[0]

    def named(node: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        base = node.module or ""
        if node.level:
            parent = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parent, *filter(None, [base])])
        return [base, *(f"{base}.{alias.name}" for alias in node.names)]

    def walk(node: ast.AST, when: str) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.extend(Import(name, when, node.lineno) for name in named(node))
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for statement in node.body:
                walk(statement, "typing")
            for statement in node.orelse:
                walk(statement, when)
        else:
            inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and when != "typing"
            for child in ast.iter_child_nodes(node):
                walk(child, "calling" if inner else when)

    walk(tree, "loading")
    return found


def is_pure(tree: ast.Module) -> bool:
    """Does the module say of itself that it is?"""
    return PURE_WORD.search(ast.get_docstring(tree) or "") is not None


def breaches(source: str, module: str, pure: frozenset[str] = frozenset(), is_package: bool = False) -> list[str]:
    """Every breach in the text of one module, as `module:line: what`. `pure` names the modules of ours that say so."""
    tree = ast.parse(source)
    found: list[str] = []
    own = module.partition(".")[0]
    used = imports(tree, module, is_package)

    def breach(line: int, what: str) -> None:
        found.append(f"{module}:{line}: {what}")

    for name, when, line in used:
        top = name.partition(".")[0]
        if top in PACKAGES and top != own and (own == "libtelemetry" or top != "libtelemetry"):
            breach(line, f"{own} and {top} meet only as bytes: no import of {name}")
        if below(name, "telemd.daemon") and not below(module, "telemd.main", "telemd.daemon"):
            breach(line, "no room imports the daemon")
        if below(name, "telemd.transport") and not below(module, *NETWORK_ROOMS, "telemd.ctl"):
            breach(line, "transports are loaded by the courier alone")
        if own == "telemd" and top in NETWORK and not below(module, *NETWORK_ROOMS):
            breach(line, f"the network is the courier's: no import of {name}")
        if when == "loading" and top in heavy_for(module):
            breach(line, f"{name} is too heavy to load with {module}; import it in the function that needs it")

    if is_pure(tree):
        for name, when, line in used:
            top = name.partition(".")[0]
            if when != "typing" and top in IMPURE_MODULES:
                breach(line, f"the module says it is pure, but imports {name}")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom | ast.Import):
                for name in ours_imported(node, tree, module, is_package):
                    if not below(name, *pure, *PURE_EXTENSIONS):
                        breach(node.lineno, f"the module says it is pure, but imports {name}, which doesn't")
            match node:
                case ast.Call(func=ast.Name(id=called)) if called in IMPURE_BUILTINS:
                    breach(node.lineno, f"the module says it is pure, but calls {called}()")
                case ast.Call(func=ast.Attribute(attr=called)) if called in CLOCKS:
                    breach(node.lineno, f"the module says it is pure, but calls {called}()")
    return sorted(set(found))


def heavy_for(module: str) -> set[str]:
    """Top-level modules that `module` must not import as it loads."""
    if below(module, "libtelemetry", *QUICK_PROBES) or module == "telemetry_probes":
        return HEAVY_FOR_PROBES
    if below(module, "telemd") and not below(module, *ROOMY_TELEMD):
        return HEAVY_FOR_TELEMD
    return set()


def ours_imported(node: ast.Import | ast.ImportFrom, tree: ast.Module, module: str, is_package: bool) -> list[str]:
    """The modules of ours that one statement needs at run time: `from a.b import c` needs a.b.c if that is a module of
    ours, else a.b."""
    names = [i.module for i in imports(tree, module, is_package) if i.line == node.lineno and i.when != "typing"]
    names = [name for name in names if name.partition(".")[0] in PACKAGES]
    if isinstance(node, ast.Import) or len(names) < 2:
        return names
    base, *inner = names
    modules_among = [name for name in inner if location(name) is not None]
    return modules_among if len(modules_among) == len(inner) else [base, *modules_among]


def location(module: str) -> Path | None:
    """The file of a module of ours, None where there is none (then the name is an object in a module)."""
    package, _, rest = module.partition(".")
    path = PACKAGES[package].joinpath(*rest.split(".")) if rest else PACKAGES[package]
    for candidate in (path / "__init__.py", path.with_name(path.name + ".py")):
        if candidate.exists():
            return candidate
    return None


def modules() -> dict[str, tuple[str, bool]]:
    """Every module of ours: its name, its text and whether it is a package."""
    found: dict[str, tuple[str, bool]] = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            found[".".join(parts[:-1] if is_package else parts)] = (path.read_text(), is_package)
    return found
