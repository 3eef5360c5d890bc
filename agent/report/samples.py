"""One pass over a log: each stream summed up on a grid of time, and full-rate clips around the incidents.

Samples are corrected as the pipeline does it, so a page shows the figures that the detectors saw. What is
kept is bounded, however long the log: a row a grid step (`grid.py`), and so many samples of clips
(`clips.py`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.alignment import Aligner
from agent.blocks import NS_PER_S, Block
from agent.certificates import at_hand
from agent.config import Config
from agent.correction import TEMPERATURE, Correction, NumbersOnly
from agent.errors import LogFileError
from agent.replay.runner import JOINED_S, JOINED_SAMPLES
from agent.report.clips import Clip, Clips
from agent.report.grid import Grid, Sums
from agent.report.trip import Trip
from agent.sources.log_file import open_log
from agent.streams import StreamClass, StreamSpec, Unit
from agent.timebase import TimeMark, TimeQuality, WallClock
from calibration.certificate import Certificate

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

STEPS_S = (0.1, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
MOST_ROWS = 18_000
LAST_NS = 1 << 62


@dataclass(slots=True)
class Samples:
    """What a log holds for a report. Box time + ``offset_s`` is the time of day in seconds since 1970.

    ``quality``: how far to trust that; ``span_s``: of the first sample and of the last, so.
    """

    specs: tuple[StreamSpec, ...]
    step_s: float
    offset_s: float
    quality: TimeQuality
    span_s: tuple[float, float] | None
    up: tuple[float, float, float] | None
    sums: dict[str, Sums]
    clips: dict[str, list[Clip]]
    left_out: int
    certificates: tuple[Certificate, ...]
    temperatures: dict[str, tuple[F64, F64]]
    notes: list[str] = field(default_factory=list)


def read_samples(
    log: Path,
    trip: Trip,
    config: Config,
    certificates: tuple[Certificate, ...] | None,
    map_path: Path | None,
) -> Samples:
    """Read the log of a trip. ``certificates``: to correct by; None for those that ``config`` names.

    Raises a FourPartError for a log or a map that cannot be read.
    """
    source = open_log(log, map_path=map_path, block_samples=JOINED_SAMPLES, window_s=JOINED_S)
    specs = config.apply_to(source.open())
    if trip.boot and source.identity.boot != trip.boot:
        source.close()
        raise _another(log, trip, source.identity.boot)
    named = {spec.name: spec for spec in specs}
    if certificates is None:
        certificates = at_hand(config).of(specs, any_sensor=True)
    correction = Correction(specs, certificates, any_sensor=True)
    aligner = Aligner(sorted(named, key=lambda name: name != TEMPERATURE))
    numbers, wall = NumbersOnly(), WallClock()
    grid = Grid(named, next((s for s in STEPS_S if trip.duration_s / s <= MOST_ROWS), STEPS_S[-1]))
    clips = Clips(trip.events, named)
    slow: dict[str, list[tuple[I64, F64]]] = defaultdict(list)
    begin_ns = end_ns = 0
    seen = False
    try:
        for item in source.items():
            if isinstance(item, TimeMark):
                wall.add(item)
                continue
            if isinstance(item, Block) and len(item):
                begin_ns = min(begin_ns, item.start_ns) if seen else item.start_ns
                end_ns = max(end_ns, item.last_ns) if seen else item.last_ns
                seen = True
            aligner.push(item)
            _take(aligner, numbers, correction, wall, grid, clips, slow)
        _take(aligner, numbers, correction, wall, grid, clips, slow, ended=True)
    finally:
        source.close()
    offset_ns = wall.at(LAST_NS).offset_ns
    return Samples(
        specs=specs,
        step_s=grid.step_ns / NS_PER_S,
        offset_s=offset_ns / NS_PER_S,
        quality=wall.at(LAST_NS).quality,
        span_s=((begin_ns + offset_ns) / NS_PER_S, (end_ns + offset_ns) / NS_PER_S) if seen else None,
        up=config.mount_up(source.identity.mount_up),
        sums=grid.sums(),
        clips=clips.found({c.stream for c in certificates}, wall),
        left_out=clips.left_out,
        certificates=certificates,
        temperatures={
            name: (
                (np.concatenate([t for t, _ in parts]) + offset_ns) / NS_PER_S,
                np.concatenate([v for _, v in parts]),
            )
            for name, parts in slow.items()
        },
        notes=[str(note) for note in source.notes],
    )


def _another(log: Path, trip: Trip, boot: str) -> LogFileError:
    """Return the error of a log whose lines would stand under the events of another."""
    return LogFileError(
        f"reading {log} for the trip in {trip.folder}",
        got=f"another log, or the same under another map: its start is {boot!r}",
        expected=f"the log that was replayed into that folder, whose start is {trip.boot!r}",
        remedy="Name the log and the map of that replay, or replay this log.",
    )


def _take(
    aligner: Aligner,
    numbers: NumbersOnly,
    correction: Correction,
    wall: WallClock,
    grid: Grid,
    clips: Clips,
    slow: dict[str, list[tuple[I64, F64]]],
    *,
    ended: bool = False,
) -> None:
    """Take what the aligner can hand on."""
    aligner.faults()
    for block in aligner.finish() if ended else aligner.take():
        for part in numbers.parts(block):
            corrected = correction.apply(part)
            grid.take(corrected)
            clips.take(corrected, wall, counted=part.values.dtype.kind in "iu")
            spec = grid.specs[part.stream]
            if spec.kind is StreamClass.CLIMATE and spec.unit is Unit.DEGC:
                slow[part.stream].append((corrected.times_ns, corrected.values[:, 0].astype(np.float64)))
    correction.forget_before(aligner.horizon_ns)
    correction.forget_trust_before(aligner.horizon_ns)
