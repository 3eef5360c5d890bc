"""Samples around incidents at full rate: the gravest first, within a bound for all of them together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, SiBlock
from agent.report.trip import Event
from agent.streams import StreamClass, StreamSpec
from agent.timebase import WallClock

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

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
class _Wanted:
    event: Event
    parts: dict[str, list[tuple[I64, F64]]] = field(default_factory=lambda: defaultdict(list))


@dataclass(slots=True)
class _Lane:
    """What is wanted of one stream: from when to when, and for which event."""

    wanted: list[_Wanted] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)


class Clips:
    """Collects samples around events, the gravest first while there is room."""

    def __init__(self, events: Sequence[Event], specs: Mapping[str, StreamSpec]) -> None:
        self._specs = specs
        self._all: list[_Wanted] = []
        self._measured: set[str] = set()
        self._lanes: dict[str, _Lane] = defaultdict(_Lane)
        room = MOST_CLIP_NUMBERS
        motion = [name for name, spec in specs.items() if spec.kind is StreamClass.MOTION]
        self.left_out = 0
        for rank in sorted(range(len(events)), key=lambda i: (-events[i].severity, i)):
            event = events[rank]
            names = [name for name in event.streams if name in specs]
            if any(name in motion for name in names):
                names = list(dict.fromkeys([*motion, *names]))
            spans = {name: _around(event, specs[name]) for name in names}
            need = sum(_samples_of(spans[name], specs[name]) * len(specs[name].axes) for name in names)
            if not names or need > room:
                self.left_out += 1
                continue
            room -= need
            wanted = _Wanted(event)
            self._all.append(wanted)
            for name, (start_s, end_s) in spans.items():
                lane = self._lanes[name]
                lane.wanted.append(wanted)
                lane.starts_s.append(start_s)
                lane.ends_s.append(end_s)
        self._edges = {
            name: (np.array(lane.starts_s), np.array(lane.ends_s)) for name, lane in self._lanes.items()
        }

    def take(self, block: SiBlock, wall: WallClock, *, counted: bool) -> None:
        """Keep what of a block lies around an event; `counted`: the sensor gave it in whole numbers."""
        if not counted:
            self._measured.add(block.stream)
        if block.stream not in self._edges:
            return
        starts_s, ends_s = self._edges[block.stream]
        for begin, end, offset_ns in _spans(block.times_ns, wall):
            times_ns, values = block.times_ns[begin:end], block.values[begin:end]
            offset_s = offset_ns / NS_PER_S
            first_s, last_s = times_ns[0] / NS_PER_S + offset_s, times_ns[-1] / NS_PER_S + offset_s
            for at in np.flatnonzero((ends_s >= first_s) & (starts_s <= last_s)).tolist():
                edges = [round((float(t[at]) - offset_s) * NS_PER_S) for t in (starts_s, ends_s)]
                low, high = np.searchsorted(times_ns, edges).tolist()
                if high > low:  # copied: a view would keep the whole block
                    part = times_ns[low:high].copy(), values[low:high].astype(np.float64)
                    self._lanes[block.stream].wanted[at].parts[block.stream].append(part)

    def found(self, certified: set[str], wall: WallClock) -> dict[str, list[Clip]]:
        """Return the clips of each event, by its id."""
        out: dict[str, list[Clip]] = {}
        for wanted in self._all:
            clips = []
            for name, parts in wanted.parts.items():
                times_ns = np.concatenate([t for t, _ in parts])[:MOST_CLIP_SAMPLES]
                values = np.concatenate([v for _, v in parts])[:MOST_CLIP_SAMPLES]
                last_s = (int(times_ns[-1]) + wall.at(int(times_ns[-1])).offset_ns) / NS_PER_S
                clips.append(
                    Clip(
                        spec=self._specs[name],
                        start_s=(int(times_ns[0]) + wall.at(int(times_ns[0])).offset_ns) / NS_PER_S,
                        offsets_us=(times_ns - times_ns[0]) // 1000,
                        values=values,
                        exact=name not in certified and name not in self._measured,
                        cut=wanted.event.end_s is not None and last_s < wanted.event.end_s - 0.01,
                    )
                )
            wanted.parts.clear()
            if clips:
                out[wanted.event.id] = clips
        return out


def _spans(times_ns: I64, wall: WallClock) -> Iterator[tuple[int, int, int]]:
    """Yield from where to where a block has the same offset to the time of day, and which."""
    begin, count = 0, len(times_ns)
    while begin < count:
        offset_ns = wall.at(int(times_ns[begin])).offset_ns
        low, high = begin, count - 1  # the last with this offset is among them
        while low < high:
            middle = (low + high + 1) // 2
            if wall.at(int(times_ns[middle])).offset_ns == offset_ns:
                low = middle
            else:
                high = middle - 1
        yield begin, low + 1, offset_ns
        begin = low + 1


def _around(event: Event, spec: StreamSpec) -> tuple[float, float]:
    """Return from when to when samples of a stream are kept for an event."""
    before_s = max(BEFORE_S, BEFORE_SAMPLES / spec.rate_hz)
    end_s = event.end_s if event.end_s is not None else event.start_s
    after_s = max(AFTER_S, BEFORE_SAMPLES / spec.rate_hz)
    most_s = MOST_CLIP_SAMPLES / spec.rate_hz
    start_s = event.start_s - before_s
    return start_s, min(end_s + after_s, start_s + most_s)


def _samples_of(span: tuple[float, float], spec: StreamSpec) -> int:
    return int((span[1] - span[0]) * spec.rate_hz) + 1
