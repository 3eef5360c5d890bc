"""One pass over a log: each stream summed up on a grid of time, and full-rate clips around the incidents.

Samples are corrected as the pipeline does it, so a page shows the figures that the detectors saw. What is
kept is bounded, however long the log: a row a grid step, and so many samples of clips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.alignment import Aligner
from agent.blocks import NS_PER_S, SiBlock
from agent.certificates import at_hand
from agent.config import Config
from agent.correction import TEMPERATURE, Correction, NumbersOnly
from agent.report.trip import Event, Trip
from agent.sources.log_file import open_log
from agent.streams import StreamClass, StreamSpec, Unit
from agent.timebase import TimeMark, WallClock
from calibration.certificate import Certificate

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

STEPS_S = (0.1, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
MOST_ROWS = 18_000
WINDOW_S = 60.0
BEFORE_S, AFTER_S = 1.5, 2.5
BEFORE_SAMPLES = 120  # of a slow stream, so that there is something to see
MOST_CLIP_SAMPLES = 16_000  # of one stream: 5 s at 3.2 kHz
MOST_CLIP_NUMBERS = 1_100_000  # of all clips together; some 1.5 MB of page


@dataclass(slots=True)
class Clip:
    """Samples of a stream around an event, at full rate.

    ``start_s`` since 1970; ``offsets_us``: (n,) from there; ``values``: (n, axes), ``exact``: whole multiples
    of the stream's scale. ``cut``: the event goes on.
    """

    spec: StreamSpec
    start_s: float
    offsets_us: I64
    values: F64
    exact: bool
    cut: bool


@dataclass(slots=True)
class Sums:
    """A stream on a grid of box time: rows that hold samples. Channels: the axes, then their magnitude."""

    spec: StreamSpec
    index: I64
    count: F64
    total: F64
    squares: F64
    low: F64
    high: F64


@dataclass(slots=True)
class Samples:
    """What a log holds for a report. Box time + ``offset_s`` is the time of day in seconds since 1970."""

    specs: tuple[StreamSpec, ...]
    step_s: float
    offset_s: float
    up: tuple[float, float, float] | None
    sums: dict[str, Sums]
    clips: dict[str, list[Clip]]
    left_out: int
    certificates: tuple[Certificate, ...]
    temperatures: dict[str, tuple[F64, F64]]
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Wanted:
    event: Event
    rank: int
    parts: dict[str, list[tuple[I64, F64]]] = field(default_factory=lambda: defaultdict(list))


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
    source = open_log(log, map_path=map_path, window_s=WINDOW_S)
    specs = config.apply_to(source.open())
    named = {spec.name: spec for spec in specs}
    if certificates is None:
        certificates = at_hand(config).of(specs, any_sensor=True)
    correction = Correction(specs, certificates, any_sensor=True)
    aligner = Aligner(sorted(named, key=lambda name: name != TEMPERATURE))
    numbers, wall = NumbersOnly(), WallClock()
    grid = _Grid(named, next((s for s in STEPS_S if trip.duration_s / s <= MOST_ROWS), STEPS_S[-1]))
    clips = _Clips(trip.events, named)
    slow: dict[str, list[tuple[I64, F64]]] = defaultdict(list)
    try:
        for item in source.items():
            if isinstance(item, TimeMark):
                wall.add(item)
                continue
            aligner.push(item)
            _take(aligner, numbers, correction, wall, grid, clips, slow)
        _take(aligner, numbers, correction, wall, grid, clips, slow, ended=True)
    finally:
        source.close()
    offset_ns = wall.at(1 << 62).offset_ns
    found, left_out = clips.found({c.stream for c in certificates}, wall)
    return Samples(
        specs=specs,
        step_s=grid.step_ns / NS_PER_S,
        offset_s=offset_ns / NS_PER_S,
        up=config.mount_up(source.identity.mount_up),
        sums=grid.sums(),
        clips=found,
        left_out=left_out,
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


def _take(
    aligner: Aligner,
    numbers: NumbersOnly,
    correction: Correction,
    wall: WallClock,
    grid: _Grid,
    clips: _Clips,
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


class _Grid:
    """Sums of each stream on a grid of box time."""

    def __init__(self, specs: Mapping[str, StreamSpec], step_s: float) -> None:
        self.specs = specs
        self.step_ns = round(step_s * NS_PER_S)
        self._parts: dict[str, list[tuple[I64, F64]]] = defaultdict(list)

    def take(self, block: SiBlock) -> None:
        """Sum a block up."""
        values = block.values.astype(np.float64)
        if values.shape[1] > 1:
            values = np.column_stack([values, np.sqrt((values**2).sum(axis=1))])
        index = block.times_ns // self.step_ns
        starts = np.flatnonzero(np.concatenate(([True], index[1:] != index[:-1])))
        rows = np.stack(
            [
                np.add.reduceat(values, starts, axis=0),
                np.add.reduceat(values**2, starts, axis=0),
                np.minimum.reduceat(values, starts, axis=0),
                np.maximum.reduceat(values, starts, axis=0),
                np.repeat(np.diff(starts, append=len(index)).astype(np.float64)[:, None], values.shape[1], 1),
            ]
        )
        self._parts[block.stream].append((index[starts], rows))

    def sums(self) -> dict[str, Sums]:
        """Return them; what came in several blocks becomes one row."""
        out: dict[str, Sums] = {}
        for name, parts in self._parts.items():
            index = np.concatenate([part[0] for part in parts])
            rows = np.concatenate([part[1] for part in parts], axis=1)
            order = np.argsort(index, kind="stable")
            index, rows = index[order], rows[:, order]
            at = np.flatnonzero(np.concatenate(([True], index[1:] != index[:-1])))
            out[name] = Sums(
                spec=self.specs[name],
                index=index[at],
                count=np.add.reduceat(rows[4][:, 0], at),
                total=np.add.reduceat(rows[0], at, axis=0),
                squares=np.add.reduceat(rows[1], at, axis=0),
                low=np.minimum.reduceat(rows[2], at, axis=0),
                high=np.maximum.reduceat(rows[3], at, axis=0),
            )
        return out


class _Clips:
    """Collects samples around events, the gravest first while there is room."""

    def __init__(self, events: Sequence[Event], specs: Mapping[str, StreamSpec]) -> None:
        self._specs = specs
        self._wanted: dict[str, list[_Wanted]] = defaultdict(list)
        self._all: list[_Wanted] = []
        self._measured: set[str] = set()
        room = MOST_CLIP_NUMBERS
        motion = [name for name, spec in specs.items() if spec.kind is StreamClass.MOTION]
        self.left_out = 0
        for rank in sorted(range(len(events)), key=lambda i: (-events[i].severity, i)):
            event = events[rank]
            names = [name for name in event.streams if name in specs]
            if any(name in motion for name in names):
                names = list(dict.fromkeys([*motion, *names]))
            need = sum(_samples_of(event, specs[name]) * len(specs[name].axes) for name in names)
            if not names or need > room:
                self.left_out += 1
                continue
            room -= need
            wanted = _Wanted(event, rank)
            self._all.append(wanted)
            for name in names:
                self._wanted[name].append(wanted)

    def take(self, block: SiBlock, wall: WallClock, *, counted: bool) -> None:
        """Keep what of a block lies around an event; `counted`: the sensor gave it in whole numbers."""
        if not counted:
            self._measured.add(block.stream)
        offset_s = wall.at(int(block.times_ns[0])).offset_ns / NS_PER_S
        first_s, last_s = block.times_ns[0] / NS_PER_S + offset_s, block.times_ns[-1] / NS_PER_S + offset_s
        spec = self._specs[block.stream]
        for wanted in self._wanted[block.stream]:
            start_s, end_s = _around(wanted.event, spec)
            if end_s < first_s or start_s > last_s:
                continue
            begin, end = np.searchsorted(
                block.times_ns, [round((t - offset_s) * NS_PER_S) for t in (start_s, end_s)]
            )
            if end > begin:
                wanted.parts[block.stream].append(
                    (block.times_ns[begin:end], block.values[begin:end].astype(np.float64))
                )

    def found(self, certified: set[str], wall: WallClock) -> tuple[dict[str, list[Clip]], int]:
        """Return the clips of each event, by its id, and how many events have none for want of room."""
        out: dict[str, list[Clip]] = {}
        for wanted in self._all:
            clips = []
            for name, parts in wanted.parts.items():
                spec = self._specs[name]
                times_ns = np.concatenate([t for t, _ in parts])[:MOST_CLIP_SAMPLES]
                values = np.concatenate([v for _, v in parts])[:MOST_CLIP_SAMPLES]
                last_s = (int(times_ns[-1]) + wall.at(int(times_ns[-1])).offset_ns) / NS_PER_S
                clips.append(
                    Clip(
                        spec=spec,
                        start_s=(int(times_ns[0]) + wall.at(int(times_ns[0])).offset_ns) / NS_PER_S,
                        offsets_us=(times_ns - times_ns[0]) // 1000,
                        values=values,
                        exact=name not in certified and name not in self._measured,
                        cut=wanted.event.end_s is not None and last_s < wanted.event.end_s - 0.01,
                    )
                )
            if clips:
                out[wanted.event.id] = clips
        return out, self.left_out


def _around(event: Event, spec: StreamSpec) -> tuple[float, float]:
    """Return from when to when samples of a stream are kept for an event."""
    before_s = max(BEFORE_S, BEFORE_SAMPLES / spec.rate_hz)
    end_s = event.end_s if event.end_s is not None else event.start_s
    after_s = max(AFTER_S, BEFORE_SAMPLES / spec.rate_hz)
    most_s = MOST_CLIP_SAMPLES / spec.rate_hz
    start_s = event.start_s - before_s
    return start_s, min(end_s + after_s, start_s + most_s)


def _samples_of(event: Event, spec: StreamSpec) -> int:
    start_s, end_s = _around(event, spec)
    return int((end_s - start_s) * spec.rate_hz) + 1
