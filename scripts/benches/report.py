"""The report of a day: how long it takes to make, how large it is, how soon a browser has drawn it.

A day at 1 kHz with a minute of harm in every 22, which is the virtual trip's first 22 minutes over and over,
so that making it up takes less time than reporting it. The browser is Debian's chromium; without one, its
figures are left out. What is told is from the begin of the navigation to the first drawn timeline.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from agent.blocks import Block, RegularClock
from agent.config import load_config
from agent.log_info import LogInfo
from agent.recorder.mcap_writer import McapRecorder
from agent.replay.runner import ReplayOptions, replay_log
from agent.report import write_report
from agent.timebase import TimeMark, TimeQuality
from scripts.benches.day_trip import DayTrip
from scripts.benches.figures import Figure
from scripts.benches.replay import CONFIG, specs_of
from tests.report.browser import PROGRAM, Browser

REPEATED_S = 22 * 60
MOST_BYTES = 3e6
OPENED = 5
READY_MS = "performance.getEntriesByName('ready')[0].startTime"


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    hours = args.hours or 24.0
    with tempfile.TemporaryDirectory(prefix="cargobox-bench-") as name:
        folder = Path(name)
        log, settings = folder / "day.mcap", folder / "day.toml"
        settings.write_text(CONFIG)
        config = load_config(settings)
        _write_day(log, hours)
        summary = replay_log(log, folder / "out", config, ReplayOptions())
        began_s = time.perf_counter()
        page = write_report(folder / "out", log=log, config=config)
        took_s = time.perf_counter() - began_s
        size = page.stat().st_size
        events = sum(summary["events"].values())
        figures = [
            Figure(
                "report: made, against its replay", took_s / summary["wall_s"], "x", "replay of the same log"
            ),
            Figure(
                "report: page", size / 1e6, "MB", f"{hours:g} h, {events} events", at_most=MOST_BYTES / 1e6
            ),
        ]
        if PROGRAM is None:
            print("report: no chromium, so no load time", file=sys.stderr)
            return figures
        return [*figures, *_loaded(page)]


def _loaded(page: Path) -> list[Figure]:
    """Open the page some times, on a desktop and as a telephone."""
    with Browser() as browser:
        figures = []
        for what, width, phone in (("desktop", 1280, False), ("phone", 380, True)):
            times_ms = []
            for _ in range(OPENED):
                browser.open(page, width=width, phone=phone)
                times_ms.append(float(browser.run(READY_MS)))
            assert not browser.complaints(), browser.complaints()
            figures.append(Figure(f"report: drawn, {what}", statistics.median(times_ms), "ms"))
    return figures


def _write_day(log: Path, hours: float) -> None:
    trip = DayTrip(seed=1)
    recorder = McapRecorder(
        log, LogInfo(box="bench", boot="0" * 16, software="bench", streams=tuple(specs_of(trip)))
    )
    recorder.write(TimeMark(0, 1_790_000_000_000_000_000, TimeQuality.SYNCED))
    made = [trip.second(k) for k in range(min(REPEATED_S, round(hours * 3600)))]
    for k in range(round(hours * 3600)):
        for name, counts in made[k % len(made)].items():
            values = counts.astype("int16") if name != "load" else counts
            recorder.write(Block(name, k * len(values), RegularClock.of_rate(len(values)), values))
    recorder.close()
