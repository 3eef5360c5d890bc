"""Frames of the cable: how fast the host decodes them, against the stream of a box."""

from __future__ import annotations

import argparse
import os

from firmware_bridge.wire import seal, unseal
from scripts.benches.figures import Figure, median_s

# what the firmware sends at 1 kHz and 80 Hz when it flushes every 3 ms
FRAMES_A_SECOND = 1000 / 3 + 80 + 50 + 2
FRAMES = 50_000


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    frames = [bytes(seal(os.urandom(32))).strip(b"\x00") for _ in range(FRAMES)]

    def decode() -> None:
        for frame in frames:
            unseal(frame)

    rate = FRAMES / median_s(decode)
    peer = "the 1 kHz + 80 Hz + climate stream of one box"
    return [Figure("wire, frames unsealed on the host", rate / FRAMES_A_SECOND, "×", peer, at_least=20)]
