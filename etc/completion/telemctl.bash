# SPDX-License-Identifier: Apache-2.0
# Made by `make texts` from telemd/ctl; completes telemctl.
_telemctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb= word words= i
    COMPREPLY=()
    case $prev in
        -f | --config-file)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return
            ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            -f | --config-file) ((i++)) ;;
            -*) ;;
            *)
                case $verb in
                    '') verb=$word ;;
                    config | crash | id | spool) verb="$verb $word" ;;
                esac
                ;;
        esac
    done
    case $verb in
        '') words='config crash help id is-active journal limits opt-in opt-out restart selftest send-now spool start status stop tail top why -f --config-file -h --help -V --version' ;;
        config) words='check show' ;;
        crash) words='disable enable list show status test' ;;
        id) words='rotate show' ;;
        spool) words='list purge show' ;;
        help) words='config crash id is-active journal limits opt-in opt-out restart selftest send-now spool start status stop tail top why' ;;
        'config check') words='--settings --json -h --help' ;;
        'config show') words='--json -h --help' ;;
        'crash disable') words='--json -h --help' ;;
        'crash enable') words='--chain --program --json -h --help' ;;
        'crash list') words='--json -h --help' ;;
        'crash show') words='--json -h --help' ;;
        'crash status') words='--json -h --help' ;;
        'crash test') words='--wait --json -h --help' ;;
        'id rotate') words='--json -h --help' ;;
        'id show') words='--past --json -h --help' ;;
        'is-active') words='--json -h --help' ;;
        'journal') words='-r --record_id --record-id -e --event_id --event-id -c --classification -b --boot_id --boot-id -i --include_record --include-record -V --verbose --json -h --help' ;;
        'limits') words='--json -h --help' ;;
        'opt-in') words='--json -h --help' ;;
        'opt-out') words='--json -h --help' ;;
        'restart') words='--json -h --help' ;;
        'selftest') words='--wait --json -h --help' ;;
        'send-now') words='--wait --json -h --help' ;;
        'spool list') words='--lane --limit --json -h --help' ;;
        'spool purge') words='--class --lane --all --yes --json -h --help' ;;
        'spool show') words='--payload --json -h --help' ;;
        'start') words='--json -h --help' ;;
        'status') words='--json -h --help' ;;
        'stop') words='--json -h --help' ;;
        'tail') words='-c --class -n --limit --payload --json -h --help' ;;
        'top') words='-i --interval --once --json -h --help' ;;
        'why') words='--json -h --help' ;;
    esac
    case "$verb $prev" in
        'crash enable --program') return ;;
        'crash test --wait') return ;;
        'id show --past') return ;;
        'journal -r'|'journal --record_id'|'journal --record-id') return ;;
        'journal -e'|'journal --event_id'|'journal --event-id') return ;;
        'journal -c'|'journal --classification') return ;;
        'journal -b'|'journal --boot_id'|'journal --boot-id') return ;;
        'selftest --wait') return ;;
        'send-now --wait') return ;;
        'spool list --lane') words='vital event metric' ;;
        'spool list --limit') return ;;
        'spool purge --class') return ;;
        'spool purge --lane') words='vital event metric' ;;
        'tail -c'|'tail --class') return ;;
        'tail -n'|'tail --limit') return ;;
        'top -i'|'top --interval') return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _telemctl telemctl
