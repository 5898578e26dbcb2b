# SPDX-License-Identifier: Apache-2.0
"""What shells complete behind telemctl and metricprobe: made from what they take, and understood by the shells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "etc/completion"

ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _$1
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
MADE_BY = {"telemctl": "telemd.ctl.completiontext", "metricprobe": "telemetry_probes.metrics.completiontext"}


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
