#!/bin/sh
# Boots a Debian root tree's own systemd as PID 1 in fresh namespaces: boot.sh ROOT SECONDS COMMAND. Waits until it says running or
# degraded, runs the command inside with /bin/sh, tears everything down; the exit status is the command's. Needs root.
set -eu
root=$(cd "$1" && pwd)
seconds=$2
command=$3
console=$(mktemp)
unshare -m -p -f -i -u -C -n --mount-proc --kill-child sh -ec '
    root=$0
    mount --bind "$root" "$root"
    for place in run tmp dev; do mount -t tmpfs -o mode=755 "$place" "$root/$place"; done
    chmod 1777 "$root/tmp"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
    for node in null zero full random urandom tty; do : >"$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t tmpfs shm "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666,mode=620 pts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ip link set lo up
    # Not chroot: from inside one the kernel makes no user namespace, and the unit has PrivateUsers=.
    cd "$root"
    pivot_root . mnt
    umount -l /mnt
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other /lib/systemd/systemd --log-target=console --show-status=0
' "$root" </dev/null >"$console" 2>&1 &
outer=$!
# Interrupted, it leaves no system behind (--kill-child ends all that is in it).
trap 'kill -9 "$outer" 2>/dev/null || true; rm -f "$console"; exit 130' HUP INT TERM
looks=0 init='' is=''
while :; do
    init=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null || true)
    init=${init%% *}
    [ -z "$init" ] || is=$(nsenter -t "$init" -a systemctl is-system-running 2>/dev/null || true)
    case $is in running | degraded) break ;; esac
    looks=$((looks + 1))
    if [ $looks -gt $((seconds * 5)) ] || ! kill -0 $outer 2>/dev/null; then
        echo "systemd does not boot here: ${is:-no answer}" >&2
        tail -20 "$console" >&2
        kill $outer 2>/dev/null || true
        rm -f "$console"
        exit 1
    fi
    sleep .2
done
status=0
nsenter -t "$init" -a /bin/sh -c "$command" || status=$?
kill -9 "$init"
wait $outer 2>/dev/null || true
rm -f "$console"
exit $status
