# SPDX-License-Identifier: Apache-2.0
"""What shells complete behind telemctl and the probes: made from what they take, and understood by the shells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from telemetry_probes import completiontext

ROOT = Path(__file__).parents[2]
SHARE = Path(sys.prefix) / "share"
FOLDER = ROOT / "etc/completion"

ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); asked=$(complete -p "${1##*/}"); asked=${asked#*-F }; ${asked%% *}
printf '%s\\n' "${COMPREPLY[@]}"
"""

LINES = {
    ("sp",): {"spool"},
    ("config", ""): {"check", "show"},
    ("spool", "list", "--lane", ""): {"vital", "event", "metric"},
    ("help", "sto"): {"stop"},
    ("why", "--js"): {"--json"},
}

METRICPROBE_LINES = {
    ("--on",): {"--once"},
    ("--collector", "mem"): {"memory"},
    ("-c", "cpu,mem"): {"cpu,memory"},
    ("-c", "-mem"): {"-memory"},
    ("--listen", "u"): {"unix:/"},
}
PROBES_LINES = {
    ("telem-record-gen", "--ec"): {"--echo"},
    ("telem-record-gen", "-c", ""): set(),
    ("/usr/bin/journalprobe", "--ta"): {"--tail"},
    ("bootprobe", "--ec"): set(),
    ("bootprobe", "-r", "/us"): {"/usr"},
    ("pstoreprobe", "-f", "/etc/passw"): {"/etc/passwd"},
    ("pstoreprobe", "-d", "/etc/passw"): set(),
}
MADE_BY = {
    "telemctl": "telemd.ctl.completiontext",
    "metricprobe": "telemetry_probes.metrics.completiontext",
    "probes": "telemetry_probes.completiontext",
}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", MADE_BY)
def test_what_is_kept_is_what_the_program_says(program: str, shell: str) -> None:
    made = run(sys.executable, "-I", "-m", MADE_BY[program], shell)
    assert (FOLDER / f"{program}.{shell}").read_text() == made, "make texts"
    run(shell, "-n", FOLDER / f"{program}.{shell}")


@pytest.mark.parametrize("words", LINES)
def test_bash(words: tuple[str, ...]) -> None:
    said = run("bash", "-c", ASK_BASH, "bash", FOLDER / "telemctl.bash", "telemctl", *words)
    assert set(said.split()) == LINES[words]


@pytest.mark.parametrize("words", LINES)
def test_bash_behind_an_option(words: tuple[str, ...]) -> None:
    said = run("bash", "-c", ASK_BASH, "bash", FOLDER / "telemctl.bash", "telemctl", "-f", "/a b", *words)
    assert set(said.split()) == LINES[words]


@pytest.mark.parametrize("words", LINES)
def test_fish(words: tuple[str, ...]) -> None:
    line = " ".join(("telemctl", *words))
    said = run("fish", "--no-config", "-c", f"source {FOLDER}/telemctl.fish; complete -C '{line}'")
    assert {each.partition("\t")[0] for each in said.splitlines()} == LINES[words]


@pytest.mark.parametrize("words", METRICPROBE_LINES)
def test_bash_behind_metricprobe(words: tuple[str, ...]) -> None:
    said = run("bash", "-c", ASK_BASH, "bash", FOLDER / "metricprobe.bash", "metricprobe", *words)
    assert set(said.split()) == METRICPROBE_LINES[words]


def test_fish_behind_metricprobe() -> None:
    line = "metricprobe --collector cpu,mem"
    said = run("fish", "--no-config", "-c", f"source {FOLDER}/metricprobe.fish; complete -C '{line}'")
    assert {each.partition("\t")[0] for each in said.splitlines()} == {"cpu,memory"}


@pytest.mark.parametrize("words", PROBES_LINES)
def test_bash_behind_a_probe(words: tuple[str, ...]) -> None:
    said = run("bash", "-c", ASK_BASH, "bash", FOLDER / "probes.bash", *words)
    # A file may lie beside another whose name is longer.
    assert {each for each in said.split() if not each.endswith("-")} == PROBES_LINES[words]


def test_fish_behind_a_probe() -> None:
    said = run("fish", "--no-config", "-c", f"source {FOLDER}/probes.fish; complete -C 'telem-record-gen --sev'")
    assert {each.partition("\t")[0] for each in said.splitlines()} == {"--severity"}


def test_every_program_is_completed() -> None:
    """But for daemons, which nobody types."""
    typed = {path.name.partition(".")[0] for path in (ROOT / "docs/man").glob("*.1")}
    completed = {program.name for program in completiontext.programs()}
    assert completed == typed - {"telemctl", "metricprobe"}
    for shell, name in (("bash-completion/completions", "{}"), ("zsh/vendor-completions", "_{}")):
        assert all((SHARE / shell / name.format(each)).is_file() for each in typed)
    assert all((SHARE / "fish/vendor_completions.d" / f"{each}.fish").is_file() for each in typed)
