# SPDX-License-Identifier: Apache-2.0
# Made by `make texts` from the options of the probes; completes them.
_telemetry_probes() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} files folders others words
    COMPREPLY=()
    case ${COMP_WORDS[0]##*/} in
        bootprobe)
            files=' -f --config-file ' folders=' -r --root '
            others=' '
            words='-f --config-file -e --ended -n --no-post -r --root -h --help -V --version'
            ;;
        crashprobe)
            files=' -c --core-file -E --process-path -f --config-file ' folders=' '
            others=' -p --process-name -s --signal '
            words='-c --core-file -p --process-name -E --process-path -s --signal -x --explain -j --json -l --list -v --verbose -f --config-file -h --help -V --version'
            ;;
        hprobe)
            files=' -f --config-file ' folders=' '
            others=' '
            words='-f --config-file -H --heartbeat -l --locale -u --uptime -b --bundles -h --help -V --version'
            ;;
        journalprobe)
            files=' -f --config-file ' folders=' -D --directory '
            others=' '
            words='-t --tail -D --directory -f --config-file -h --help -V --version'
            ;;
        klogscanner)
            files=' -f --config-file -k --kmsg ' folders=' '
            others=' '
            words='-f --config-file -k --kmsg -h --help -V --version'
            ;;
        pstoreclean)
            files=' -f --config-file ' folders=' -d --directory '
            others=' '
            words='-f --config-file -d --directory -h --help -V --version'
            ;;
        pstoreprobe)
            files=' -f --config-file -b --bert ' folders=' -d --directory '
            others=' '
            words='-f --config-file -d --directory -b --bert -k --keep -h --help -V --version'
            ;;
        telem-record-gen)
            files=' -P --payload-file -f --config-file ' folders=' '
            others=' -c --class -s --severity -p --payload -R --record-version -e --event-id '
            words='-c --class -s --severity -p --payload -P --payload-file -R --record-version -e --event-id -o --echo -n --no-post -f --config-file -h --help -V --version'
            ;;
    esac
    case " $files|$folders|$others " in
        *" $prev "*"|"*"|"*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        *"|"*" $prev "*"|"*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
        *"|"*"|"*" $prev "*) ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
    esac
}
complete -F _telemetry_probes bootprobe crashprobe hprobe journalprobe klogscanner pstoreclean pstoreprobe telem-record-gen
