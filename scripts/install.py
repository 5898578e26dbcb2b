# SPDX-License-Identifier: Apache-2.0
"""Put a finished build in its place, and take it away again.

`meson install` copies files but forgets what it copied the last time, so a module deleted from the tree would live
on where it was installed. This keeps a list beside the build (BUILD/installed.txt) and removes what is no longer on
it. Only files from such a list, and the folders that become empty by it, are ever removed. Nothing here configures or
compiles anything but through meson. With the prefix /usr/local and no DESTDIR it also lets the systemd that runs here
know: user, directories, units; nothing is started.

    install.py configure BUILD --prefix DIR [--python PYTHON]     a build directory for an installation on a system
    install.py install BUILD [--destdir DIR] [--only-changed]
    install.py uninstall BUILD
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# A system has these anyway; Debian names a folder of lib/ after the machine.
MULTIARCH = sysconfig.get_config_var("MULTIARCH") or "lib64"
STANDARD_FOLDERS = {
    "bin",
    "dist-packages",
    "include",
    "lib",
    "libexec",
    "pkgconfig",
    "share",
    "site-packages",
    MULTIARCH,
}

UNITS = Path("/usr/local/lib/systemd/system")
TARGET = "telemetrics.target"
REPLACED = Path("/etc/telemetrics/replaced-units")
AFTER_INSTALLING = (
    ["systemd-sysusers", "telemetrics.conf"],
    ["systemd-tmpfiles", "--create", "telemetrics.conf"],
    ["systemctl", "daemon-reload"],
    ["ldconfig"],
)

TOOLS = Path(sysconfig.get_path("scripts"))

# Runs under the Python the installation is for: where it looks for modules, below the prefix and elsewhere.
ASK_PYTHON = """
import json, site, sys, sysconfig
debian = "deb_system" in sysconfig.get_scheme_names()
version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
below_usr = "lib/python3/dist-packages" if debian else f"lib/{version}/site-packages"
below_others = f"lib/{version}/dist-packages" if debian else f"lib/{version}/site-packages"
print(json.dumps([below_usr, below_others, site.getsitepackages()]))
"""


def configure(build: Path, prefix: Path, python: str) -> None:
    """Set up `build` for `prefix`; does nothing where that was done before with the same answers."""
    asked = subprocess.run([python, "-I", "-c", ASK_PYTHON], check=True, capture_output=True, text=True)
    below_usr, below_others, elsewhere = json.loads(asked.stdout)
    modules = below_usr if prefix == Path("/usr") else below_others
    options = [
        f"--prefix={prefix}",
        f"-Dlauncher_python={shutil.which(python) or python}",
        f"-Dlauncher_path={','.join(d for d in elsewhere if Path(d) != prefix / modules)}",
        f"-Dpython.purelibdir={modules}",
        f"-Dpython.platlibdir={modules}",
    ]
    answers = build / "configured.txt"
    if answers.exists() and answers.read_text().splitlines() == options:
        return
    shutil.rmtree(build, ignore_errors=True)
    done = subprocess.run(["meson", "setup", build, *options], env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}")
    answers.write_text("\n".join(options) + "\n")


def install(build: Path, destdir: Path | None, only_changed: bool) -> None:
    """Copy what was built; remove what an earlier run copied and this one doesn't know any more."""
    command: list[str | Path] = ["meson", "install", "-C", build, "--no-rebuild", "--quiet"]
    if only_changed:
        command.append("--only-changed")
    subprocess.run(command, check=True, env=environment(destdir))
    before = listed(build)
    now = logged(build)
    remove(before - now)
    (build / "installed.txt").write_text("".join(f"{path}\n" for path in sorted(now)))
    if not only_changed:
        compile_modules(build, destdir, now)
    if on_this_system(now):
        for call in AFTER_INSTALLING:
            subprocess.run(call, check=True)


def uninstall(build: Path) -> None:
    """Remove what the last installation from `build` put in place."""
    files = listed(build)
    if not files:
        sys.exit(f"uninstall: {build}/installed.txt is not there: nothing was installed from this tree")
    if on_this_system(files):
        units = sorted(path.name for path in files if path.parent == UNITS and "@" not in path.name)
        subprocess.run(["systemctl", "disable", "--quiet", TARGET], check=False)
        subprocess.run(["systemctl", "stop", *units], check=False)
        keep_crashes(files)
        give_back()
    remove(files)
    (build / "installed.txt").unlink()
    if on_this_system(files):
        for call in (["systemctl", "daemon-reload"], ["ldconfig"]):
            subprocess.run(call, check=True)


def on_this_system(files: set[Path]) -> bool:
    """They are, or were, where the systemd that runs here looks for them."""
    return os.geteuid() == 0 and Path("/run/systemd/system").is_dir() and UNITS / TARGET in files


def keep_crashes(files: set[Path]) -> None:
    """The kernel must not start what is about to go."""
    for telemctl in files & {UNITS.parents[2] / "bin/telemctl"}:
        subprocess.run([telemctl, "crash", "disable"], check=False, stdout=subprocess.DEVNULL)


def give_back() -> None:
    """The units of telemetrics-client that telemctl has masked."""
    if REPLACED.exists():
        subprocess.run(["systemctl", "unmask", "--quiet", *REPLACED.read_text().split()], check=False)
        REPLACED.unlink()


def compile_modules(build: Path, destdir: Path | None, files: set[Path]) -> None:
    """For users that can't write beside the modules: without this each start would compile them anew."""
    asked = dict(line.partition("=")[::2] for line in (build / "configured.txt").read_text().splitlines())
    modules = sorted(str(path) for path in files if path.suffix == ".py" and path.parent.name != "bin")
    strip = ["-s", str(destdir.resolve()), "-p", "/"] if destdir is not None else []
    command = [asked["-Dlauncher_python"], "-m", "compileall", "-q", *strip, *modules]
    subprocess.run(command, check=True)


def environment(destdir: Path | None = None) -> dict[str, str]:
    """For meson: the tools beside this Python come first; DESTDIR only as asked for."""
    result = {name: value for name, value in os.environ.items() if name != "DESTDIR"}
    result["PATH"] = f"{TOOLS}:{result.get('PATH', os.defpath)}"
    if destdir is not None:
        result["DESTDIR"] = str(destdir.resolve())
    return result


def logged(build: Path) -> set[Path]:
    """The files meson just copied, or left alone because they are there already."""
    preserved = "# Preserving old file "
    paths = set()
    for line in (build / "meson-logs" / "install-log.txt").read_text().splitlines():
        name = line.removeprefix(preserved)
        if not name.startswith("#"):
            paths.add(Path(name))
    return {path for path in paths if path.is_symlink() or not path.is_dir()}


def listed(build: Path) -> set[Path]:
    """The files of the installation before."""
    try:
        return {Path(line) for line in (build / "installed.txt").read_text().splitlines()}
    except FileNotFoundError:
        return set()


def remove(files: set[Path]) -> None:
    """Remove files, what Python compiled from them, and folders of ours that are empty then."""
    for path in sorted(files):
        path.unlink(missing_ok=True)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        folder = path.parent / "__pycache__"
        while folder.name not in STANDARD_FOLDERS and is_empty(folder):
            if folder.exists():
                folder.rmdir()
            folder = folder.parent


def is_empty(folder: Path) -> bool:
    """Also true for a folder that isn't there."""
    return not folder.exists() or not any(folder.iterdir())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("configure", "install", "uninstall"):
        verb = verbs.add_parser(name)
        verb.add_argument("build", type=Path)
        if name == "configure":
            verb.add_argument("--prefix", type=Path, required=True)
            verb.add_argument("--python", default="python3")
        if name == "install":
            verb.add_argument("--destdir", type=Path)
            verb.add_argument("--only-changed", action="store_true")
    arguments = parser.parse_args()
    if arguments.verb == "configure":
        configure(arguments.build, arguments.prefix, arguments.python)
    elif arguments.verb == "install":
        install(arguments.build, arguments.destdir, arguments.only_changed)
    else:
        uninstall(arguments.build)


if __name__ == "__main__":
    main()
