"""Speech as it goes out: G.711 in frames of 20 ms."""

import numpy as np

RATE, FRAME = 8_000, 160


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
