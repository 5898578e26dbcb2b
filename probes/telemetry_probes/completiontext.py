# SPDX-License-Identifier: Apache-2.0
"""What shells complete behind the probes, from their options: `make texts` writes etc/completion/probes.*, which is
installed under the name of each. metricprobe has one of its own, in metrics.

It prints; no probe imports it, and a shell asks nobody while it completes.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.options import Option
    from telemetry_probes.program import Program

MODULES = (
    "bootprobe", "crashprobe", "hprobe", "journalprobe", "klogscanner", "pstoreclean", "pstoreprobe", "recordgen",
)  # fmt: skip
HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Made by `make texts` from the options of the probes; completes them."
FILES, FOLDERS = ("FILE", "PATH"), ("DIR",)
"""Values that are named so are files, or folders; any other can't be guessed."""


def programs() -> list[Program]:
    """Sorted by name."""
    found = []
    for module in MODULES:
        name = f"telemetry_probes.{module}"
        __import__(name)
        found.append(sys.modules[name].PROGRAM)
    return sorted(found, key=lambda program: program.name)


def bash() -> str:
    """For /usr/share/bash-completion/completions."""
    cases = "".join(
        f"        {program.name})\n"
        f"            files='{_listed(program, FILES)}' folders='{_listed(program, FOLDERS)}'\n"
        f"            others='{_listed(program, None)}'\n"
        f"            words='{' '.join(f'-{option.letter} --{option.name}' for option in program.options)}'\n"
        "            ;;\n"
        for program in programs()
    )
    return f"""\
{HEAD}
_telemetry_probes() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} files folders others words
    COMPREPLY=()
    case ${{COMP_WORDS[0]##*/}} in
{cases}    esac
    case " $files|$folders|$others " in
        *" $prev "*"|"*"|"*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        *"|"*" $prev "*"|"*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
        *"|"*"|"*" $prev "*) ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
    esac
}}
complete -F _telemetry_probes {_names()}
"""


def zsh() -> str:
    """For /usr/share/zsh/vendor-completions."""
    cases = []
    for program in programs():
        lines = [
            f"        '(-{option.letter} --{option.name})'{{-{option.letter},--{option.name}}}"
            f"'[{in_brackets(option.text)}]{_zsh_value(option)}'"
            for option in program.options
        ]
        cases.append(f"    {program.name})\n        _arguments \\\n    " + " \\\n    ".join(lines) + "\n        ;;\n")
    return f"#compdef {_names()}\n{HEAD}\ncase $service in\n{''.join(cases)}esac\n"


def fish() -> str:
    """For /usr/share/fish/vendor_completions.d; whichever name it is read under, it defines all of them anew."""
    lines = [HEAD]
    for program in programs():
        lines += [f"complete -c {program.name} -e", f"complete -c {program.name} -f"]
        for option in program.options:
            value = " -r -F" if option.value in (*FILES, *FOLDERS) else " -x" if option.value else ""
            lines.append(
                f"complete -c {program.name} -s {option.letter} -l {option.name}{value} -d '{quoted(option.text)}'"
            )
    return "\n".join(lines) + "\n"


def _names() -> str:
    return " ".join(program.name for program in programs())


def _listed(program: Program, values: tuple[str, ...] | None) -> str:
    """Its options with such a value, None: another; a blank around each."""
    known = (*FILES, *FOLDERS)
    options = [
        option
        for option in program.options
        if option.value and (option.value not in known if values is None else option.value in values)
    ]
    return "".join(f" -{option.letter} --{option.name}" for option in options) + " "


def _zsh_value(option: Option) -> str:
    if not option.value:
        return ""
    action = "_files" if option.value in FILES else "_files -/" if option.value in FOLDERS else ""
    return f":{option.value.lower()}:{action}"


def quoted(text: str) -> str:
    """Within single quotes, for any of the shells."""
    return text.replace("\\", "\\\\").replace("'", "'\\''")


def in_brackets(text: str) -> str:
    """As what zsh shows beside an option."""
    return quoted(text).replace("[", "(").replace("]", ")").replace(":", "\\:")


if __name__ == "__main__":
    sys.stdout.write({"bash": bash, "zsh": zsh, "fish": fish}[sys.argv[1]]())
