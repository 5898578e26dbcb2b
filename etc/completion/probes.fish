# SPDX-License-Identifier: Apache-2.0
# Made by `make texts` from the options of the probes; completes them.
complete -c bootprobe -e
complete -c bootprobe -f
complete -c bootprobe -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c bootprobe -s e -l ended -d 'the machine is going down: leave a mark that says so'
complete -c bootprobe -s n -l no-post -d 'show what would be sent, and send and keep nothing'
complete -c bootprobe -s r -l root -r -F -d 'look at the system below DIR; how long its boot took is not told'
complete -c bootprobe -s h -l help -d 'show this help'
complete -c bootprobe -s V -l version -d 'print the version'
complete -c crashprobe -e
complete -c crashprobe -f
complete -c crashprobe -s c -l core-file -r -F -d 'the core; without it from standard input, which may be a pipe'
complete -c crashprobe -s p -l process-name -x -d 'the process'\''s name, default what the core says'
complete -c crashprobe -s E -l process-path -r -F -d 'its executable, with / or ! between folders, default what the core says'
complete -c crashprobe -s s -l signal -x -d 'the signal, where the core doesn'\''t say'
complete -c crashprobe -s x -l explain -d 'print what would be sent and what is left out, and send nothing'
complete -c crashprobe -s j -l json -d 'print the report'\''s JSON, and send nothing'
complete -c crashprobe -s l -l list -d 'print what crashed here and how often, a JSON object a line, and send nothing'
complete -c crashprobe -s v -l verbose -d 'print the payload, too'
complete -c crashprobe -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c crashprobe -s h -l help -d 'show this help'
complete -c crashprobe -s V -l version -d 'print the version'
complete -c hprobe -e
complete -c hprobe -f
complete -c hprobe -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c hprobe -s H -l heartbeat -d 'send a heartbeat instead of a greeting'
complete -c hprobe -s l -l locale -d 'add the locale (LC_ALL)'
complete -c hprobe -s u -l uptime -d 'add how long the system has been up, in seconds'
complete -c hprobe -s b -l bundles -d 'add the names in /usr/share/clear/bundles'
complete -c hprobe -s h -l help -d 'show this help'
complete -c hprobe -s V -l version -d 'print the version'
complete -c journalprobe -e
complete -c journalprobe -f
complete -c journalprobe -s t -l tail -d 'go on with what is written from now on, until it is ended'
complete -c journalprobe -s D -l directory -r -F -d 'read the journal'\''s files in this directory, not the system'\''s'
complete -c journalprobe -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c journalprobe -s h -l help -d 'show this help'
complete -c journalprobe -s V -l version -d 'print the version'
complete -c klogscanner -e
complete -c klogscanner -f
complete -c klogscanner -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c klogscanner -s k -l kmsg -r -F -d 'read this, not /dev/kmsg: a saved log, or the number of an open descriptor'
complete -c klogscanner -s h -l help -d 'show this help'
complete -c klogscanner -s V -l version -d 'print the version'
complete -c pstoreclean -e
complete -c pstoreclean -f
complete -c pstoreclean -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c pstoreclean -s d -l directory -r -F -d 'free this instead of /sys/fs/pstore'
complete -c pstoreclean -s h -l help -d 'show this help'
complete -c pstoreclean -s V -l version -d 'print the version'
complete -c pstoreprobe -e
complete -c pstoreprobe -f
complete -c pstoreprobe -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c pstoreprobe -s d -l directory -r -F -d 'look here instead of /sys/fs/pstore and where pstoreclean puts files'
complete -c pstoreprobe -s b -l bert -r -F -d 'the firmware'\''s record of errors, instead of /sys/firmware/acpi/tables/data/BERT'
complete -c pstoreprobe -s k -l keep -d 'leave the files where they are'
complete -c pstoreprobe -s h -l help -d 'show this help'
complete -c pstoreprobe -s V -l version -d 'print the version'
complete -c telem-record-gen -e
complete -c telem-record-gen -f
complete -c telem-record-gen -s c -l class -x -d 'classification: domain/probe/kind (required)'
complete -c telem-record-gen -s s -l severity -x -d 'severity: 1 (low) to 4 (critical), default 1'
complete -c telem-record-gen -s p -l payload -x -d 'payload: at most 65536 bytes'
complete -c telem-record-gen -s P -l payload-file -r -F -d 'payload from FILE; without -P and -p, from stdin'
complete -c telem-record-gen -s R -l record-version -x -d 'version of the payload'\''s format, default 1'
complete -c telem-record-gen -s e -l event-id -x -d 'event id: 32 characters of 0-9a-f, default random'
complete -c telem-record-gen -s o -l echo -d 'print the record'
complete -c telem-record-gen -s n -l no-post -d 'don'\''t send it'
complete -c telem-record-gen -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c telem-record-gen -s h -l help -d 'show this help'
complete -c telem-record-gen -s V -l version -d 'print the version'
