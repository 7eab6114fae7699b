# A few words for people and CI alike. Every word installs what it needs and is missing.

# One profile for the demonstration, the tests and the appliance they drive, so that nothing is compiled twice. Always the
# whole workspace: cargo joins the features of what it builds together, and another selection would be another build.
FAST = --workspace --profile fast
# The tests that drive the real binary with real peers, in real time.
BOX = --test selftest --test peers --test refuses_to_start --test first_call --test hundred_callers --test crash --test real_phones --test session_timers --test dispatcher --test phone_codecs --test encrypted_phones --test keys_of_real_peers --test sealed --test opus_recordings --test bad_network --test networks --test flood --test hostile_tcp --test torture
SEED ?= 1
SEEDS_LONG ?= 10000
# How often ten recorded calls are cut off by kill -9; `make test` does it twice.
CRASHES_LONG ?= 5
# Each fuzz target's time; a release takes 3600.
FUZZ_SECONDS ?= 60
FUZZ ?=
SPEECH_SEEDS ?= 5
# Of the package: another for a test of upgrades.
DEB_VERSION ?=
# Where cargo puts what it builds.
TARGET = $(or $(CARGO_TARGET_DIR),target)

.PHONY: help run build test check fmt clippy docs tidy sim bench bench-media bench-speech box fuzz deb test-systemd test-arm test-audiopus test-memory test-long deny

help:
	@echo "make run         build, place a real call through the box, say what happened"
	@echo "make test        every test, with real SIP peers"
	@echo "make check       formatting, lints, documentation, tidiness"
	@echo "make sim SEED=n  one simulated day and its ladder"
	@echo "make box         only the tests of the real binary"
	@echo "make bench       speed, beside Kamailio, rtpengine and a bare relay"
	@echo "make bench-media what media costs and how it sounds, each target beside its figure"
	@echo "make bench-speech  only how it sounds: PESQ under loss, beside linphonec and Chromium"
	@echo "make fuzz        every fuzz target for $(FUZZ_SECONDS) s; FUZZ=target for one of them"
	@echo "make deb         the Debian package of this machine's architecture"
	@echo "make test-systemd  the package on a blank Debian 12 and 13 with a booted systemd (root)"
	@echo "make test-arm    unit tests for aarch64 under emulation"
	@echo "make test-audiopus  the media engine with the distribution's libopus"
	@echo "make test-memory  the rings under Miri, the system calls under valgrind"
	@echo "make test-long   $(SEEDS_LONG) seeds, $(CRASHES_LONG) crashes, licences and bans, fuzzing, the package, aarch64, the distribution's libopus, memory"

# On a terminal the demonstration stays up until Ctrl-C.
run:
	@tools/install-prerequisites.sh build
	cargo build $(FAST) --bin clavija
	@if [ -t 1 ]; then exec $(TARGET)/fast/clavija demo --stay; else exec $(TARGET)/fast/clavija demo; fi

build:
	@tools/install-prerequisites.sh build
	cargo build $(FAST) --bins --tests

# The box tests wait in real time and one at a time; the others use both cores.
test: build
	@tools/install-prerequisites.sh peers package
	cargo test $(FAST) --no-fail-fast

check: fmt clippy docs tidy

fmt:
	@tools/install-prerequisites.sh lints
	cargo fmt --all --check

clippy:
	@tools/install-prerequisites.sh build lints
	cargo clippy $(FAST) --all-targets -- -D warnings

docs:
	@tools/install-prerequisites.sh build
	RUSTDOCFLAGS="-D warnings" cargo doc $(FAST) --no-deps --document-private-items --quiet

tidy:
	@tools/install-prerequisites.sh build
	cargo test $(FAST) --test tidy

sim:
	@tools/install-prerequisites.sh build
	cargo build --quiet $(FAST) --bin sim
	@$(TARGET)/fast/sim $(SEED)

# About nine minutes after the build; BENCH_SECONDS=1 is a quick look. The last step is the one beside the peers.
bench:
	@tools/install-prerequisites.sh build bench
	cargo build --release --package clavija --package clavija-benches --bins
	cargo bench --package clavija-benches
	$(TARGET)/release/load

# Some twenty-five minutes after the build, and the speech; BENCH_SECONDS=1 BENCH_ROUNDS=1 is a quick look.
bench-media:
	@tools/install-prerequisites.sh build bench
	cargo build --release --package clavija --package clavija-benches --bins
	$(TARGET)/release/bench-media
	$(MAKE) bench-speech

# In a network of its own, so that nobody's phone is called; aiortc takes any address but 127.0.0.1. SPEECH_SEEDS is how many networks each loss is tried on.
bench-speech:
	@tools/install-prerequisites.sh build bench speech
	cargo build --release --package clavija-benches --bin speech
	@[ -x $(TARGET)/speech/venv/bin/python ] || python3 -m venv $(TARGET)/speech/venv
	@$(TARGET)/speech/venv/bin/python -c "import aiortc, numpy, pesq" 2>/dev/null || $(TARGET)/speech/venv/bin/pip -q install aiortc==1.16.0 numpy==2.4.6 pesq==0.0.4
	unshare --net --map-root-user sh -c 'ip link set lo up && ip address add 192.0.2.1/32 dev lo && exec $(TARGET)/speech/venv/bin/python -B benches/speech/judge.py --program $(TARGET)/release/speech --folder $(TARGET)/speech --seeds $(SPEECH_SEEDS)'

box: build
	@tools/install-prerequisites.sh peers
	cargo test $(FAST) $(BOX) -- --test-threads=1

# Looks for bytes that break a promise; what it finds lies in tests/fuzz/artifacts.
fuzz:
	@tools/install-prerequisites.sh build fuzz
	FUZZ_SECONDS=$(FUZZ_SECONDS) tools/fuzz.sh $(FUZZ)

deb:
	@tools/install-prerequisites.sh build package
	cargo build --release --bin clavija
	tools/make-deb.sh $(TARGET)/release/clavija $(TARGET)/debian $$(dpkg --print-architecture) $(DEB_VERSION)

test-systemd: build
	@tools/install-prerequisites.sh package boot
	SUITE=bookworm tests/box/systemd.sh $(TARGET)/fast/clavija $(TARGET)/box
	SUITE=trixie tests/box/systemd.sh $(TARGET)/fast/clavija $(TARGET)/box

test-arm:
	@tools/install-prerequisites.sh build arm
	tools/test-arm.sh $(TARGET)/arm

test-long: test deny fuzz test-systemd test-arm test-audiopus test-memory
	SEEDS=$(SEEDS_LONG) cargo test $(FAST) --test one_call_per_seat
	CRASHES=$(CRASHES_LONG) cargo test $(FAST) --test crash -- --test-threads=1
	FLOOD_SECONDS=60 cargo test $(FAST) --test flood
	SESSION_SECONDS=480 cargo test $(FAST) --test session_timers
	STALL_SECONDS=10 cargo test $(FAST) --lib stands_still
	CLAVIJA_TEST_MEDIA_THREADS=2 $(MAKE) box

# The rings under Miri and every unsafe block under valgrind.
test-memory:
	@tools/install-prerequisites.sh build memory
	tools/test-memory.sh $(TARGET)

# The distribution's libopus in place of the bundled one.
test-audiopus:
	@tools/install-prerequisites.sh build audiopus
	cargo test --profile fast --package media-core --no-default-features --features audiopus --lib
	cargo check --profile fast --package clavija --no-default-features --features audiopus

deny:
	cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny@0.20.2
	cargo deny check bans licenses sources
