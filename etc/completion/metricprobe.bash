# SPDX-License-Identifier: Apache-2.0
# Made by `make texts` from the options of metricprobe; completes it.
_metricprobe() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} before=
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
                *,*) before=${cur%,*}, ;;
                -*) before=- ;;
            esac
            mapfile -t COMPREPLY < <(compgen -P "$before" -W 'battery connections containers cpu diskio emmc filesystem gpu http inventory memory network own pi pressure probe processes raid self sensors services smart statsd system wifi' -- "${cur#"$before"}")
            return
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W '-f --config-file -o --once -j --json -c --collector -L --listen -l --list -C --check -b --benchmark -h --help -V --version' -- "$cur")
}
complete -F _metricprobe metricprobe
