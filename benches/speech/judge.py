"""Speech through a network that loses and delays, judged by ITU-T P.862 (PESQ, narrowband): our engine,
linphonec, Chromium, and a receiver that puts silence where nothing came. See benches/README.md."""

import argparse, contextlib, random, statistics, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pesq import pesq, PesqError

from audio import FRAME, RATE, Late, linear, mu_law, narrowed
from chromium import Chromium
from linphone import linphone

HERE = Path(__file__).parent
LOSSES = [0, 1, 3, 5, 10]
# Between groups of sentences, so that each can be cut out again.
PAUSE = RATE
# What the network adds to every packet, and its jitter at most, both in ms.
DELAY_MS, JITTER_MS = 10, 20
TARGET, TARGET_LOSS = 3.4, 5
# They listen in real time, so that the machine can spoil it; how often it is tried.
PEERS, TURNS = ["linphonec", "Chromium"], 3


def said(voice, text, folder):
    """One sentence, 8 kHz, spoken by who the line names."""
    program, name = voice
    raw = folder / "spoken.wav"
    if program == "flite":
        command = ["flite", "-voice", name, "-t", text, "-o", raw]
    else:
        command = ["espeak-ng", "-v", name, "-w", raw, text]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return narrowed([raw], folder / "narrow.raw", "norm", "-6")


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


def undisturbed(hear, arrivals, seed):
    """What was heard; None: it was late to the last."""
    for _ in range(TURNS):
        try:
            return hear(arrivals, seed)
        except Late as late:
            print(f"  set aside: {late}", file=sys.stderr)
    return None


def cell(scores, seeds):
    """The middle, and how it is printed; half of the networks or more without a score say nothing."""
    if 2 * len(scores) <= seeds:
        return None, "not judged"
    middle = statistics.median(scores)
    return middle, f"{middle:.2f} ({min(scores):.2f} - {max(scores):.2f})"


def verdict(here, peers):
    if here is None or None in peers:
        return "not judged"
    met = here >= TARGET and all(here > peer for peer in peers)
    return f"{here:.2f}; target >= {TARGET} and above every peer: {'met' if met else 'missed'}"


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--program", default="target/release/speech", help="the bench's own `speech`")
    words.add_argument("--seeds", type=int, default=5)
    words.add_argument("--losses", type=int, nargs="*", default=LOSSES)
    words.add_argument("--without", nargs="*", default=[], choices=["ours", *PEERS])
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
        "Chromium": lambda arrivals, _: browser.hear(stream, arrivals),
        "silence put in": lambda arrivals, _: silent(stream, arrivals),
    }
    hearers = {who: hear for who, hear in hearers.items() if who not in said.without}
    print(f"{len(stream) / RATE:.0f} s of speech, {said.seeds} seeds, jitter up to {JITTER_MS} ms;"
          " P.862 narrowband, median (least - most)")
    print("| loss | " + " | ".join(hearers) + " |\n| --- |" + " --- |" * len(hearers))
    middle = {}
    with Chromium(said.folder) if "Chromium" in hearers else contextlib.nullcontext() as browser:
        for loss in said.losses:
            line = []
            for who, hear in hearers.items():
                seeds = range(1, said.seeds + 1)
                networks = [network(len(stream) // FRAME, loss, seed) for seed in seeds]
                # A phone listens in real time and does next to nothing: all seeds at once.
                with ThreadPoolExecutor(len(seeds) if who in PEERS else 1) as together:
                    heard = list(together.map(undisturbed, [hear] * len(seeds), networks, seeds))
                scores = [judged(stream, places, parts, one) for one in heard if one is not None]
                middle[loss, who], text = cell(scores, said.seeds)
                line.append(text)
            print(f"| {loss} % | " + " | ".join(line) + " |", flush=True)
    if (TARGET_LOSS, "ours") in middle:
        peers = [middle[TARGET_LOSS, who] for who in hearers if who in PEERS]
        print(f"\nat {TARGET_LOSS} % of loss {verdict(middle[TARGET_LOSS, 'ours'], peers)}")
        if not peers:
            print("no peer in this run")


if __name__ == "__main__":
    main()
