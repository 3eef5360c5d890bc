"""What the ring of recordings costs at 3.2 kHz and everything else: ``scripts/bench recorder``.

Two minutes of a drive (an accelerometer with the noise of a road, a gyroscope, four load cells, climate,
pressure) go through the ring in blocks as a box gives them, and through the least that a recording could be:
the bytes of the same blocks, zstd, one write. Seconds of processor over seconds recorded are a share of one
core of this machine. Bytes an hour are beside the width in which the sensors give their samples.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zstandard

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.recorder.ring import Ring
from agent.recorder.settings import RecorderSettings
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from scripts.benches.figures import Figure

RATES_HZ = {
    "accel": 3200.0,
    "gyro": 200.0,
    "load": 80.0,
    "pressure": 50.0,
    "temperature": 1.0,
    "humidity": 1.0,
}
TURN_S = 0.02
SECONDS = 120
CHUNK_BYTES = 64 * 1024
NOISE = {"accel": (np.int16, 60), "gyro": (np.int16, 20), "load": (np.int32, 300)}


def turns(seconds: float) -> Iterator[list[Block]]:
    """Yield the blocks of each turn of the board."""
    rng = np.random.default_rng(8)
    clocks = {name: RegularClock.of_rate(hz) for name, hz in RATES_HZ.items()}
    ends = dict.fromkeys(RATES_HZ, 0)
    for turn in range(1, round(seconds / TURN_S) + 1):
        blocks = []
        for name, rate_hz in RATES_HZ.items():
            count = int(turn * TURN_S * rate_hz + 1e-6) - ends[name]
            if not count:
                continue
            axes = len(TABLE[name].axes)
            kind, spread = NOISE.get(name, (np.float32, 1))
            values = (rng.standard_normal((count, axes)) * spread).astype(kind)
            blocks.append(Block(name, ends[name], clocks[name], values))
            ends[name] += count
        yield blocks


def bench(_: argparse.Namespace) -> list[Figure]:
    """Measure both, in turns, each three times; the least counts."""
    given = list(turns(SECONDS))
    with tempfile.TemporaryDirectory(prefix="recorder-bench-") as folder:
        ours, peers, size_bytes = [], [], 0
        for attempt in range(3):
            cpu_s, size_bytes = through_the_ring(given, Path(folder) / str(attempt))
            ours.append(cpu_s)
            peers.append(bare(given, Path(folder) / f"{attempt}.bare"))
    specs = [TABLE[name] for name in RATES_HZ]
    raw_bytes = SECONDS * sum(RATES_HZ[spec.name] * spec.raw_bytes_per_sample for spec in specs)
    hour = 3600 / SECONDS
    share, bare_share = min(ours) / SECONDS, min(peers) / SECONDS
    ours_mb, raw_mb = size_bytes * hour / 1e6, raw_bytes * hour / 1e6
    drive = "a drive at 3.2 kHz x 3 and the rest"
    return [
        Figure("the ring: share of a core", share, "s/s", drive),
        Figure("bare: share of a core", bare_share, "s/s", "zstd, a write and a sync a chunk, nothing else"),
        Figure("the ring beside bare", share / bare_share, "x"),
        Figure("the ring: MB an hour", ours_mb, "MB/h", f"{raw_mb:.1f} MB/h as the sensors give them"),
        Figure("the ring beside raw", ours_mb / raw_mb, "x"),
    ]


def through_the_ring(given: list[list[Block]], folder: Path) -> tuple[float, int]:
    """Return seconds of processor and bytes on the card."""
    specs = [TABLE[name] for name in RATES_HZ]
    ring = Ring(folder, RecorderSettings(min_free_mib=0.0), specs, box="b", boot="0" * 16, software="bench")
    ring.write(TimeMark(0, 1_800_000_000 * NS_PER_S, TimeQuality.SYNCED))
    began_s = time.process_time()
    for blocks in given:
        for block in blocks:
            ring.write(block)
    ring.close()
    cpu_s = time.process_time() - began_s
    assert not ring.trouble, ring.trouble
    return cpu_s, sum(path.stat().st_size for path in folder.glob("*.mcap"))


def bare(given: list[list[Block]], path: Path) -> float:
    """Return seconds of processor for the bytes of the same blocks, compressed and synced by chunks."""
    compress = zstandard.ZstdCompressor().compress
    began_s = time.process_time()
    with path.open("wb", buffering=0) as file:
        parts: list[bytes] = []
        waiting = 0
        for blocks in given:
            for block in blocks:
                parts.append(block.values.tobytes())
                waiting += len(parts[-1])
            if waiting >= CHUNK_BYTES:
                file.write(compress(b"".join(parts)))
                os.fdatasync(file.fileno())
                parts, waiting = [], 0
        file.write(compress(b"".join(parts)))
    return time.process_time() - began_s
