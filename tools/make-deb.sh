#!/bin/sh
# Packs a built binary as a Debian package: make-deb.sh BINARY OUTPUT_FOLDER [ARCHITECTURE [VERSION]]. Prints the package's name.
# Plain dpkg-deb, so that what is in the archive and what its scripts do is written here and nowhere else (ADR 0015).
set -eu
[ $# -ge 2 ] || { echo "usage: $0 BINARY OUTPUT_FOLDER [ARCHITECTURE [VERSION]]" >&2; exit 2; }
binary=$1 output=$2
root=$(cd "$(dirname "$0")/.." && pwd)
architecture=${3:-$(dpkg --print-architecture)}
version=${4:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")}
# The same source gives the same package (https://reproducible-builds.org/specs/source-date-epoch/).
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 0755 "$tree"
put() {
    install -D -m "$1" "$2" "$tree/$3"
}
squeeze() {
    mkdir -p "$tree/$(dirname "$2")"
    gzip -9nc "$1" >"$tree/$2"
    chmod 0644 "$tree/$2"
}

case $architecture in
arm64) strip=aarch64-linux-gnu-strip ;;
*) strip=strip ;;
esac
put 0755 "$binary" usr/bin/clavija
"$strip" --strip-unneeded "$tree/usr/bin/clavija"
put 0644 "$root/systemd/clavija.service" usr/lib/systemd/system/clavija.service
put 0644 "$root/systemd/clavija-confirm.service" usr/lib/systemd/system/clavija-confirm.service
put 0644 "$root/systemd/clavija-confirm.timer" usr/lib/systemd/system/clavija-confirm.timer
put 0644 "$root/systemd/notify-reload.conf" usr/lib/clavija/notify-reload.conf
put 0644 "$root/systemd/sysusers.conf" usr/lib/sysusers.d/clavija.conf
put 0644 "$root/systemd/tmpfiles.conf" usr/lib/tmpfiles.d/clavija.conf
put 0644 "$root/systemd/sysctl.conf" usr/lib/sysctl.d/60-clavija.conf
put 0640 "$root/systemd/etc/node.toml" etc/clavija/node.toml
put 0640 "$root/systemd/etc/site.toml" etc/clavija/site.toml
chmod 0750 "$tree/etc/clavija"
put 0644 "$root/packaging/debian/copyright" usr/share/doc/clavija/copyright
put 0644 "$root/packaging/debian/overrides" usr/share/lintian/overrides/clavija

work=$tree.work
mkdir "$work"
trap 'rm -rf "$tree" "$work"' EXIT
stamp=$(date -u -R -d "@$SOURCE_DATE_EPOCH")
{
    printf 'clavija (%s) unstable; urgency=medium\n\n' "$version"
    echo '  * What users notice stands in CHANGELOG.md of the source.'
    printf '\n -- Clavija developers <clavija@clavija.invalid>  %s\n' "$stamp"
} >"$work/changelog"
squeeze "$work/changelog" usr/share/doc/clavija/changelog.gz
sed "s/@VERSION@/$version/" "$root/packaging/man/clavija.1" >"$work/clavija.1"
squeeze "$work/clavija.1" usr/share/man/man1/clavija.1.gz
awk -v version="$version" -f "$root/packaging/man/config.awk" "$root/docs/config.md" >"$work/clavija.toml.5"
squeeze "$work/clavija.toml.5" usr/share/man/man5/clavija.toml.5.gz

# The newest symbol version of the C library that the binary asks for.
libc=$(readelf --wide --version-info "$tree/usr/bin/clavija" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 | cut -d_ -f2)
size=$(du -sk --apparent-size "$tree" | cut -f1)
mkdir -m 0755 "$tree/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@LIBC@/${libc:-2.34}/" -e "s/@SIZE@/$size/" \
    "$root/packaging/debian/control" >"$tree/DEBIAN/control"
printf '/etc/clavija/node.toml\n/etc/clavija/site.toml\n' >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 0755 "$root/packaging/debian/$script" "$tree/DEBIAN/$script"
done
(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod 0644 "$tree/DEBIAN/control" "$tree/DEBIAN/conffiles" "$tree/DEBIAN/md5sums"
find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$output"
name=clavija_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz -z3 --build "$tree" "$output/$name" >/dev/null
echo "$output/$name"
