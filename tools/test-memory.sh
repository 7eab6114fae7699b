#!/bin/sh
# Undefined behaviour: the rings under Miri, in many orders of their threads' steps, and every unsafe block, which are
# system calls Miri cannot make, under valgrind. Ends with 1 if either finds anything.
set -eu
cd "$(dirname "$0")/.."

TARGET=${1:?a folder to build in}
MIRI_SEEDS=${MIRI_SEEDS:-8}

# Miri needs a nightly compiler; what it says does not depend on which.
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "memory: Miri is missing; installing it" >&2
    rustup toolchain install nightly --profile minimal --component miri,rust-src >/dev/null 2>&1 ||
        { echo "memory: Miri cannot be had: rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; }
fi
# Miri's clock of its own stands nearly still; the threads here wait for each other by looking.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-many-seeds=0..$MIRI_SEEDS"
CARGO_TARGET_DIR=$TARGET/miri cargo +nightly miri test --package media-rt --lib tests::rings::
unset MIRIFLAGS

# The profile has optimizations but no SIMD beyond what valgrind knows.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=9"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER
# Two hundred calls in real time are too much for it; what they call is called by the others too.
cargo test --profile fast --package media-rt --lib -- --test-threads=1 --skip the_two_hundred_calls
cargo test --profile fast --package media-rt --test call --test moves -- --test-threads=1
cargo test --profile fast --package sip-net --lib -- --test-threads=1
echo "memory: nothing found"
