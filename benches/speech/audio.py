"""Speech as it goes out, G.711 in packets of 20 ms, and as it comes back."""

import struct, subprocess

import numpy as np

RATE, FRAME = 8_000, 160
# A sound without a header, as sox calls it.
RAW = ["-c", "1", "-b", "16", "-e", "signed", "-t", "raw"]

# By how much a packet may leave late, and whoever plays may stand still: a frame.
LATE_MS = 20


class Late(Exception):
    """The machine had other things to do than to talk and to listen, so what was heard is of another network."""


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


def payloads(stream):
    return [frame.tobytes() for frame in mu_law(stream).reshape(-1, FRAME)]


def packet(number, payload, ssrc):
    """RTP of PCMU."""
    return struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * FRAME & 0xFFFFFFFF, ssrc) + payload


def due(arrivals):
    """When each packet is to arrive, in ms, and its number, in that order; without those that never do."""
    return sorted((at, number) for number, at in enumerate(arrivals) if at is not None)


def narrowed(source, raw, *effects):
    """What sox makes of its source at our rate, written to raw. No dither: the same samples every time."""
    subprocess.run(["sox", "-D", *source, "-r", str(RATE), *RAW, raw, *effects], check=True)
    return np.fromfile(raw, dtype="<i2")
