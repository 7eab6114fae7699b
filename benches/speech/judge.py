"""Speech through a network that loses and delays, judged by ITU-T P.862 (PESQ, narrowband): our engine,
linphonec, and a receiver that puts silence where nothing came. See benches/README.md."""

import argparse, os, random, shutil, socket, statistics, struct, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pesq import pesq, PesqError

HERE = Path(__file__).parent
RATE, FRAME = 8_000, 160
LOSSES = [0, 1, 3, 5, 10]
# Between groups of sentences, so that each can be cut out again.
PAUSE = RATE
# What the network adds to every packet, and its jitter at most, both in ms.
DELAY_MS, JITTER_MS = 10, 20
TARGET, TARGET_LOSS = 3.4, 5


def said(voice, text, folder):
    """One sentence, 8 kHz, spoken by who the line names."""
    program, name = voice
    raw, narrow = folder / "spoken.wav", folder / "narrow.raw"
    if program == "flite":
        command = ["flite", "-voice", name, "-t", text, "-o", raw]
    else:
        command = ["espeak-ng", "-v", name, "-w", raw, text]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    # No dither: the same samples every time.
    subprocess.run(["sox", "-D", raw, "-r", str(RATE), "-c", "1", "-b", "16", "-e", "signed", "-t", "raw",
                    narrow, "norm", "-6"], check=True)
    return np.fromfile(narrow, dtype="<i2")


def groups(folder):
    """Two sentences each, as P.862 wants them: some eight seconds with pauses."""
    lines = [line.split(" ", 2) for line in (HERE / "sentences.txt").read_text().splitlines() if line]
    spoken = [said(line[:2], line[2], folder) for line in lines]
    quiet = np.zeros(RATE // 2, dtype="<i2")
    return [np.concatenate([quiet, first, quiet, second, quiet])
            for first, second in zip(spoken[::2], spoken[1::2])]


def joined(parts):
    """All of it in one stream of whole frames, and where each part begins."""
    stream, places = [np.zeros(PAUSE, dtype="<i2")], []
    for part in parts:
        places.append(sum(map(len, stream)))
        stream += [part, np.zeros(PAUSE - len(part) % FRAME, dtype="<i2")]
    return np.concatenate(stream), places


def network(packets, loss, seed):
    """When each packet arrives in ms from the first one's departure; None: never."""
    dice = random.Random(f"{loss} {seed}")
    lost = [dice.random() < loss / 100 for _ in range(packets)]
    late = [DELAY_MS + dice.randrange(JITTER_MS + 1) for _ in range(packets)]
    return [None if gone else 20 * n + wait for n, (gone, wait) in enumerate(zip(lost, late))]


def mu_law(samples):
    """ITU-T G.711, there."""
    magnitude = np.minimum(np.abs(samples.astype(np.int32)), 32_635) + 132
    segment = np.floor(np.log2(magnitude)).astype(int) - 7
    code = (segment << 4) | ((magnitude >> (segment + 3)) & 15)
    return (~(code | np.where(samples < 0, 128, 0)) & 255).astype(np.uint8)


def linear(codes):
    """And back."""
    codes = ~codes.astype(np.int32) & 255
    magnitude = ((((codes & 15) << 3) + 132) << ((codes >> 4) & 7)) - 132
    return np.where(codes & 128, -magnitude, magnitude).astype("<i2")


def silent(stream, arrivals):
    """Who puts silence where a packet was lost and waits for all others."""
    heard = linear(mu_law(stream)).reshape(-1, FRAME).copy()
    heard[[n for n, at in enumerate(arrivals) if at is None]] = 0
    return heard.reshape(-1)


def ours(program, stream, arrivals, folder):
    said, net, heard = folder / "said.raw", folder / "network", folder / "heard.raw"
    stream.astype("<i2").tofile(said)
    net.write_text("".join(f"{'-' if at is None else at}\n" for at in arrivals))
    subprocess.run([program, said, net, heard], check=True, stdout=subprocess.DEVNULL)
    return np.fromfile(heard, dtype="<i2")


def judged(stream, places, parts, heard):
    """The mean opinion of all groups, each found where the whole stream fits best."""
    length = 1 << (len(stream) + len(heard)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(heard.astype(float), length)
                            * np.conj(np.fft.rfft(stream.astype(float), length)), length)
    lag = int(np.argmax(likeness))
    lag = lag - length if lag > length // 2 else lag
    scores = []
    for place, part in zip(places, parts):
        begin = max(place + lag, 0)
        piece = heard[begin:begin + len(part)]
        try:
            scores.append(pesq(RATE, part, np.ascontiguousarray(piece), "nb"))
        except PesqError as error:
            print(f"  P.862 refuses a group: {error}", file=sys.stderr)
    return statistics.mean(scores) if scores else float("nan")


def payloads(stream):
    return [frame.tobytes() for frame in mu_law(stream).reshape(-1, FRAME)]


class Caller:
    """A SIP user agent that calls once, sends RTP when it is told to, and needs no library."""

    def __init__(self, here, there):
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind((here, 0))
        self.rtp.bind((here, 0))
        self.sip.settimeout(0.5)
        self.here, self.there, self.tag = here, there, random.randrange(1 << 30)
        self.to = f"<sip:peer@{there[0]}:{there[1]}>"

    def request(self, method, number, body=""):
        port = self.sip.getsockname()[1]
        kind = "Content-Type: application/sdp\r\n" if body else ""
        branch = f"z9hG4bK{self.tag}{number}{'' if method == 'INVITE' else method}"
        text = (f"{method} sip:peer@{self.there[0]}:{self.there[1]} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {self.here}:{port};branch={branch};rport\r\nMax-Forwards: 70\r\n"
                f"From: <sip:judge@{self.here}:{port}>;tag={self.tag}\r\nTo: {self.to}\r\n"
                f"Call-ID: {self.tag}@{self.here}\r\nCSeq: {number} {method}\r\n"
                f"Contact: <sip:judge@{self.here}:{port}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}")
        self.sip.sendto(text.encode(), self.there)

    def call(self, patience=15):
        """Where the callee wants its audio."""
        port = self.rtp.getsockname()[1]
        offer = (f"v=0\r\no=- 1 1 IN IP4 {self.here}\r\ns=-\r\nc=IN IP4 {self.here}\r\nt=0 0\r\n"
                 f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n")
        end, heard = time.monotonic() + patience, False
        while time.monotonic() < end:
            if not heard:
                self.request("INVITE", 1, offer)
            try:
                text = self.sip.recv(65_536).decode(errors="replace")
            except (TimeoutError, ConnectionError):
                time.sleep(0.1)
                continue
            heard = True
            status = text.split(" ", 2)[1]
            if status.startswith("2"):
                lines = dict(line.split(": ", 1) for line in text.split("\r\n\r\n")[0].split("\r\n")[1:])
                self.to = lines["To"]
                self.request("ACK", 1)
                sdp = text.split("\r\n\r\n", 1)[1].split("\r\n")
                where = next(line for line in sdp if line.startswith("c=")).split()[-1]
                return where, int(next(line for line in sdp if line.startswith("m=audio")).split()[1])
            if status[0] in "3456":
                raise RuntimeError(f"the call was answered with {status}")
        raise RuntimeError("the call was not answered")

    def speak(self, to, packets, arrivals):
        """Each packet leaves when it is to arrive: loopback itself takes no time."""
        start = time.monotonic() + 0.1
        for at, number in sorted((at, n) for n, at in enumerate(arrivals) if at is not None):
            time.sleep(max(0, start + at / 1_000 - time.monotonic()))
            header = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * FRAME & 0xFFFFFFFF, self.tag)
            self.rtp.sendto(header + packets[number], to)

    def hang_up(self):
        self.request("BYE", 2)
        time.sleep(0.3)


def linphone(stream, arrivals, folder, seed):
    """What linphonec heard: it writes what it would play. Ports of its own for each seed."""
    home, port, audio = folder / f"linphone-{seed}", 5960 + seed, 17000 + 2 * seed
    shutil.rmtree(home, ignore_errors=True)
    (home / ".local/share/linphone").mkdir(parents=True)
    (home / ".config/linphone").mkdir(parents=True)
    config, heard = home / "rc", home / "heard.wav"
    config.write_text(f"[sip]\nsip_port={port}\nsip_tcp_port=0\nsip_tls_port=0\nuse_ipv6=0\nbind_address=127.0.0.1\n"
                      f"guess_hostname=0\ncontact=sip:peer@127.0.0.1:{port}\n"
                      f"[rtp]\naudio_rtp_port={audio}\n[sound]\nechocancellation=0\n"
                      "[audio_codec_0]\nmime=PCMU\nrate=8000\nenabled=1\n")
    phone = subprocess.Popen(["linphonec", "-a", "-c", config], env={**os.environ, "HOME": str(home)},
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    try:
        phone.stdin.write(f"soundcard use files\nrecord {heard}\n")
        phone.stdin.flush()
        time.sleep(2)
        caller = Caller("127.0.0.1", ("127.0.0.1", port))
        caller.speak(caller.call(), payloads(stream), arrivals)
        time.sleep(0.5)
        caller.hang_up()
        phone.stdin.write("quit\n")
        phone.stdin.flush()
        phone.wait(10)
    finally:
        if phone.poll() is None:
            phone.kill()
            phone.wait()
    # Whatever rate it recorded at.
    raw = home / "heard.raw"
    subprocess.run(["sox", "-D", heard, "-r", str(RATE), "-c", "1", "-b", "16", "-e", "signed", "-t", "raw", raw],
                   check=True)
    return np.fromfile(raw, dtype="<i2")


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--program", default="target/release/speech", help="the bench's own `speech`")
    words.add_argument("--seeds", type=int, default=5)
    words.add_argument("--losses", type=int, nargs="*", default=LOSSES)
    words.add_argument("--without", nargs="*", default=[], choices=["ours", "linphonec"])
    words.add_argument("--folder", type=Path, default=Path("target/speech"))
    said = words.parse_args()
    said.folder.mkdir(parents=True, exist_ok=True)
    said.folder = said.folder.resolve()
    said.program = str(Path(said.program).resolve())
    parts = groups(said.folder)
    stream, places = joined(parts)
    hearers = {
        "ours": lambda arrivals, _: ours(said.program, stream, arrivals, said.folder),
        "linphonec": lambda arrivals, seed: linphone(stream, arrivals, said.folder, seed),
        "silence put in": lambda arrivals, _: silent(stream, arrivals),
    }
    hearers = {who: hear for who, hear in hearers.items() if who not in said.without}
    print(f"{len(stream) / RATE:.0f} s of speech, {said.seeds} seeds, jitter up to {JITTER_MS} ms;"
          " P.862 narrowband, median (least - most)")
    print("| loss | " + " | ".join(hearers) + " |\n| --- |" + " --- |" * len(hearers))
    middle = {}
    for loss in said.losses:
        line = []
        for who, hear in hearers.items():
            seeds = range(1, said.seeds + 1)
            networks = [network(len(stream) // FRAME, loss, seed) for seed in seeds]
            # A phone listens in real time and does next to nothing: all seeds at once.
            with ThreadPoolExecutor(len(seeds) if who == "linphonec" else 1) as together:
                heard = list(together.map(hear, networks, seeds))
            scores = [judged(stream, places, parts, one) for one in heard]
            middle[loss, who] = statistics.median(scores)
            line.append(f"{middle[loss, who]:.2f} ({min(scores):.2f} - {max(scores):.2f})")
        print(f"| {loss} % | " + " | ".join(line) + " |", flush=True)
    if (TARGET_LOSS, "ours") in middle:
        here = middle[TARGET_LOSS, "ours"]
        peers = [middle[TARGET_LOSS, who] for who in hearers if who not in ("ours", "silence put in")]
        met = here >= TARGET and all(here > peer for peer in peers)
        print(f"\nat {TARGET_LOSS} % of loss {here:.2f}; target >= {TARGET} and above every peer:"
              f" {'met' if met else 'missed'}")
        if not peers:
            print("no peer in this run")


if __name__ == "__main__":
    main()
