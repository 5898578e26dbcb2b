#compdef bootprobe crashprobe hprobe journalprobe klogscanner pstoreclean pstoreprobe telem-record-gen
# SPDX-License-Identifier: Apache-2.0
# Made by `make texts` from the options of the probes; completes them.
case $service in
    bootprobe)
        _arguments \
            '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
            '(-e --ended)'{-e,--ended}'[the machine is going down\: leave a mark that says so]' \
            '(-n --no-post)'{-n,--no-post}'[show what would be sent, and send and keep nothing]' \
            '(-r --root)'{-r,--root}'[look at the system below DIR; how long its boot took is not told]:dir:_files -/' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '(-V --version)'{-V,--version}'[print the version]'
        ;;
    crashprobe)
        _arguments \
            '(-c --core-file)'{-c,--core-file}'[the core; without it from standard input, which may be a pipe]:file:_files' \
            '(-p --process-name)'{-p,--process-name}'[the process'\''s name, default what the core says]:name:' \
            '(-E --process-path)'{-E,--process-path}'[its executable, with / or ! between folders, default what the core says]:path:_files' \
            '(-s --signal)'{-s,--signal}'[the signal, where the core doesn'\''t say]:n:' \
            '(-x --explain)'{-x,--explain}'[print what would be sent and what is left out, and send nothing]' \
            '(-j --json)'{-j,--json}'[print the report'\''s JSON, and send nothing]' \
            '(-l --list)'{-l,--list}'[print what crashed here and how often, a JSON object a line, and send nothing]' \
            '(-v --verbose)'{-v,--verbose}'[print the payload, too]' \
            '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '(-V --version)'{-V,--version}'[print the version]'
        ;;
    hprobe)
        _arguments \
            '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
            '(-H --heartbeat)'{-H,--heartbeat}'[send a heartbeat instead of a greeting]' \
            '(-l --locale)'{-l,--locale}'[add the locale (LC_ALL)]' \
            '(-u --uptime)'{-u,--uptime}'[add how long the system has been up, in seconds]' \
            '(-b --bundles)'{-b,--bundles}'[add the names in /usr/share/clear/bundles]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '(-V --version)'{-V,--version}'[print the version]'
        ;;
    journalprobe)
        _arguments \
            '(-t --tail)'{-t,--tail}'[go on with what is written from now on, until it is ended]' \
            '(-D --directory)'{-D,--directory}'[read the journal'\''s files in this directory, not the system'\''s]:dir:_files -/' \
            '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '(-V --version)'{-V,--version}'[print the version]'
        ;;
    klogscanner)
        _arguments \
            '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
            '(-k --kmsg)'{-k,--kmsg}'[read this, not /dev/kmsg\: a saved log, or the number of an open descriptor]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '(-V --version)'{-V,--version}'[print the version]'
        ;;
    pstoreclean)
        _arguments \
            '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
            '(-d --directory)'{-d,--directory}'[free this instead of /sys/fs/pstore]:dir:_files -/' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '(-V --version)'{-V,--version}'[print the version]'
        ;;
    pstoreprobe)
        _arguments \
            '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
            '(-d --directory)'{-d,--directory}'[look here instead of /sys/fs/pstore and where pstoreclean puts files]:dir:_files -/' \
            '(-b --bert)'{-b,--bert}'[the firmware'\''s record of errors, instead of /sys/firmware/acpi/tables/data/BERT]:file:_files' \
            '(-k --keep)'{-k,--keep}'[leave the files where they are]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '(-V --version)'{-V,--version}'[print the version]'
        ;;
    telem-record-gen)
        _arguments \
            '(-c --class)'{-c,--class}'[classification\: domain/probe/kind (required)]:class:' \
            '(-s --severity)'{-s,--severity}'[severity\: 1 (low) to 4 (critical), default 1]:n:' \
            '(-p --payload)'{-p,--payload}'[payload\: at most 65536 bytes]:text:' \
            '(-P --payload-file)'{-P,--payload-file}'[payload from FILE; without -P and -p, from stdin]:file:_files' \
            '(-R --record-version)'{-R,--record-version}'[version of the payload'\''s format, default 1]:n:' \
            '(-e --event-id)'{-e,--event-id}'[event id\: 32 characters of 0-9a-f, default random]:id:' \
            '(-o --echo)'{-o,--echo}'[print the record]' \
            '(-n --no-post)'{-n,--no-post}'[don'\''t send it]' \
            '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '(-V --version)'{-V,--version}'[print the version]'
        ;;
esac
