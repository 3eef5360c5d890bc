"""Harsh manoeuvres on real trips, marked by those who drove them, beside a plain threshold in the same run.

The recordings are a telephone's (51 Hz, "earth" axes): trips 17 and 20 of `driver-behavior`, through the
whole pipeline as `cargobox replay` runs it, with the accelerometer alone and with the gyroscope. The peer is
what is widely used: the level force after a causal Butterworth low-pass of 2 Hz, beyond 0.36 g; and the level
at which it is best on these very trips.

"F1" can be meant in four ways; all are printed:

* events: what is said is right where it overlaps a marked harsh manoeuvre to within 1 s, and wrong elsewhere;
  a manoeuvre of which nothing is said is missed. What the promise is about: the plain threshold gets 0.78;
* windows: marked manoeuvres, and the rest of the trip cut into windows of their median length;
* seconds: each second of the trip by itself;
* marked: of the marked ones alone, harsh against not aggressive.

Only scripted manoeuvres are marked. Two more swerves of 0.6 g and 0.75 g are in trip 17, count as wrong here,
and are not: 0.95 is the most that anybody can reach by events.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

from agent.blocks import NS_PER_S
from agent.config import Config
from agent.detection import DetectorSettings
from agent.detection.harsh import HarshSettings
from agent.pipeline import Pipeline
from agent.records import Head, Kind
from agent.sources.log_file import open_log
from scripts.benches.figures import Figure

F64 = npt.NDArray[np.float64]
TOP = Path(__file__).resolve().parents[2]
TRIPS = TOP.parent / "shared" / "data" / "driver-behavior"
MAPS = TOP / "docs" / "maps"
ACCEL = ("acelerometro_terra.csv", "driver-behavior.toml")
GYRO = ("giroscopio_terra.csv", "driver-behavior-gyro.toml")
G_MPS2 = 9.80665
NEAR_S = 1.0
PLAIN_G = 0.36
PLAIN_LEVELS_G = tuple(float(x) for x in np.arange(0.20, 0.50, 0.02))
PROMISED = 0.85

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Trip:
    """What was marked in it, in seconds of the trip. ``first_ns``: its second 0 in box time."""

    folder: Path
    first_ns: int
    harsh: tuple[Span, ...]
    calm: tuple[Span, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Score:
    """Right, wrong and missed."""

    right: int
    wrong: int
    missed: int

    def __add__(self, other: Score) -> Score:
        return Score(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def f1(self) -> float:
        """2 right / (2 right + wrong + missed)."""
        return 2 * self.right / max(2 * self.right + self.wrong + self.missed, 1)


def trip_of(folder: Path) -> Trip:
    """Read what was marked in a trip."""
    first_ns = int(json.loads((folder / "viagem.json").read_text())["firstCollectionUptimeNanos"])
    with (folder / "groundTruth.csv").open(newline="") as text:
        marked = [
            (row[0], (float(row[1]), float(row[2]))) for row in itertools.islice(csv.reader(text), 1, None)
        ]
    harsh = tuple(span for name, span in marked if "nao_agressiv" not in name)
    calm = tuple(span for name, span in marked if "nao_agressiv" in name)
    return Trip(folder, first_ns, harsh, calm, (times_and_force(folder)[0][-1] - first_ns) / NS_PER_S)


def times_and_force(folder: Path) -> tuple[npt.NDArray[np.int64], F64]:
    """Return times (n,) in ns and specific force (n, 3)."""
    with (folder / ACCEL[0]).open(newline="") as text:
        rows = list(itertools.islice(csv.reader(text), 1, None))
    return np.array([int(r[1]) for r in rows]), np.array([[float(c) for c in r[2:5]] for r in rows])


def said_by_agent(trip: Trip, *, gyro: bool, settings: HarshSettings) -> list[tuple[str, Span]]:
    """Return type and time of each harsh event that the pipeline publishes."""
    files = (ACCEL, GYRO) if gyro else (ACCEL,)
    sources = [open_log(trip.folder / name, map_path=MAPS / table) for name, table in files]
    config = Config(detect=DetectorSettings(harsh=settings))
    specs = [spec for source in sources for spec in config.apply_to(source.open())]
    pipeline = Pipeline(
        specs,
        head=Head("box", "0" * 16, "0"),
        fleet="bench",
        detectors=config.detect,
        mount_up=(0.0, 0.0, 1.0),
    )
    records = []
    for items in itertools.zip_longest(*(source.items() for source in sources)):
        records += pipeline.push(*(item for item in items if item is not None))
    open_since: dict[str, float] = {}
    said: list[tuple[str, Span]] = []
    for record in records + pipeline.finish():
        if record.kind not in (Kind.EVENT, Kind.ALARM):
            continue
        payload: Mapping[str, Any] = json.loads(record.payload)
        if not payload["type"].startswith("harsh"):
            continue
        open_since[payload["id"]] = _trip_s(trip, payload["start"])
        if payload["phase"] == "end":
            said.append((payload["type"], (open_since.pop(payload["id"]), _trip_s(trip, payload["end"]))))
    return said + [(which.rpartition("-")[0], (since, trip.seconds)) for which, since in open_since.items()]


def _trip_s(trip: Trip, wall: str) -> float:
    return datetime.fromisoformat(wall).timestamp() - trip.first_ns / NS_PER_S


def said_by_threshold(trip: Trip, level_g: float = PLAIN_G) -> list[Span]:
    """Return when the level force was beyond `level_g`; what is less than 2 s apart is one event."""
    times_ns, force = times_and_force(trip.folder)
    time_s = (times_ns - trip.first_ns) / NS_PER_S
    rate_hz = 1 / float(np.median(np.diff(time_s)))
    grid_s = np.arange(time_s[0], time_s[-1], 1 / rate_hz)
    even = np.stack([np.interp(grid_s, time_s, axis) for axis in force.T], axis=1)
    sos = signal.butter(2, 2.0, fs=rate_hz, output="sos")
    level = np.hypot(*signal.sosfilt(sos, even[:, :2] - even[0, :2], axis=0).T) / G_MPS2
    edges = np.flatnonzero(np.diff(np.concatenate(([0], level > level_g, [0]))))
    spans: list[Span] = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        begin_s, end_s = float(grid_s[first]), float(grid_s[last - 1])
        if spans and begin_s - spans[-1][1] < 2.0:
            spans[-1] = (spans[-1][0], end_s)
        else:
            spans.append((begin_s, end_s))
    return spans


def _meets(a: Span, b: Span, near_s: float = 0.0) -> bool:
    return a[0] <= b[1] + near_s and a[1] >= b[0] - near_s


def _hit(spans: Sequence[Span], by: Sequence[Span], near_s: float = 0.0) -> int:
    return sum(any(_meets(span, other, near_s) for other in by) for span in spans)


def by_events(trip: Trip, said: Sequence[Span]) -> Score:
    """Score what was said against what was marked."""
    right = _hit(trip.harsh, said, NEAR_S)
    return Score(right, len(said) - _hit(said, trip.harsh, NEAR_S), len(trip.harsh) - right)


def by_marked(trip: Trip, said: Sequence[Span]) -> Score:
    """Score the marked manoeuvres alone."""
    right = _hit(trip.harsh, said)
    return Score(right, _hit(trip.calm, said), len(trip.harsh) - right)


def by_windows(trip: Trip, said: Sequence[Span]) -> Score:
    """Score the marked manoeuvres, and the rest in windows as long, 1 s away from them."""
    length_s = float(np.median([end - begin for begin, end in trip.harsh]))
    rest: list[Span] = []
    at_s = 0.0
    for begin_s, end_s in (*sorted(trip.harsh + trip.calm), (trip.seconds, trip.seconds)):
        while at_s + length_s <= begin_s - NEAR_S:
            rest.append((at_s, at_s + length_s))
            at_s += length_s
        at_s = end_s + NEAR_S
    marked = by_marked(trip, said)
    return Score(marked.right, marked.wrong + _hit(rest, said), marked.missed)


def by_seconds(trip: Trip, said: Sequence[Span]) -> Score:
    """Score every second of the trip."""
    seconds = [(float(k), k + 1.0) for k in range(int(trip.seconds))]
    is_harsh = [any(_meets(s, span) for span in trip.harsh) for s in seconds]
    is_said = [any(_meets(s, span) for span in said) for s in seconds]
    pairs = list(zip(is_harsh, is_said, strict=True))
    return Score(pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)))


WAYS: Mapping[str, Callable[[Trip, Sequence[Span]], Score]] = {
    "events": by_events,
    "windows": by_windows,
    "seconds": by_seconds,
    "marked": by_marked,
}


def scores(trips: Sequence[Trip], said: Mapping[Path, Sequence[Span]]) -> dict[str, Score]:
    """Return the score by each way, over all `trips`."""
    return {
        way: sum((score(trip, said[trip.folder]) for trip in trips), Score(0, 0, 0))
        for way, score in WAYS.items()
    }


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    del args
    if not TRIPS.is_dir():
        return []
    trips = [trip_of(folder) for folder in sorted(TRIPS.iterdir()) if folder.is_dir()]
    plain = scores(trips, {trip.folder: said_by_threshold(trip) for trip in trips})
    every = [{t.folder: said_by_threshold(t, level_g) for t in trips} for level_g in PLAIN_LEVELS_G]
    best, best_g = max(
        (scores(trips, said)["events"].f1, g) for said, g in zip(every, PLAIN_LEVELS_G, strict=True)
    )
    figures = [
        Figure(
            "harsh driving, plain 2 Hz: F1 by events", round(plain["events"].f1, 3), "", f"beyond {PLAIN_G} g"
        ),
        Figure("harsh driving, plain 2 Hz at its best: F1", round(best, 3), "", f"beyond {best_g:.2f} g"),
    ]
    for gyro in (False, True):
        said = {t.folder: said_by_agent(t, gyro=gyro, settings=HarshSettings()) for t in trips}
        spans = {folder: [span for _, span in events] for folder, events in said.items()}
        name = f"harsh driving, {'with' if gyro else 'without'} gyroscope"
        for way, score in scores(trips, spans).items():
            peer = (
                f"plain 2 Hz, {PLAIN_G} g: {plain[way].f1:.2f} {_counts(plain[way])}; agent {_counts(score)}"
            )
            promise = PROMISED if way == "events" else None
            figures.append(Figure(f"{name}: F1 by {way}", round(score.f1, 3), "", peer, at_least=promise))
        for trip in trips:
            alone = by_events(trip, spans[trip.folder])
            figures.append(
                Figure(f"{name}: trip {trip.folder.name} alone", round(alone.f1, 3), "", _counts(alone))
            )
    figures += _sensitivity(trips)
    return figures


def _sensitivity(trips: Sequence[Trip]) -> list[Figure]:
    """Return F1 by events with each level moved by 15 % either way: a plateau, or chance."""
    usual = HarshSettings()
    figures = []
    for key in ("level_mps2", "push_mps2", "push_delta_v_mps", "by_size_mps2"):
        for factor in (0.85, 1.15):
            moved = HarshSettings(**{key: factor * getattr(usual, key)})
            said = {t.folder: [s for _, s in said_by_agent(t, gyro=False, settings=moved)] for t in trips}
            score = scores(trips, said)["events"]
            figures.append(
                Figure(f"harsh driving, {key} x {factor}: F1", round(score.f1, 3), "", _counts(score))
            )
    return figures


def _counts(score: Score) -> str:
    return f"{score.right} right, {score.wrong} wrong, {score.missed} missed"
