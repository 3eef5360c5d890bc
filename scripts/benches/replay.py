"""Replay of an hour of the virtual trip: how much faster than it happened, and than reading it alone."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from agent.blocks import Block, RegularClock
from agent.log_info import LogInfo
from agent.recorder.mcap_writer import McapRecorder
from agent.sources.log_file import open_log
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark, TimeQuality
from firmware_bridge.virtual.trip import Trip
from scripts.benches.figures import Figure, median_s

# every detector and every feature
CONFIG = """
[detect.slosh]
length_m = 0.4
fill_m = 0.2
freeboard_m = 0.1

[detect.temperature]
low_degc = 2.0
high_degc = 8.0
[detect.humidity]
high_percent = 75.0
"""


def specs_of(trip: Trip) -> list[StreamSpec]:
    """Return the trip's streams as the board would describe them."""
    return [
        msgspec.structs.replace(
            TABLE[s.name], scale=s.scale, rate_hz=float(s.rate_hz), full_scale=s.full_scale
        )
        for s in trip.streams
    ]


def record(recorder: McapRecorder, trip: Trip, seconds: int) -> None:
    """Record a trip without waiting for it, and close the file."""
    recorder.write(TimeMark(0, 1_790_000_000_000_000_000, TimeQuality.SYNCED))
    for k in range(seconds):
        for name, counts in trip.second(k).items():
            values = counts.astype("int16") if name != "load" else counts
            recorder.write(Block(name, k * len(values), RegularClock.of_rate(len(values)), values))
    recorder.close()


def write_log(path: Path, seconds: int) -> None:
    """Record the demo's trip."""
    trip = Trip(seed=1)
    recorder = McapRecorder(
        path, LogInfo(box="bench", boot="0" * 16, software="bench", streams=tuple(specs_of(trip)))
    )
    record(recorder, trip, seconds)


def _read(path: Path) -> int:
    source = open_log(path)
    source.open()
    return sum(len(item) for item in source.items() if isinstance(item, Block))


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        log, config = folder / "trip.mcap", folder / "cargobox.toml"
        config.write_text(CONFIG)
        write_log(log, round((args.hours or 1.0) * 3600))
        command = [sys.executable, "-m", "agent.cli", "replay", str(log), "--out", str(folder / "out")]
        command += ["--config", str(config), "--json"]
        runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
        summary = sorted(runs, key=lambda run: run["wall_s"])[1]
        reading_s = median_s(lambda: _read(log))
    peer = "reading the log alone, in the same run"
    return [
        Figure("replay, realtime factor", summary["realtime_factor"], "×", at_least=1000),
        Figure("replay, time against reading alone", summary["wall_s"] / reading_s, "×", peer),
        Figure("replay, samples a second", summary["samples"] / summary["wall_s"], "1/s"),
        Figure("replay, published against raw", summary["upload_ratio"], "", at_most=0.20),
    ]
