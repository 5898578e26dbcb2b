# SPDX-License-Identifier: Apache-2.0
"""What shells complete behind `telemctl`, from the verbs and their own options: `make texts` writes etc/completion.

It prints; telemctl doesn't import it, and a shell asks nobody while it completes.
"""

from __future__ import annotations

import sys

from telemd.ctl import usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Action

    from telemd.ctl.call import Verb

HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Made by `make texts` from telemd/ctl; completes telemctl."


class _Option:
    """names: all its spellings. choices: what its value may be, as far as that is known."""

    __slots__ = ("choices", "help", "names", "takes_value")

    def __init__(self, action: Action) -> None:
        self.names = list(action.option_strings)
        self.takes_value = action.nargs != 0
        self.choices = [str(each) for each in action.choices or ()]
        self.help = (action.help or "").replace("%%", "%")


def _options(verb: Verb) -> list[_Option]:
    from argparse import ArgumentParser

    parser = ArgumentParser(add_help=False)
    verb.options(parser)
    parser.add_argument("-h", "--help", action="store_true", help="what it takes")
    return [_Option(action) for action in parser._actions if action.option_strings]


def _groups(verbs: list[Verb]) -> dict[str, list[Verb]]:
    found: dict[str, list[Verb]] = {}
    for verb in verbs:
        first, _, second = verb.VERB.partition(" ")
        if second:
            found.setdefault(first, []).append(verb)
    return found


def _first_words(verbs: list[Verb]) -> dict[str, str]:
    """With what each is for."""
    groups = _groups(verbs)
    found = {word: usage.GROUPS[word] for word in groups}
    found |= {verb.VERB: verb.SUMMARY for verb in verbs if " " not in verb.VERB}
    found["help"] = "what a command does and takes"
    return dict(sorted(found.items()))


def bash() -> str:
    """For /usr/share/bash-completion/completions."""
    verbs = usage.verbs()
    groups = _groups(verbs)
    cases = [f"        '') words='{' '.join(_first_words(verbs))} -f --config-file -h --help -V --version' ;;"]
    cases += [
        f"        {word}) words='{' '.join(each.VERB.split()[1] for each in groups[word])}' ;;" for word in groups
    ]
    cases.append(f"        help) words='{' '.join(word for word in _first_words(verbs) if word != 'help')}' ;;")
    values = []
    for verb in verbs:
        options = _options(verb)
        cases.append(f"        '{verb.VERB}') words='{' '.join(name for each in options for name in each.names)}' ;;")
        for each in options:
            if each.takes_value:
                patterns = "|".join(f"'{verb.VERB} {name}'" for name in each.names)
                words = f"words='{' '.join(each.choices)}'" if each.choices else "return"
                values.append(f"        {patterns}) {words} ;;")
    return f"""\
{HEAD}
_telemctl() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} verb= word words= i
    COMPREPLY=()
    case $prev in
        -f | --config-file)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return
            ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        case $word in
            -f | --config-file) ((i++)) ;;
            -*) ;;
            *)
                case $verb in
                    '') verb=$word ;;
                    {" | ".join(groups)}) verb="$verb $word" ;;
                esac
                ;;
        esac
    done
    case $verb in
{chr(10).join(cases)}
    esac
    case "$verb $prev" in
{chr(10).join(values)}
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}}
complete -F _telemctl telemctl
"""


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''")


def zsh() -> str:
    """For /usr/share/zsh/vendor-completions."""
    verbs = usage.verbs()
    groups = _groups(verbs)

    def described(words: dict[str, str]) -> str:
        return " ".join(f"'{_quoted(word)}:{_quoted(about)}'" for word, about in words.items())

    def arguments(verb: Verb) -> str:
        found = []
        for each in _options(verb):
            about = each.help.replace("[", "(").replace("]", ")").replace(":", " -")
            value = f":value:({' '.join(each.choices)})" if each.takes_value else ""
            found += [f"'{name}[{_quoted(about)}]{value}'" for name in each.names]
        return " ".join(found)

    cases = [f"        {verb.VERB}) _arguments {arguments(verb)} ;;" for verb in verbs if " " not in verb.VERB]
    for word, members in groups.items():
        seconds = described({each.VERB.split()[1]: each.SUMMARY for each in members})
        inner = "\n".join(
            f"                {each.VERB.split()[1]}) _arguments {arguments(each)} ;;" for each in members
        )
        cases.append(f"""\
        {word})
            if ((CURRENT == 2)); then
                commands=({seconds})
                _describe command commands
                return
            fi
            shift words
            ((CURRENT--))
            case $words[1] in
{inner}
            esac
            ;;""")
    return f"""\
#compdef telemctl
{HEAD}
_telemctl() {{
    local -a commands
    local state
    _arguments -C '(-f --config-file)'{{-f,--config-file}}'[use this configuration alone]:file:_files' \\
        '(-)'{{-h,--help}}'[print the commands]' '(-)'{{-V,--version}}'[print the version]' '*::command:->command'
    [[ $state == command ]] || return
    if ((CURRENT == 1)); then
        commands=({described(_first_words(verbs))})
        _describe command commands
        return
    fi
    case $words[1] in
        help)
            commands=({described({word: text for word, text in _first_words(verbs).items() if word != "help"})})
            _describe command commands
            ;;
{chr(10).join(cases)}
    esac
}}
_telemctl "$@"
"""


def fish() -> str:
    """For /usr/share/fish/vendor_completions.d."""
    verbs = usage.verbs()
    groups = _groups(verbs)
    firsts = _first_words(verbs)
    none_yet = f"not __fish_seen_subcommand_from {' '.join(firsts)}"
    lines = [
        HEAD,
        "complete -c telemctl -f",
        "complete -c telemctl -s f -l config-file -r -F -d 'use this configuration alone'",
        f"complete -c telemctl -n '{none_yet}' -s h -l help -d 'print the commands'",
        f"complete -c telemctl -n '{none_yet}' -s V -l version -d 'print the version'",
    ]
    lines += [f"complete -c telemctl -n '{none_yet}' -a {word} -d '{_quoted(text)}'" for word, text in firsts.items()]
    rest = " ".join(word for word in firsts if word != "help")
    lines.append(f"complete -c telemctl -n '__fish_seen_subcommand_from help' -a '{rest}'")
    for word, members in groups.items():
        seconds = " ".join(each.VERB.split()[1] for each in members)
        until = f"__fish_seen_subcommand_from {word}; and not __fish_seen_subcommand_from {seconds}"
        lines += [
            f"complete -c telemctl -n '{until}' -a {each.VERB.split()[1]} -d '{_quoted(each.SUMMARY)}'"
            for each in members
        ]
    for verb in verbs:
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in verb.VERB.split())
        for each in _options(verb):
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in each.names)
            value = f" -x -a '{' '.join(each.choices)}'" if each.takes_value else ""
            lines.append(f"complete -c telemctl -n '{seen}' {names}{value} -d '{_quoted(each.help)}'")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write({"bash": bash, "zsh": zsh, "fish": fish}[sys.argv[1]]())
