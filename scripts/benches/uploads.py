"""The budget and the false alarms on every real recording that a CSV map covers: ``scripts/bench uploads``.

The recordings were made by others and lie beside the project (``--data``, by default ``../shared/data``);
where one is absent, it says so and goes on. Every detector and feature is on, with its default settings.
What a recording is of, and so whether an alarm in it is a false one, is said here by those who made it: only
two of them hold harm to the cargo.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from agent.blocks import NS_PER_S
from agent.config import Config
from agent.records import Kind, Record, decode
from agent.replay.runner import pipeline_of
from agent.sources.log_file import open_log
from scripts.benches.figures import Figure
from scripts.benches.ledger import Ledger

TOP = Path(__file__).resolve().parents[2]
MAPS = TOP / "docs" / "maps"
DATA = TOP.parent / "shared" / "data"
PROMISED = 0.20
LEAST_BYTES_AN_HOUR = 10_000  # less is a scale that is read once an hour: its hours hold a sample each

RECORDINGS = {
    "fragile-goods-box": ("fragile-goods-box", ("car_trip*.csv", "dropped_box.csv", "rough_handling.csv")),
    "driver-behavior": ("driver-behavior", ("*/acelerometro_terra.csv",)),
    "driver-behavior-gyro": ("driver-behavior", ("*/giroscopio_terra.csv",)),
    "transit-vibration": ("transit-vibration", ("*.csv",)),
    "container-motion": ("container-motion", ("samples.csv",)),
    "hive-scales": ("hive-scales", ("*.csv",)),
    "imu-ferraris": ("imu-ferraris", ("example_ferraris_session.csv",)),
    "imu-multiposition": ("imu-multiposition", ("example_data_calibration.csv",)),
}
"""By the map: the folder, and which of its files."""

HARMED = ("dropped_box.csv", "rough_handling.csv")
"""Recordings in which the cargo is thrown: their alarms are right."""

RIDES = ("fragile-goods-box", "driver-behavior", "transit-vibration")
"""Folders of whole rides. The others hold sensors turned by hand for a calibration, scales that are read once
an hour, and samples of 10 s laid end to end: what is found where two of them meet was put there by us."""


@dataclass(slots=True)
class Outcome:
    """What one recording came to."""

    name: str
    hours: float
    ratio: float
    worst_hour: float
    raw_bytes: float
    alarms: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """Events by type and severity, as far as either rose."""

    def __str__(self) -> str:
        events = ", ".join(f"{count} {what}" for what, count in sorted(self.events.items())) or "none"
        return (
            f"  {self.name:52} {self.hours:8.2f} h {self.ratio:8.4f} {self.worst_hour:8.4f} "
            f"{self.alarms / self.hours:7.2f} alarms/h  {events}"
        )


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    found: list[Outcome] = []
    print(f"  {'recording':52} {'length':>10} {'ratio':>8} {'hour':>8}", file=sys.stderr)
    for map_name, (folder, patterns) in RECORDINGS.items():
        logs = [log for pattern in patterns for log in sorted((args.data / folder).glob(pattern))]
        if not logs:
            print(f"  {folder}: skipped, {args.data / folder} holds no {patterns[0]}", file=sys.stderr)
        for log in logs:
            outcome = replay(log, map_name, str(log.relative_to(args.data)))
            print(outcome, file=sys.stderr)
            found.append(outcome)
    trips = [one for one in found if one.raw_bytes >= LEAST_BYTES_AN_HOUR * one.hours]
    rides = [one for one in found if one.name.startswith(RIDES) and not one.name.endswith(HARMED)]
    hours = sum(one.hours for one in rides)
    alarms = sum(one.alarms for one in rides)
    events = sum(n for one in rides for what, n in one.events.items() if not what.endswith(" 1"))
    worst, worst_hour = (
        max((getattr(one, of) for one in trips), default=0.0) for of in ("ratio", "worst_hour")
    )
    return [
        Figure("uploads, recordings", len(found), "", at_least=1),
        Figure("uploads, largest ratio", worst, "", at_most=PROMISED),
        Figure("uploads, largest of any hour", worst_hour, "", at_most=PROMISED),
        Figure("uploads, rides without harm", hours, "h"),
        Figure("uploads, false alarms in them", alarms / hours if hours else 0.0, "1/h", at_most=0),
        Figure("uploads, events above severity 1 in them", events / hours if hours else 0.0, "1/h"),
    ]


def replay(log: Path, map_name: str, name: str) -> Outcome:
    """Send one recording through the pipeline, with its map and default settings."""
    source = open_log(log, map_path=MAPS / f"{map_name}.toml")
    pipeline = pipeline_of(source, Config())
    ledger, severity, alarms = Ledger(), dict[tuple[str, str], int](), 0

    def look(records: list[Record]) -> None:
        nonlocal alarms
        for record in records:
            if record.kind not in (Kind.ALARM, Kind.EVENT):
                continue
            alarms += record.kind is Kind.ALARM
            body = decode(record.payload)
            key = body["type"], body["id"]
            severity[key] = max(severity.get(key, 0), body["severity"])

    tally = pipeline.tally
    for item in source.items():
        look(pipeline.push(item))
        if tally.last_ns is not None:
            ledger.note(tally.last_ns / NS_PER_S, tally.raw_bytes, tally.published_bytes)
    look(pipeline.finish())
    if tally.last_ns is not None:
        ledger.note(tally.last_ns / NS_PER_S, tally.raw_bytes, tally.published_bytes)
    return Outcome(
        name,
        max(tally.duration_s, 1.0) / 3600,
        tally.upload_ratio,
        ledger.worst_hour(),
        tally.raw_bytes,
        alarms,
        Counter(f"{kind} {most}" for (kind, _), most in severity.items()),
    )
