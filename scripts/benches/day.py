"""A simulated day at 1 kHz through the whole pipeline: budget, memory, and features against the raw samples.

A process of its own (``python -m scripts.benches.day``) makes the day second by second and sends it through
`agent.pipeline.Pipeline` with every detector and feature on. Of each hour it notes the bytes in and the bytes
out; of any hour, also one that begins in between, not more than a fifth may have gone up. A second, plain
drive (level II, no harm) must stay at 7 %.

Some windows are drawn at random, and what was published of them is computed again from the raw counts in
float64, by `scripts.benches.feature_oracle`, whatever window the budget had left them.

The process holds numpy, the pipeline and the trip that it makes up; of its memory the growth after the
first hour counts, for the pipeline alone. The agent's own memory is what ``scripts/bench run`` measures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.config import Config
from agent.pipeline import Pipeline
from agent.records import Head, Kind, Record, decode
from agent.timebase import TimeMark, TimeQuality
from firmware_bridge.virtual.streams import MOUNT_UP
from firmware_bridge.virtual.trip import Trip
from scripts.benches.day_trip import DayTrip
from scripts.benches.feature_oracle import Differences, compare, start_s
from scripts.benches.figures import Figure, resident_mib
from scripts.benches.ledger import Ledger
from scripts.benches.replay import CONFIG, specs_of

WALL_NS = 1_790_000_000_000_000_000
NORMAL_HOURS = 2.0
LOOKED_AT = 200  # feature records whose windows are computed again
MARK_S = 60
NOTE_S = 5


@dataclass
class Outcome:
    """What a drive came to: JSON between the two processes."""

    hours: list[float]
    worst_hour: float
    ratio: float
    events: dict[str, int]
    records: dict[str, int]
    spans: dict[str, int]
    memory_mib: list[float]
    withheld_rows: int
    values: int
    differences: int
    worst: str
    unchecked: list[str]


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    hours = args.hours or 24.0
    day, normal = _drive("day", hours), _drive("normal", min(NORMAL_HOURS, hours))
    for name, one in (("day", day), ("normal", normal)):
        ratios = " ".join(f"{ratio:.3f}" for ratio in one.hours)
        print(f"  {name}: hour by hour {ratios}", file=sys.stderr)
        print(f"  {name}: events {one.events}, records {one.records}, windows {one.spans}", file=sys.stderr)
        if one.unchecked:
            print(f"  {name}: without an oracle here: {', '.join(one.unchecked)}", file=sys.stderr)
        if one.differences:
            print(f"  {name}: worst difference: {one.worst}", file=sys.stderr)
    grown_mib = day.memory_mib[-1] - day.memory_mib[min(1, len(day.memory_mib) - 1)]
    return [
        Figure(f"day, published against raw in {hours:g} h", day.ratio, "", at_most=0.20),
        Figure("day, largest ratio of an hour", max(day.hours), "", at_most=0.20),
        Figure("day, largest ratio of any 60 min", day.worst_hour, "", at_most=0.20),
        Figure("day, incidents", sum(day.events.values()), "events"),
        Figure("day, normal driving, largest hour", max(normal.hours), "", at_most=0.07),
        Figure("day, windows finer than a minute kept", _share_fine(day), "%"),
        Figure("day, memory grown after the first hour", grown_mib, "MiB", at_most=4),
        Figure("day, memory of pipeline and trip", day.memory_mib[-1], "MiB"),
        Figure("day, feature values computed again", day.values + normal.values, "", at_least=1),
        Figure("day, of them different", day.differences + normal.differences, "", at_most=0),
    ]


def _share_fine(one: Outcome) -> float:
    """Return how many per cent of the day went up in windows under a minute."""
    seconds = {int(span): count * int(span) for span, count in one.spans.items()}
    return 100 * sum(s for span, s in seconds.items() if span < 60) / max(1, sum(seconds.values()))


def _drive(kind: str, hours: float) -> Outcome:
    command = [sys.executable, "-m", "scripts.benches.day", "--kind", kind, "--hours", str(hours)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=Outcome)


def drive(trip: Trip, seconds: int) -> Outcome:
    """Send `seconds` of a trip through the pipeline, in blocks of a second."""
    specs = specs_of(trip)
    config = msgspec.toml.decode(CONFIG, type=Config)
    head = Head("bench", "0" * 16, "bench")
    pipeline = Pipeline(
        config.apply_to(specs), head=head, fleet="bench", detectors=config.detect, mount_up=MOUNT_UP
    )
    dice = np.random.default_rng(1)
    ledger, memory_mib = Ledger(), [resident_mib(os.getpid())]
    differences, spans = Differences(), dict[str, int]()
    share = LOOKED_AT / max(1, seconds / 10)
    told_s = 0
    clocks = {s.name: RegularClock.of_rate(s.rate_hz) for s in trip.streams}

    def look(records: list[Record]) -> None:
        nonlocal told_s
        for record in records:
            if record.kind is not Kind.FEATURES:
                continue
            body = decode(record.payload)
            span = str(body["window_s"])
            spans[span] = spans.get(span, 0) + body["n"]
            if dice.random() < share:
                compare(trip, specs, body, WALL_NS, told_s, dice, differences)
            rows = (body["at"][-1] if "at" in body else body["n"] - 1) + 1
            told_s = start_s(body, WALL_NS) + rows * body["window_s"]

    for second in range(seconds):
        items: list[Any] = []
        if second % MARK_S == 0:
            items.append(TimeMark(second * NS_PER_S, WALL_NS, TimeQuality.SYNCED))
        for name, counts in trip.second(second).items():
            values = counts.astype(np.int16) if name != "load" else counts
            items.append(Block(name, second * len(values), clocks[name], values))
        look(pipeline.push(*items))
        if (second + 1) % NOTE_S == 0:
            ledger.note(second + 1, pipeline.tally.raw_bytes, pipeline.tally.published_bytes)
        if (second + 1) % 3600 == 0:
            memory_mib.append(resident_mib(os.getpid()))
            _tell(second, ledger, memory_mib[-1])
    look(pipeline.finish())
    ledger.note(seconds + 1, pipeline.tally.raw_bytes, pipeline.tally.published_bytes)
    tally = pipeline.tally
    return Outcome(
        hours=ledger.hours(),
        worst_hour=ledger.worst_hour(),
        ratio=tally.upload_ratio,
        events=dict(sorted(tally.events.items())),
        records=dict(sorted(tally.published.items())),
        spans=spans,
        memory_mib=memory_mib,
        withheld_rows=pipeline.withheld_rows,
        values=differences.compared,
        differences=differences.found,
        worst=differences.worst,
        unchecked=sorted(differences.unchecked),
    )


def _tell(second: int, ledger: Ledger, memory_mib: float) -> None:
    if os.isatty(2):
        hour = ledger.hours()[-1]
        print(
            f"\r  hour {(second + 1) // 3600}: {hour:.4f}, {memory_mib:.1f} MiB ",
            end="",
            file=sys.stderr,
            flush=True,
        )


def main() -> int:
    """Drive once, and say on stdout what it came to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["day", "normal"], required=True)
    parser.add_argument("--hours", type=float, required=True)
    args = parser.parse_args()
    trip = DayTrip() if args.kind == "day" else Trip(seed=2, script="road")
    outcome = drive(trip, round(args.hours * 3600))
    print(msgspec.json.encode(outcome).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
