# SPDX-License-Identifier: Apache-2.0
"""What shells complete behind `metricprobe`, from its options and collectors: `make texts` writes etc/completion.

It prints; metricprobe doesn't import it, and a shell asks nobody while it completes.
"""

from __future__ import annotations

import sys

from telemetry_probes.completiontext import in_brackets, quoted
from telemetry_probes.metricprobe import OPTIONS
from telemetry_probes.metrics import discovery

HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Made by `make texts` from the options of metricprobe; completes it."


def bash() -> str:
    """For /usr/share/bash-completion/completions. Of `cpu,me` the last name is completed."""
    words = " ".join(f"-{option.letter} --{option.name}" for option in OPTIONS)
    return f"""\
{HEAD}
_metricprobe() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} before=
    COMPREPLY=()
    case $prev in
        -f | --config-file)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return
            ;;
        -L | --listen)
            mapfile -t COMPREPLY < <(compgen -W 'unix:/ 127.0.0.1:' -- "$cur")
            return
            ;;
        -c | --collector)
            case $cur in
                *,*) before=${{cur%,*}}, ;;
                -*) before=- ;;
            esac
            mapfile -t COMPREPLY < <(compgen -P "$before" -W '{" ".join(discovery.names())}' -- "${{cur#"$before"}}")
            return
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W '{words}' -- "$cur")
}}
complete -F _metricprobe metricprobe
"""


def zsh() -> str:
    """For /usr/share/zsh/vendor-completions."""
    values = {
        "FILE": ":file:_files",
        "NAME,...": f":collectors:_values -s , collector {' '.join(discovery.names())}",
        "ADDRESS": ":address:(unix\\:/ 127.0.0.1\\:)",
    }
    lines = [
        f"    '(-{option.letter} --{option.name})'{{-{option.letter},--{option.name}}}"
        f"'[{in_brackets(option.text)}]{values.get(option.value, '')}'"
        for option in OPTIONS
    ]
    return f"#compdef metricprobe\n{HEAD}\n_arguments \\\n" + " \\\n".join(lines) + "\n"


def fish() -> str:
    """For /usr/share/fish/vendor_completions.d."""
    names = " ".join(discovery.names())
    values = {
        "FILE": " -r -F",
        "NAME,...": f' -x -a \'(__fish_complete_list , "string split \\" \\" \\"{names}\\"")\'',
        "ADDRESS": " -x -a 'unix:/ 127.0.0.1:'",
    }
    lines = [HEAD, "complete -c metricprobe -f"]
    lines += [
        f"complete -c metricprobe -s {option.letter} -l {option.name}{values.get(option.value, '')}"
        f" -d '{quoted(option.text)}'"
        for option in OPTIONS
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write({"bash": bash, "zsh": zsh, "fish": fish}[sys.argv[1]]())
