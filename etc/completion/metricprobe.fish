# SPDX-License-Identifier: Apache-2.0
# Made by `make texts` from the options of metricprobe; completes it.
complete -c metricprobe -f
complete -c metricprobe -s f -l config-file -r -F -d 'use this configuration file, not the system'\''s'
complete -c metricprobe -s o -l once -d 'print what the machine is doing now, and send nothing'
complete -c metricprobe -s j -l json -d 'print the same, or what --check finds, as JSON'
complete -c metricprobe -s c -l collector -x -a '(__fish_complete_list , "string split \" \" \"battery connections containers cpu diskio emmc filesystem gpu http inventory memory network own pi pressure probe processes raid self sensors services smart statsd system wifi\"")' -d 'only these collectors, or with - before them all others'
complete -c metricprobe -s L -l listen -x -a 'unix:/ 127.0.0.1:' -d 'give the last samples as Prometheus text at unix:/PATH or 127.0.0.1:PORT'
complete -c metricprobe -s l -l list -d 'print which collectors there are here; of the others, why not and what to do'
complete -c metricprobe -s C -l check -d 'print what is wrong with what the configuration says of metrics'
complete -c metricprobe -s b -l benchmark -d 'print how many microseconds a sample of each collector takes'
complete -c metricprobe -s h -l help -d 'show this help'
complete -c metricprobe -s V -l version -d 'print the version'
