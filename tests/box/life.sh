#!/bin/sh
# Runs inside a booted Debian: the package's whole life, from a blank system to a purge. Every step is named; the first that fails ends it.
# Wants /opt/first.deb and /opt/second.deb, the second with a higher version.
set -eu
trap 'status=$?; [ $status = 0 ] || { echo "FAILED: $step"; systemctl status clavija --no-pager || true; journalctl -u clavija --no-pager | tail -40; }' EXIT

step() {
    step=$*
    echo "-- $step"
}
show() {
    systemctl show clavija -P "$1"
}
# Until the words after the seconds succeed.
within() {
    left=$(($1 * 10))
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep .1
    done
}
is_active() {
    [ "$(show ActiveState)" = active ]
}
# It runs, as another process than before.
came_back() {
    now=$(show MainPID)
    [ "$now" != 0 ] && [ "$now" != "$before" ] && is_active
}
journal_says() {
    journalctl -u clavija --no-pager | grep -q "$1"
}
gone_back() {
    clavija trunk list | grep reloaded >/dev/null
}
# Stops one thread and no other, until the process ends: SIGSTOP would stop them all. perl, as every Debian has it; only a
# tracer can do it, and one that waits for the end lets the thread be buried.
stop_only() {
    perl -e '
        my $ptrace = (`uname -m` =~ /x86_64/) ? 101 : 117;
        my ($seize, $interrupt, $of_a_thread) = (0x4206, 0x4207, 0x40000000);
        my $thread = shift() + 0;
        syscall($ptrace, $seize, $thread, 0, 0) == 0 or die "cannot trace: $!";
        syscall($ptrace, $interrupt, $thread, 0, 0) == 0 or die "cannot stop: $!";
        waitpid($thread, $of_a_thread) == $thread or die "it does not stop: $!";
        waitpid($thread, $of_a_thread);
    ' "$1"
}
recordings() {
    find /var/spool/clavija/recordings -name '*.wav' | wc -l
}
records() {
    cat /var/lib/clavija/cdr/*.jsonl 2>/dev/null | wc -l
}

# What systemd itself says about the unit is looked for below.
systemctl log-target journal

step "a blank system takes the package and starts it"
dpkg -i /opt/first.deb >/dev/null
within 30 is_active
systemctl is-enabled clavija >/dev/null

step "ready and alive is what the daemon says"
case $(show Type) in notify | notify-reload) ;; *) false ;; esac
[ "$(show NotifyAccess)" = main ]
case $(show StatusText) in calls=0*) ;; *) false ;; esac

step "no capability, no new privileges, a filter on system calls, users of its own"
pid=$(show MainPID)
grep -q '^CapEff:.*0000000000000000$' "/proc/$pid/status"
grep -q '^CapBnd:.*0000000000000000$' "/proc/$pid/status"
grep -q '^NoNewPrivs:.*1$' "/proc/$pid/status"
grep -q '^Seccomp:.*2$' "/proc/$pid/status"
[ "$(stat -c %U "/proc/$pid")" = clavija ]
[ "$(wc -l <"/proc/$pid/uid_map")" -gt 1 ]
# Only with CAP_SYS_RESOURCE (bit 24) can systemd itself give limits above its own.
if [ $((0x$(awk '/^CapEff/ {print $2}' /proc/1/status) >> 24 & 1)) = 1 ]; then
    step "the media thread is real-time and memory is locked, by limits alone"
    policy=''
    for task in "/proc/$pid/task"/*; do
        [ "$(cat "$task/comm")" != media-0 ] || policy=$(awk '{print $41}' "$task/stat")
    done
    [ "$policy" = 1 ]
    [ "$(awk '/^VmLck/ {print $2}' "/proc/$pid/status")" -gt 10000 ]
else
    echo "   (systemd itself may raise no limits here, so real time by limits cannot be seen)"
fi

step "its exposure is at most 1.5"
systemd-analyze security --no-pager --threshold=15 clavija.service >/dev/null

step "a recorded self-test call through the sandboxed appliance"
clavija selftest
[ "$(recordings)" = 1 ]
[ "$(stat -c %U /var/spool/clavija/recordings/*.wav)" = clavija ]

step "a reload takes hold in the process that runs"
before=$(show MainPID)
cat >>/etc/clavija/site.toml <<'SITE'
[[trunk]]
name = "reloaded"
peers = ["203.0.113.7"]
calls_max = 30
pstn = true
SITE
systemctl reload clavija
[ "$(show MainPID)" = "$before" ] && is_active
clavija trunk list | grep reloaded >/dev/null

step "a reload of a wrong file changes nothing and says where it is wrong"
cp /etc/clavija/site.toml /tmp/right.toml
echo 'peers = "no list"' >>/etc/clavija/site.toml
# notify-reload knows no refusal: there only the journal says it.
if systemctl reload clavija; then [ "$(show Type)" = notify-reload ]; fi
within 10 journal_says "site.toml:[0-9]"
[ "$(show MainPID)" = "$before" ] && is_active
clavija trunk list | grep reloaded >/dev/null

step "killed over a file that is half edited, it comes back with what held"
before=$(show MainPID)
kill -9 "$before"
within 30 came_back
clavija trunk list | grep reloaded >/dev/null
cp /tmp/right.toml /etc/clavija/site.toml

step "who confirms nothing goes back, and the timer that sees to it where the appliance is dead is on"
[ "$(systemctl show clavija-confirm.timer -P ActiveState)" = active ]
sed 's/"reloaded"/"unconfirmed"/' /tmp/right.toml >/etc/clavija/site.toml
clavija config reload --confirm 3s >/dev/null
clavija trunk list | grep unconfirmed >/dev/null
within 20 gone_back
cp /tmp/right.toml /etc/clavija/site.toml

step "kill -9 brings it back with what it had"
before=$(show MainPID)
kill -9 "$before"
within 30 came_back
[ "$(show NRestarts)" = 2 ]
within 10 test "$(records)" = 1
[ "$(recordings)" = 1 ]

step "a media thread that stands still, and it alone, ends the process, which says so and comes back"
before=$(show MainPID)
media=''
for task in "/proc/$before/task"/*; do
    [ "$(cat "$task/comm")" != media-0 ] || media=${task##*/}
done
stop_only "$media" &
within 60 came_back
journal_says "the media thread stands still"

step "a process that stands still is killed by the watchdog and comes back"
before=$(show MainPID)
kill -STOP "$before"
within 60 came_back
journal_says "Watchdog timeout"

step "who comes back takes calls"
clavija selftest >/dev/null
[ "$(recordings)" = 2 ]

step "a stop lets the call that is up finish"
clavija selftest >/tmp/selftest.txt &
test=$!
within 20 grep -q "the caller hears the phone" /tmp/selftest.txt
systemctl stop clavija
wait $test || { cat /tmp/selftest.txt; false; }
[ "$(show Result)" = success ] && [ "$(show ActiveState)" = inactive ]
[ "$(recordings)" = 3 ] && [ "$(records)" = 3 ]

step "an upgrade keeps configuration and data and restarts in one transaction"
systemctl start clavija
before=$(show MainPID)
sed -i 's/^name = "edge-1"/name = "edge-kept"/' /etc/clavija/node.toml
dpkg -i --force-confold /opt/second.deb >/dev/null
within 60 came_back
[ "$(recordings)" = 3 ] && [ "$(records)" = 3 ]
clavija status | grep edge-kept >/dev/null
clavija selftest >/dev/null

step "after a removal nothing runs and all data is there"
dpkg -r clavija >/dev/null
[ "$(show ActiveState)" = inactive ]
[ ! -e /usr/bin/clavija ] && [ "$(recordings)" = 4 ] && [ "$(records)" = 4 ]
[ -e /etc/clavija/node.toml ]
[ -z "$(find /etc/systemd/system -xtype l -name 'clavija*')" ]

step "after a purge nothing is left"
dpkg -P clavija >/dev/null
[ ! -e /var/lib/clavija ] && [ ! -e /var/spool/clavija ] && [ ! -e /etc/clavija ]
step "done"
echo "the package lives and dies as it should"
