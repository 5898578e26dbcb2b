#compdef metricprobe
# SPDX-License-Identifier: Apache-2.0
# Made by `make texts` from the options of metricprobe; completes it.
_arguments \
    '(-f --config-file)'{-f,--config-file}'[use this configuration file, not the system'\''s]:file:_files' \
    '(-o --once)'{-o,--once}'[print what the machine is doing now, and send nothing]' \
    '(-j --json)'{-j,--json}'[print the same, or what --check finds, as JSON]' \
    '(-c --collector)'{-c,--collector}'[only these collectors, or with - before them all others]:collectors:_values -s , collector battery connections containers cpu diskio emmc filesystem gpu http inventory memory network own pi pressure probe processes raid self sensors services smart statsd system wifi' \
    '(-L --listen)'{-L,--listen}'[give the last samples as Prometheus text at unix\:/PATH or 127.0.0.1\:PORT]:address:(unix\:/ 127.0.0.1\:)' \
    '(-l --list)'{-l,--list}'[print which collectors there are here; of the others, why not and what to do]' \
    '(-C --check)'{-C,--check}'[print what is wrong with what the configuration says of metrics]' \
    '(-b --benchmark)'{-b,--benchmark}'[print how many microseconds a sample of each collector takes]' \
    '(-h --help)'{-h,--help}'[show this help]' \
    '(-V --version)'{-V,--version}'[print the version]'
