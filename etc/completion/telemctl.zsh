#compdef telemctl
# SPDX-License-Identifier: Apache-2.0
# Made by `make texts` from telemd/ctl; completes telemctl.
_telemctl() {
    local -a commands
    local state
    _arguments -C '(-f --config-file)'{-f,--config-file}'[use this configuration alone]:file:_files' \
        '(-)'{-h,--help}'[print the commands]' '(-)'{-V,--version}'[print the version]' '*::command:->command'
    [[ $state == command ]] || return
    if ((CURRENT == 1)); then
        commands=('config:the configuration: is it valid, and what holds' 'crash:crashes: who is told, what is seen' 'help:what a command does and takes' 'id:the machine id: another one, or which it is' 'is-active:say active (exit code 0) or inactive (3)' 'journal:list the records accepted last' 'limits:show how full each window of the rate limits is' 'opt-in:allow records to be taken, kept and sent' 'opt-out:stop telemd and delete all records it has stored' 'restart:stop telemd and start it again' 'selftest:follow a record to the server, each station timed' 'send-now:send what waits now, and tell what came of it' 'spool:what waits for being sent: look at it, drop it' 'start:start telemd' 'status:show how telemd fares, and what to do about it' 'stop:stop telemd; what it has stored stays' 'tail:show records as they pass, until Ctrl-C' 'top:show which classes and users send how much, until q' 'why:tell what became of a record')
        _describe command commands
        return
    fi
    case $words[1] in
        help)
            commands=('config:the configuration: is it valid, and what holds' 'crash:crashes: who is told, what is seen' 'id:the machine id: another one, or which it is' 'is-active:say active (exit code 0) or inactive (3)' 'journal:list the records accepted last' 'limits:show how full each window of the rate limits is' 'opt-in:allow records to be taken, kept and sent' 'opt-out:stop telemd and delete all records it has stored' 'restart:stop telemd and start it again' 'selftest:follow a record to the server, each station timed' 'send-now:send what waits now, and tell what came of it' 'spool:what waits for being sent: look at it, drop it' 'start:start telemd' 'status:show how telemd fares, and what to do about it' 'stop:stop telemd; what it has stored stays' 'tail:show records as they pass, until Ctrl-C' 'top:show which classes and users send how much, until q' 'why:tell what became of a record')
            _describe command commands
            ;;
        is-active) _arguments '--json[one JSON object - active]' '-h[what it takes]' '--help[what it takes]' ;;
        journal) _arguments '-r[the record of this id]:value:()' '--record_id[the record of this id]:value:()' '--record-id[the record of this id]:value:()' '-e[the records of this event]:value:()' '--event_id[the records of this event]:value:()' '--event-id[the records of this event]:value:()' '-c[records of this class; a/* takes all below a/]:value:()' '--classification[records of this class; a/* takes all below a/]:value:()' '-b[records of this boot]:value:()' '--boot_id[records of this boot]:value:()' '--boot-id[records of this boot]:value:()' '-i[and what was kept of each]' '--include_record[and what was kept of each]' '--include-record[and what was kept of each]' '-V[headings and a total]' '--verbose[headings and a total]' '--json[a JSON list of objects]' '-h[what it takes]' '--help[what it takes]' ;;
        limits) _arguments '--json[one JSON object]' '-h[what it takes]' '--help[what it takes]' ;;
        opt-in) _arguments '--json[one JSON object - ok, messages]' '-h[what it takes]' '--help[what it takes]' ;;
        opt-out) _arguments '--json[one JSON object - ok, messages]' '-h[what it takes]' '--help[what it takes]' ;;
        restart) _arguments '--json[one JSON object - ok, messages]' '-h[what it takes]' '--help[what it takes]' ;;
        selftest) _arguments '--wait[follow it for at most so many seconds; 30 if not given]:value:()' '--json[one JSON object - ok, id, class, server, stations]' '-h[what it takes]' '--help[what it takes]' ;;
        send-now) _arguments '--wait[wait at most so many seconds for what comes of it; 40 if not given]:value:()' '--json[one JSON object - waited, delivered, rejected, left, took_s, ok, why]' '-h[what it takes]' '--help[what it takes]' ;;
        start) _arguments '--json[one JSON object - ok, messages]' '-h[what it takes]' '--help[what it takes]' ;;
        status) _arguments '--json[one JSON object]' '-h[what it takes]' '--help[what it takes]' ;;
        stop) _arguments '--json[one JSON object - ok, messages]' '-h[what it takes]' '--help[what it takes]' ;;
        tail) _arguments '-c[of this class; a/* takes all below a/]:value:()' '--class[of this class; a/* takes all below a/]:value:()' '-n[end after so many]:value:()' '--limit[end after so many]:value:()' '--payload[and the first 1,024 bytes of each payload]' '--json[one JSON object a line; a payload is in base64]' '-h[what it takes]' '--help[what it takes]' ;;
        top) _arguments '-i[seconds between two pages, 0.1 to 4; 2 if not given]:value:()' '--interval[seconds between two pages, 0.1 to 4; 2 if not given]:value:()' '--once[one page, of what comes in one interval]' '--json[one JSON object a line instead of a page]' '-h[what it takes]' '--help[what it takes]' ;;
        why) _arguments '--json[one JSON object]' '-h[what it takes]' '--help[what it takes]' ;;
        config)
            if ((CURRENT == 2)); then
                commands=('check:check the configuration' 'show:print every setting in force and where it comes from')
                _describe command commands
                return
            fi
            shift words
            ((CURRENT--))
            case $words[1] in
                check) _arguments '--settings[only (settings), which is all that telemd reads]' '--json[one JSON object - ok, files, mistakes, warnings]' '-h[what it takes]' '--help[what it takes]' ;;
                show) _arguments '--json[one JSON object - key -> value, origin, unit]' '-h[what it takes]' '--help[what it takes]' ;;
            esac
            ;;
        crash)
            if ((CURRENT == 2)); then
                commands=('disable:give core_pattern back as it was' 'enable:have the kernel hand crashes to crashprobe' 'list:list the programs that crashed, and the reports' 'show:show a crash report' 'status:show who is told of crashes' 'test:crash a child, and follow its report to the server')
                _describe command commands
                return
            fi
            shift words
            ((CURRENT--))
            case $words[1] in
                disable) _arguments '--json[one JSON object - ok, messages]' '-h[what it takes]' '--help[what it takes]' ;;
                enable) _arguments '--chain[go before the handler that is there, and hand on to it]' '--program[crashprobe, where it isn'\''t beside telemctl; may be a link]:value:()' '--json[one JSON object - ok, messages]' '-h[what it takes]' '--help[what it takes]' ;;
                list) _arguments '--json[one JSON object - programs, reports]' '-h[what it takes]' '--help[what it takes]' ;;
                show) _arguments '--json[the report'\''s own JSON object]' '-h[what it takes]' '--help[what it takes]' ;;
                status) _arguments '--json[one JSON object]' '-h[what it takes]' '--help[what it takes]' ;;
                test) _arguments '--wait[follow it for at most so many seconds; 30 if not given]:value:()' '--json[one JSON object - ok, id, stations]' '-h[what it takes]' '--help[what it takes]' ;;
            esac
            ;;
        id)
            if ((CURRENT == 2)); then
                commands=('rotate:give this machine another id from now on' 'show:show the machine id, and with --past those before it')
                _describe command commands
                return
            fi
            shift words
            ((CURRENT--))
            case $words[1] in
                rotate) _arguments '--json[one JSON object]' '-h[what it takes]' '--help[what it takes]' ;;
                show) _arguments '--past[and the N ids before it (at most 3999), newest first, for a deletion at a hub]:value:()' '--json[one JSON object]' '-h[what it takes]' '--help[what it takes]' ;;
            esac
            ;;
        spool)
            if ((CURRENT == 2)); then
                commands=('list:list the records that wait for being sent, oldest first' 'purge:drop records that wait for being sent' 'show:show one record that waits for being sent')
                _describe command commands
                return
            fi
            shift words
            ((CURRENT--))
            case $words[1] in
                list) _arguments '--lane[those of this lane alone - vital, event, metric]:value:(vital event metric)' '--limit[the oldest N, at most 1000; 100 if not given]:value:()' '--json[a JSON list of objects]' '-h[what it takes]' '--help[what it takes]' ;;
                purge) _arguments '--class[records of this class; a/* takes all below a/]:value:()' '--lane[the records of this lane - vital, event, metric]:value:(vital event metric)' '--all[everything]' '--yes[do it; without this it only tells how many there are]' '--json[one JSON object]' '-h[what it takes]' '--help[what it takes]' ;;
                show) _arguments '--payload[and its payload]' '--json[one JSON object; the payload is in base64]' '-h[what it takes]' '--help[what it takes]' ;;
            esac
            ;;
    esac
}
_telemctl "$@"
