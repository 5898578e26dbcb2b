# SPDX-License-Identifier: Apache-2.0
"""`make install` with DESTDIR puts every part where a system expects it, C programs can be built against it, programs
start, and `make uninstall` leaves nothing. Works on a build directory of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASE_PYTHON = Path(sys.base_exec_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
PROGRAMS = ("hprobe", "telem-record-gen", "telemctl", "telemd", "telemd-courier", "telemhub")

USER = """
#include <stdio.h>
#include <telemetry.h>
int main(void)
{
        struct telem_ref *record = NULL;
        char classification[] = "org.example/test/install";
        int r = tm_create_record(&record, 1, classification, 1);
        printf("%d %s\\n", r, tm_reason_name(TM_REASON_NO_SPACE));
        tm_free_record(record);
        return 0;
}
"""


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **(environment or {})}
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


class Stage:
    """An installation below a folder, as a packager makes it."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.prefix = prefix
        self.build = folder / "build"
        self.destdir = folder / "stage"
        self.root = self.destdir / prefix.lstrip("/")
        script = ROOT / "scripts/install.py"
        run(sys.executable, script, "configure", self.build, "--prefix", prefix, "--python", BASE_PYTHON)
        run("ninja", "-C", self.build, "--quiet")
        self.install = (sys.executable, script, "install", self.build, "--destdir", self.destdir)
        self.uninstall = (sys.executable, script, "uninstall", self.build)
        run(*self.install)

    def one(self, pattern: str) -> Path:
        [path] = self.root.glob(pattern)
        return path


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("install"), "/usr")


def test_every_part_is_in_its_place(stage: Stage) -> None:
    for program in PROGRAMS:
        assert os.access(stage.root / "bin" / program, os.X_OK), program
    assert (stage.root / "include/telemetry.h").is_file()
    assert (stage.root / "share/defaults/telemetrics/telemetrics.conf").is_file()
    for package in ("libtelemetry", "telemd", "telemetry_probes", "telemhub"):
        assert stage.one(f"lib/python3*/*-packages/{package}/__init__.py").is_file()
    assert not list(stage.destdir.rglob("*.c"))


def test_soname_and_links(stage: Stage) -> None:
    library = stage.one("lib/**/libtelemetry.so.4")
    assert "soname: [libtelemetry.so.4]" in run("readelf", "-d", library)
    assert library.is_symlink()
    assert not Path(os.readlink(library)).is_absolute()
    assert stage.one("lib/**/libtelemetry.so").resolve() == library.resolve()


def test_launcher_is_isolated_and_names_the_package_directory(stage: Stage) -> None:
    lines = (stage.root / "bin/hprobe").read_text().splitlines()
    assert lines[0].startswith("#!/")
    assert lines[0].endswith(" -IS")
    [path] = [line for line in lines if line.startswith("sys.path")]
    packages = stage.one("lib/python3*/*-packages/telemd").parent
    assert f'["/{packages.relative_to(stage.destdir)}"' in path
    assert str(ROOT) not in path


def test_c_program_builds_and_runs_through_pkg_config(stage: Stage, tmp_path: Path) -> None:
    library_folder = stage.one("lib/**/libtelemetry.so.4").parent
    environment = {
        "PKG_CONFIG_LIBDIR": str(library_folder / "pkgconfig"),
        "PKG_CONFIG_SYSROOT_DIR": str(stage.destdir),
        "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1",
        "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1",
    }
    run("pkg-config", "--atleast-version=2.4", "libtelemetry", environment=environment)
    flags = run("pkg-config", "--cflags", "--libs", "libtelemetry", environment=environment).split()
    assert any(str(stage.destdir) in flag for flag in flags), flags
    source = tmp_path / "user.c"
    source.write_text(USER)
    run("cc", "-Wall", "-Werror", source, *flags, "-o", tmp_path / "user")
    assert run(tmp_path / "user", environment={"LD_LIBRARY_PATH": str(library_folder)}) == "0 no-space\n"


def test_a_file_that_is_gone_goes_and_uninstall_leaves_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "/opt/telemetrics")
    stale = stage.one("lib/python3*/*-packages/telemd") / "stale.py"
    stale.write_text("x = 1\n")
    with (stage.build / "installed.txt").open("a") as listed:
        listed.write(f"{stale}\n")  # as if the tree had had it at the last installation
    run(*stage.install)
    assert not stale.exists()
    assert (stage.root / "bin/hprobe").exists()
    run(*stage.uninstall)
    assert [path for path in stage.destdir.rglob("*") if not path.is_dir()] == []
