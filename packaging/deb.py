# SPDX-License-Identifier: Apache-2.0
"""Debian packages: `deb.py OUT [--version V]` builds for /usr, writes OUT/*.deb and prints their paths.

Which file goes into which package stands here, how a package is made to fit the system in *.control and the maintainer
scripts beside this file. It installs nothing, and keeps its build in build-deb/.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hubmodules

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILD = ROOT / "build-deb"
PYTHON = "/usr/bin/python3"
INSTALL = ROOT / "scripts/install.py"
MAINTAINER = "telemetrics <telemetrics@localhost>"
HUB_MODULES = "/usr/lib/telemhub"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")

DEV = re.compile(r"usr/include/.*|usr/lib/.*/libtelemetry\.(so|a)|usr/lib/.*/pkgconfig/.*|usr/share/man/man3/.*")
HUB = re.compile(
    r"usr/bin/telemhub|usr/lib/.*/telemhub(/.*)?|usr/lib/systemd/system/telemhub\..*|usr/share/man/man8/telemhub\..*"
)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What it prints; ends this program where it fails."""
    tools = {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **tools}, check=False)
    if done.returncode:
        sys.exit(f"deb: {' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def stage(to: Path) -> None:
    """The whole installation below `to`; its build is one process's at a time."""
    root = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(root, fcntl.LOCK_EX)
    run(sys.executable, INSTALL, "configure", BUILD, "--prefix", "/usr", "--python", PYTHON)
    run("ninja", "-C", BUILD, "--quiet")
    run(sys.executable, INSTALL, "install", BUILD, "--destdir", to)
    os.close(root)


def files(tree: Path) -> list[Path]:
    """Relative to the tree: files and links."""
    found = (each for each in tree.rglob("*") if each.is_symlink() or not each.is_dir())
    return sorted(each.relative_to(tree) for each in found if "__pycache__" not in each.parts)


def move(stage_root: Path, names: list[Path], package_root: Path) -> None:
    """With the directories they lie in."""
    for name in names:
        target = package_root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (stage_root / name).rename(target)


def add_hub_modules(package_root: Path) -> None:
    """What the hub needs, in a directory that its launcher looks at first."""
    hubmodules.copy(package_root / HUB_MODULES.lstrip("/"))
    launcher = package_root / "usr/bin/telemhub"
    launcher.write_text(launcher.read_text().replace("sys.path += [", f'sys.path += ["{HUB_MODULES}", ', 1))


def compress_manuals(package_root: Path) -> None:
    """As Debian wants them; -n leaves the time out, so that equal pages make equal packages."""
    for page in sorted(package_root.glob("usr/share/man/man*/*")):
        if page.is_symlink():
            target = os.readlink(page)
            page.unlink()
            page.with_name(f"{page.name}.gz").symlink_to(f"{target}.gz")
        elif page.suffix != ".gz":
            run("gzip", "-9n", page)


def libc_needed(package_root: Path) -> str:
    """The newest version of glibc that a symbol of ours is of."""
    newest = (2, 17)
    for library in package_root.rglob("*"):
        if re.search(r"\.so(\.[\d.]+)?$", library.name) and not library.is_symlink():
            for found in re.findall(r"GLIBC_(\d+)\.(\d+)", run("objdump", "-T", library)):
                newest = max(newest, (int(found[0]), int(found[1])))
    return f"libc6 (>= {newest[0]}.{newest[1]})"


def python_needed(package_root: Path) -> str:
    """The release that the extension modules are for; no other one loads them."""
    [tag] = {each.name.split(".")[1] for each in package_root.rglob("*.cpython-*.so")}
    digits = tag.removeprefix("cpython-").partition("-")[0]
    major, minor = digits[0], int(digits[1:])
    return f"python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1})"


def control(name: str, version: str, package_root: Path) -> str:
    """The package's control file."""
    text = (HERE / f"{name}.control").read_text()
    text = text.replace("${version}", version)
    if "${libc}" in text:
        text = text.replace("${libc}", libc_needed(package_root)).replace("${python}", python_needed(package_root))
    architecture = run("dpkg", "--print-architecture").strip()
    size_kib = sum(each.lstat().st_size for each in package_root.rglob("*") if each.is_file()) // 1024 + 1
    head, _, rest = text.partition("\n")
    more = f"Version: {version}\nArchitecture: {architecture}\nMaintainer: {MAINTAINER}\nPriority: optional\n"
    return f"{head}\n{more}Installed-Size: {size_kib}\n{rest}"


def pack(name: str, version: str, package_root: Path, out: Path) -> Path:
    """The .deb of a package whose files are in place."""
    documents = package_root / "usr/share/doc" / name
    documents.mkdir(parents=True)
    shutil.copyfile(ROOT / "LICENSE", documents / "copyright")
    compress_manuals(package_root)
    sums = [
        f"{hashlib.md5((package_root / each).read_bytes(), usedforsecurity=False).hexdigest()}  {each}\n"
        for each in files(package_root)
        if not (package_root / each).is_symlink()
    ]
    text = control(name, version, package_root)
    meta = package_root / "DEBIAN"
    meta.mkdir()
    (meta / "control").write_text(text)
    (meta / "md5sums").write_text("".join(sums))
    if any(re.search(r"\.so\.\d+$", each.name) for each in package_root.rglob("usr/lib/*/*")):
        (meta / "triggers").write_text("activate-noawait ldconfig\n")
    for script in SCRIPTS:
        source = HERE / f"{name}.{script}"
        if source.exists():
            shutil.copyfile(source, meta / script)
            (meta / script).chmod(0o755)
    for library in package_root.rglob("*.so*"):
        if not library.is_symlink() and library.is_file():
            library.chmod(0o644)
    for directory in [package_root, *(each for each in package_root.rglob("*") if each.is_dir())]:
        directory.chmod(0o755)
    target = out / f"{name}_{version}_{run('dpkg', '--print-architecture').strip()}.deb"
    run("dpkg-deb", "--root-owner-group", "--build", "-Zxz", package_root, target)
    return target


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--version", help="default: the project's")
    arguments = parser.parse_args()
    os.umask(0o022)
    os.environ.setdefault("SOURCE_DATE_EPOCH", str(int(time.time())))
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="telemetrics-deb-") as folder:
        whole = Path(folder) / "whole"
        stage(whole)
        version = arguments.version or str(json.loads(run("meson", "introspect", "--projectinfo", BUILD))["version"])
        everything = files(whole)
        dev = [each for each in everything if DEV.fullmatch(str(each))]
        hub = [each for each in everything if HUB.fullmatch(str(each))]
        client = [each for each in everything if each not in set(dev) | set(hub)]
        for name, names in (("telemetrics", client), ("telemetrics-dev", dev), ("telemhub", hub)):
            package_root = Path(folder) / name
            move(whole, names, package_root)
            if name == "telemhub":
                add_hub_modules(package_root)
            print(pack(name, version, package_root, arguments.out))


if __name__ == "__main__":
    main()
