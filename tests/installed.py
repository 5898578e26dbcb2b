# SPDX-License-Identifier: Apache-2.0
"""What is installed, where each user may run it.

Many of the programs give up root, or are run as somebody else, and below a folder that only root may enter (of
`mktemp -d`, or /root) such a process finds none of its modules. There a copy in a place that is open to all is tested.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.rootonly import closed

ROOT = Path(__file__).parents[1]
HERE = ROOT / ".venv"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion")
COMPILE_S = 120


def prefix() -> Path:
    """Of programs, libraries and modules."""
    if os.geteuid() != 0 or not closed(HERE):
        return HERE
    copy = Path(tempfile.mkdtemp(prefix="tm-installed-", dir="/var/tmp"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    shutil.copytree(HERE, copy, symlinks=True, ignore=shutil.ignore_patterns("unpacked"), dirs_exist_ok=True)
    copy.chmod(0o755)
    for each in (*(copy / "bin").iterdir(), *(copy / "lib/pkgconfig").iterdir()):
        if each.is_file() and not each.is_symlink() and os.fsencode(HERE) in (text := each.read_bytes()):
            each.write_bytes(text.replace(os.fsencode(HERE), os.fsencode(copy)))
    compile_gate(copy / "libexec/crashgate", copy / "bin/crashprobe")
    return copy


def compile_gate(gate: Path, crashprobe: Path, *flags: str) -> None:
    """crashgate for a crashprobe elsewhere: it takes none from whoever starts it."""
    command: list[str | Path] = ["gcc", "-std=gnu11", "-D_GNU_SOURCE=", *WARNINGS, *flags]
    command += [f'-DCRASHPROBE="{crashprobe}"', f"-I{ROOT}/libtelemetry/include", ROOT / "probes/src/crashgate.c"]
    command += [f"-L{HERE}/lib", f"-Wl,-rpath,{HERE}/lib", "-ltelemetry", "-o", gate]
    subprocess.run(command, check=True, timeout=COMPILE_S)


PREFIX = prefix()
BIN = PREFIX / "bin"
