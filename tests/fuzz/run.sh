#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh SECONDS [merge]: fuzz the wire codec, then say how many of its lines the inputs reach: fails below 95 %.
# With `merge`, tests/fuzz/corpus becomes the smallest set of inputs that reaches what all known ones reach.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:?usage: tests/fuzz/run.sh SECONDS [merge]}
work=build-fuzz
least=95
mkdir -p $work/found $work/crashes
rm -rf $work/seeds
python3 tests/fuzz/seed.py $work/seeds

flags='-std=gnu11 -D_GNU_SOURCE= -g -O1 -Ilibtelemetry/include -Ilibtelemetry/src'
sources='tests/fuzz/fuzz_wire.c libtelemetry/src/wire.c libtelemetry/src/wire4.c libtelemetry/src/wire5.c libtelemetry/src/ndjson.c'
# shellcheck disable=SC2086
clang $flags -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $sources -o $work/fuzz_wire
# shellcheck disable=SC2086
clang $flags -fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping $sources -o $work/cover_wire

echo "fuzz: $seconds s from $(find tests/fuzz/corpus $work/seeds $work/found -type f | wc -l) inputs"
status=0
$work/fuzz_wire -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=1024 -artifact_prefix=$work/crashes/ \
    -print_final_stats=1 -verbosity=0 $work/found tests/fuzz/corpus $work/seeds >$work/log 2>&1 || status=$?
if [ $status -ne 0 ]; then
    tail -n 60 $work/log
    echo "fuzz: FAILED; the input is in $work/crashes, run it again with: $work/fuzz_wire $work/crashes/<file>"
    exit 1
fi
grep -E 'number_of_executed_units|new_units_added' $work/log | sed 's/stat::/fuzz: /'

if [ "${2:-}" = merge ]; then
    rm -rf $work/merged
    mkdir $work/merged
    $work/fuzz_wire -merge=1 -max_len=8192 -verbosity=0 $work/merged tests/fuzz/corpus $work/seeds $work/found >$work/log 2>&1
    rm -rf tests/fuzz/corpus
    mv $work/merged tests/fuzz/corpus
    rm -rf $work/found
    mkdir $work/found
    echo "fuzz: tests/fuzz/corpus has $(find tests/fuzz/corpus -type f | wc -l) inputs now"
fi

# The committed corpus alone has to reach that much: what a run found by luck doesn't count.
tools=$(clang -print-prog-name=llvm-cov)
[ -x "$tools" ] || tools=$(command -v llvm-cov)
LLVM_PROFILE_FILE=$work/profraw $work/cover_wire -runs=0 -max_len=8192 tests/fuzz/corpus >$work/log 2>&1
"$(dirname "$tools")/llvm-profdata" merge -o $work/profdata $work/profraw
"$tools" export -summary-only -instr-profile=$work/profdata $work/cover_wire libtelemetry/src/wire.c libtelemetry/src/wire4.c \
    libtelemetry/src/wire5.c >$work/coverage.json
python3 - $work/coverage.json $least <<'EOF'
import json, sys
count = covered = 0
for found in json.load(open(sys.argv[1]))["data"][0]["files"]:
    lines = found["summary"]["lines"]
    count, covered = count + lines["count"], covered + lines["covered"]
    print(f"fuzz: {found['filename'].rpartition('/')[2]}: {lines['covered']} of {lines['count']} lines")
share = 100 * covered / count
print(f"fuzz: {share:.1f} % of the codec's lines; at least {sys.argv[2]} %")
sys.exit(share < float(sys.argv[2]))
EOF
