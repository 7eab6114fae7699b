#!/bin/sh
# Grows the fuzz corpora: every target (or those named) for FUZZ_SECONDS, one after the other. Finds go to
# tests/fuzz/artifacts and end the run with 1; `keep` first takes what added coverage into tests/corpus/fuzz.
set -eu
cd "$(dirname "$0")/.."

FUZZ_SECONDS=${FUZZ_SECONDS:-60}
# cargo-fuzz wants flags that only a nightly compiler takes, or one told to behave like it. One toolchain is enough.
export RUSTC_BOOTSTRAP=1
FUZZ="cargo fuzz"
DIR=tests/fuzz

if ! $FUZZ --version >/dev/null 2>&1; then
    echo "fuzz: cargo-fuzz is missing; installing it" >&2
    cargo install cargo-fuzz --version 0.13.2 --locked || { echo "fuzz: cargo-fuzz cannot be installed" >&2; exit 1; }
fi
command -v c++ >/dev/null || { echo "fuzz: no C++ compiler; apt-get install g++" >&2; exit 1; }

keep=no
if [ "${1:-}" = keep ]; then keep=yes; shift; fi
targets=${*:-$($FUZZ list --fuzz-dir $DIR)}
$FUZZ build --fuzz-dir $DIR || { echo "fuzz: the targets cannot be built" >&2; exit 1; }

failed=""
for target in $targets; do
    grown=$DIR/corpus/$target
    kept=tests/corpus/fuzz/$target
    mkdir -p "$grown" "$kept"
    seeds=$kept
    if [ "$target" = message ]; then seeds="$kept tests/corpus/torture"; fi
    if [ $keep = yes ]; then
        # Only what reaches something new, and only the small ones: a corpus is read by every `make test`.
        # shellcheck disable=SC2086
        $FUZZ run --fuzz-dir $DIR "$target" "$kept" $seeds "$grown" -- -merge=1 -max_len=4096 -timeout=10 2>&1 | tail -1
        continue
    fi
    echo "fuzz: $target for $FUZZ_SECONDS s"
    # shellcheck disable=SC2086
    $FUZZ run --fuzz-dir $DIR "$target" "$grown" $seeds -- \
        -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 \
        || failed="$failed $target"
done
if [ -n "$failed" ]; then
    echo "fuzz: broken:$failed (see $DIR/artifacts)" >&2
    exit 1
fi
