#!/bin/sh
# Builds the workspace for aarch64 and runs its unit tests under emulation: test-arm.sh TARGET_FOLDER. Emulated time means nothing; what is
# seen here is the layout of the kernel's structures, alignment and the sign of C's char.
set -eu
cd "$(dirname "$0")/.."
triple=aarch64-unknown-linux-gnu
sysroot=/usr/aarch64-linux-gnu
rustc --print target-libdir --target $triple 2>/dev/null | xargs -I{} test -d {} || {
    echo "test-arm: the Rust target $triple is missing" >&2
    exit 1
}
export CARGO_TARGET_DIR="$1"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L $sysroot"
cargo build --target $triple --profile fast --workspace --bins
# One test at a time: emulated threads are slow enough without waiting for each other.
exec cargo test --target $triple --profile fast --workspace --lib --no-fail-fast -- --test-threads=1
