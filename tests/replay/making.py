"""Small logs with something in each of them, by a seed, and what to compare of two folders of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from agent.blocks import Block, RegularClock
from agent.log_info import LogInfo
from agent.recorder.mcap_writer import McapRecorder
from agent.replay.totals import without_times
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality

SECOND_NS = 1_000_000_000
RATE_HZ = 1000


def write_log(path: Path, *, seed: int = 1, seconds: int = 6) -> Path:
    """Write a box at rest that is struck once, how hard and when by the seed."""
    rng = np.random.default_rng(seed)
    values = rng.normal((0.0, 0.0, 9.81), 0.05, (RATE_HZ * seconds, 3)).astype(np.float32)
    at = int(rng.integers(RATE_HZ, RATE_HZ * (seconds - 2)))
    pulse = np.sin(np.linspace(0, np.pi, 12)) * rng.uniform(50, 400)
    values[at : at + 12, 2] += pulse.astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    boot = f"{seed:016x}"
    recorder = McapRecorder(
        path, LogInfo(box="b", boot=boot, software="0.1", streams=(TABLE["accel"],)), overwrite=True
    )
    with recorder:
        recorder.write(TimeMark(SECOND_NS, 10**18, TimeQuality.SYNCED))
        clock = RegularClock(0, SECOND_NS, 1_000_000_000)
        for first in range(0, len(values), 250):
            recorder.write(Block("accel", first, clock, values[first : first + 250]))
    return path


def results(out: Path) -> dict[str, Any]:
    """Return all results below a folder: records to the byte, summaries but for the times of the run."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.name == "summary.json":
            found[name] = _without_versions(without_times(json.loads(path.read_bytes())))
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def _without_versions(summary: dict[str, Any]) -> dict[str, Any]:
    """Leave out the digest of the source, so that it may be edited while a test runs."""
    logs = {name: _without_versions(one) for name, one in summary.get("logs", {}).items()}
    return {**{k: v for k, v in summary.items() if k != "fingerprint"}, "logs": logs}
