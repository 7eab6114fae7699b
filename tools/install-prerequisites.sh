#!/bin/sh
# Installs what is missing to build (`build`) and to test (`peers`) on Debian 12 or 13. Rust and make are given.
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
        # rustc links with the C compiler; nothing here is written in C.
        need cc "gcc libc6-dev"
        ;;
    lints)
        cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 || rustup component add clippy rustfmt
        ;;
    peers)
        need sipp sip-tester
        need ip iproute2
        need baresip baresip-core
        need linphonec linphone-cli
        need kamailio kamailio
        ;;
    *)
        echo "usage: $0 build|lints|peers…" >&2
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
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
apt update
# shellcheck disable=SC2086  # the list is meant to be split
apt -y --no-install-recommends install $missing >/dev/null
