#!/bin/sh
# Runs one aarch64 test binary: run-on-arm.sh BINARY [ARGUMENT…]. What talks to the kernel gets an aarch64 kernel of its own, for the
# emulation of a process does not know every socket option (SO_DETACH_FILTER, SO_MEMINFO); the rest is emulated as a process.
# ARM_TREE names a folder with an extracted arm64 Debian: kernel, busybox, C library.
set -eu
binary=$1
case ${binary##*/} in
media_rt-* | sip_net-*) ;;
*) exec qemu-aarch64-static -L "$ARM_TREE" "$@" ;;
esac
shift

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/bin" "$work/tree/lib/aarch64-linux-gnu" "$work/tree/proc" "$work/tree/sys" "$work/tree/dev" "$work/tree/tmp"
cp "$ARM_TREE/bin/busybox" "$work/tree/bin/busybox"
cp "$ARM_TREE/lib/ld-linux-aarch64.so.1" "$work/tree/lib/"
for library in libc.so.6 libm.so.6 libgcc_s.so.1; do
    cp -L "$ARM_TREE/lib/aarch64-linux-gnu/$library" "$work/tree/lib/aarch64-linux-gnu/"
done
cp "$binary" "$work/tree/binary"
cat >"$work/tree/init" <<INIT
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox ip link set lo up
cd /tmp
/binary $*
echo "status=\$?"
/bin/busybox poweroff -f
INIT
chmod 0755 "$work/tree/init"
(cd "$work/tree" && find . | cpio --quiet -o -H newc >"$work/initrd")
# A kernel that hangs is ended.
timeout 900 qemu-system-aarch64 -M virt -cpu max -smp 2 -m 1024 -nographic -no-reboot -nodefaults -serial stdio -monitor none \
    -kernel "$ARM_TREE"/boot/vmlinuz-* -initrd "$work/initrd" -append "console=ttyAMA0 quiet panic=-1" </dev/null |
    tr -d '\r' | tee "$work/said"
status=$(sed -n 's/^status=//p' "$work/said")
[ -n "$status" ] || { echo "run-on-arm: the kernel ended before the tests did" >&2; exit 1; }
exit "$status"
