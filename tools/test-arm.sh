#!/bin/sh
# Builds the workspace for aarch64 and runs its unit tests under emulation: test-arm.sh TARGET_FOLDER. Emulated time means nothing; what is
# seen here is the layout of the kernel's structures, alignment and the sign of C's char.
set -eu
cd "$(dirname "$0")/.."
triple=aarch64-unknown-linux-gnu
rustc --print target-libdir --target $triple 2>/dev/null | xargs -I{} test -d {} || {
    echo "test-arm: the Rust target $triple is missing" >&2
    exit 1
}
mkdir -p "$1"
export CARGO_TARGET_DIR="$1"
ARM_TREE=$(cd "$1" && pwd)/tree
export ARM_TREE
if [ ! -d "$ARM_TREE" ]; then
    echo "-- getting an arm64 kernel and C library"
    new=$ARM_TREE.new
    rm -rf "$new"
    mmdebstrap --quiet --architectures=arm64 --variant=extract --include=busybox-static,linux-image-cloud-arm64,libc6,libgcc-s1 \
        bookworm "$new" || { echo "test-arm: the arm64 packages of Debian 12 cannot be had" >&2; exit 1; }
    mv "$new" "$ARM_TREE"
fi
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$(pwd)/tools/run-on-arm.sh
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER
cargo build --target $triple --profile fast --workspace --bins
# One test at a time: emulated threads are slow enough without waiting for each other.
exec cargo test --target $triple --profile fast --workspace --lib --no-fail-fast -- --test-threads=1
