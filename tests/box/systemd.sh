#!/bin/sh
# The package on a blank Debian with a booted systemd: systemd.sh BINARY FOLDER. SUITE names another release than bookworm. Needs root, and
# the archive once: the root tree is kept in FOLDER.
set -eu
cd "$(dirname "$0")/../.."
binary=$1
folder=$2
suite=${SUITE:-bookworm}
[ "$(id -u)" = 0 ] || { echo "test-systemd: only root boots a systemd in namespaces" >&2; exit 1; }
mkdir -p "$folder"

tree=$folder/$suite.tar
if [ ! -e "$tree" ]; then
    echo "-- making a root tree of $suite"
    new=$folder/new-$suite.tar
    mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus,libgcc-s1 "$suite" "$new" >"$folder/mmdebstrap.log" 2>&1 || {
        tail -5 "$folder/mmdebstrap.log" >&2
        echo "test-systemd: mmdebstrap cannot make a root tree of $suite here" >&2
        exit 1
    }
    mv "$new" "$tree"
fi

first=$(tools/make-deb.sh "$binary" "$folder/packages" "$(dpkg --print-architecture)" 0.1.0)
second=$(tools/make-deb.sh "$binary" "$folder/packages" "$(dpkg --print-architecture)" 0.1.1)
echo "-- lintian has nothing to say"
said=$(lintian --allow-root "$first" 2>&1) || true
[ -z "$said" ] || { echo "$said" >&2; exit 1; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tar -C "$root" -xf "$tree"
cp "$first" "$root/opt/first.deb"
cp "$second" "$root/opt/second.deb"
cp tests/box/life.sh "$root/opt/life.sh"
tests/box/boot.sh "$root" 60 /opt/life.sh
