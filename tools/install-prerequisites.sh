#!/bin/sh
# Installs what is missing to build (`build`), to test (`peers`), to measure (`bench`, `speech`), to fuzz (`fuzz`), to look for undefined behaviour (`memory`), to pack, boot and cross-build (`package`, `boot`, `arm`) on Debian 12 or 13. Rust and make are given.
set -eu

# Packages to install, each with the command that shows it is there.
missing=""
need() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

for what in "$@"; do
    case "$what" in
    build)
        command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
        # rustc links with the C compiler; libopus, which comes with its crate, is written in C and built by cmake.
        need cc "gcc libc6-dev"
        need cmake cmake
        ;;
    lints)
        cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 || rustup component add clippy rustfmt
        ;;
    peers)
        need sipp sip-tester
        # Its tools judge the unit; it is not booted.
        need systemd-analyze systemd
        need ip iproute2
        need baresip baresip-core
        need linphonec linphone-cli
        need kamailio kamailio
        # A router between the box and a phone, a further network, and hashes that nobody here wrote.
        need nft nftables
        need tcpdump tcpdump
        need unshare util-linux
        need openssl openssl
        # Plays and judges recordings that are Opus.
        need opusdec opus-tools
        # Judges the schema of the configuration; nobody here wrote it.
        python3 -c "import jsonschema, tomllib" >/dev/null 2>&1 || missing="$missing python3 python3-jsonschema"
        ;;
    bench)
        need kamailio kamailio
        need rtpengine rtpengine-daemon
        need chrt util-linux
        ;;
    audiopus)
        # The distribution's libopus, for who does not want the bundled one.
        need pkg-config pkg-config
        pkg-config --exists opus 2>/dev/null || missing="$missing libopus-dev"
        ;;
    speech)
        # Who speaks, who listens, and what compiles the judge.
        need flite flite
        need espeak-ng espeak-ng
        need sox sox
        need linphonec linphone-cli
        need chromium chromium
        need ip iproute2
        need unshare util-linux
        need cc "gcc libc6-dev"
        python3 -c "import ensurepip, sysconfig, os; assert os.path.exists(sysconfig.get_path('include') + '/Python.h')" >/dev/null 2>&1 || missing="$missing python3-venv python3-dev"
        ;;
    memory)
        need valgrind "valgrind libc6-dbg"
        ;;
    fuzz)
        # libFuzzer is C++.
        need c++ g++
        ;;
    package)
        need dpkg-deb dpkg
        need strip binutils
        need xz xz-utils
        ;;
    boot)
        # A root tree with a systemd of its own, in namespaces.
        need mmdebstrap mmdebstrap
        need nsenter util-linux
        need lintian lintian
        ;;
    arm)
        need aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
        need qemu-aarch64-static qemu-user-static
        # A kernel of that architecture, for what asks the kernel.
        need qemu-system-aarch64 qemu-system-arm
        need mmdebstrap mmdebstrap
        need cpio cpio
        rustup target add aarch64-unknown-linux-gnu >/dev/null 2>&1 || {
            echo "the Rust target aarch64-unknown-linux-gnu cannot be had: rustup target add aarch64-unknown-linux-gnu" >&2
            exit 1
        }
        ;;
    *)
        echo "usage: $0 build|audiopus|fuzz|memory|lints|peers|bench|speech|package|boot|arm…" >&2
        exit 2
        ;;
    esac
done

[ -n "$missing" ] || exit 0
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@"
}
echo "installing:$missing"
# Peers are started by the tests that want them: no package may leave a daemon at the ports of the appliance.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    # dash runs no EXIT trap for a signal.
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
apt update
# shellcheck disable=SC2086  # the list is meant to be split
apt -y --no-install-recommends install $missing >/dev/null
