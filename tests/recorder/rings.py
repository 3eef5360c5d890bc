"""What the tests of the ring share: a box that drives, a ring with small bounds, what a folder holds."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.recorder import reading
from agent.recorder.ring import Ring
from agent.recorder.settings import RecorderSettings
from agent.sources import Item
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality

SPECS = (TABLE["accel"], TABLE["temperature"])
BOOT = "0123456789abcdef"
RATE_HZ = 3200
WALL_NS = 1_800_000_000 * NS_PER_S
BLOCK = 64
PLENTY = 1 << 40
ROOM = {"max_mib": 100.0, "kept_mib": 100.0, "min_free_mib": 0.0, "file_s": 1.0, "chunk_kib": 4}


def settings(**changes: Any) -> RecorderSettings:
    return RecorderSettings(**{**ROOM, **changes})


def ring_at(directory: Path, changes: dict[str, Any] | None = None, **given: Any) -> Ring:
    about = {"box": "b", "boot": BOOT, "software": "0.1.0", "free_bytes": lambda _: PLENTY, **given}
    return Ring(directory, settings(**(changes or {})), SPECS, **about)


def drive(seconds: float, *, start_s: float = 10.0, seed: int = 1) -> Iterator[Item]:
    """Yield samples that no coder can make small, a temperature a second, and a mark before them."""
    rng = np.random.default_rng(seed)
    fast = RegularClock.of_rate(RATE_HZ, anchor_ns=round(start_s * NS_PER_S))
    slow = RegularClock.of_rate(1, anchor_ns=round(start_s * NS_PER_S))
    yield TimeMark(round(start_s * NS_PER_S), WALL_NS, TimeQuality.SYNCED)
    first, end = 0, round(seconds * RATE_HZ)
    while first < end:
        count = min(BLOCK, end - first)
        counts = rng.integers(-(1 << 15), 1 << 15, (count, 3), np.int16)
        yield Block("accel", first, fast, counts)
        if first % RATE_HZ < BLOCK:
            yield Block("temperature", first // RATE_HZ, slow, np.full((1, 1), 20.0, np.float32))
        first += count


def recorded(directory: Path) -> dict[str, list[int]]:
    """Return which samples of each stream a ring's folder holds, in its order, over all boots."""
    found: dict[str, list[int]] = {}
    for excerpt in reading.read(directory, 0, 1 << 62):
        for item in excerpt.items:
            if isinstance(item, Block):
                found.setdefault(item.stream, []).extend(range(item.first, item.end))
    return found


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.mcap"))


def read_by_stock_tools(path: Path) -> int:
    """Return how many messages the `mcap` package finds by a file's index, every checksum right."""
    reader = make_reader(BytesIO(path.read_bytes()), validate_crcs=True)
    summary = reader.get_summary()
    assert summary is not None and summary.statistics is not None, f"{path.name} has no index"
    count = sum(1 for _ in reader.iter_messages(log_time_order=False))
    assert count == summary.statistics.message_count, (path.name, count, summary.statistics.message_count)
    in_order = sum(1 for _ in reader.iter_messages())
    assert in_order == count, (path.name, in_order, count)
    return count
