"""What the agent said of one trip: its events, gaps, features and figures, read from a replay's folder."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import UsageError
from agent.records import Kind, decode, packed, publish_size_bytes
from agent.replay.runner import RECORDS_FILE, SUMMARY_FILE
from agent.report.documents import OfTrip, read_document, unreadable
from agent.timebase import TimeQuality, wall_ns_of

NS_PER_S = 1e9
TRUSTED = "trusted"
UNSET = TimeQuality.UNSET.value
Document = Mapping[str, Any]


@dataclass(slots=True)
class Event:
    """One event, of all that was said of it. Times in seconds since 1970; ``end_s`` None: not over."""

    id: str
    type: str
    start_s: float
    end_s: float | None
    severity: int
    values: dict[str, Any]
    streams: tuple[str, ...]
    context: str
    trust: str
    alarm: bool


@dataclass(frozen=True, slots=True)
class MissingSamples:
    """Samples of a stream that never came."""

    stream: str
    samples: int
    reason: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class Trip:
    """A trip as its records tell it. ``sent``: records and bytes by kind, as JSON but for snippets.

    ``last_s``: when it ended, where that is known; ``within_s``: how well begin and end are known.
    ``trust``: how many records could be trusted how far; ``doubted_s``: since when not all of them.
    """

    folder: Path
    summary: Document
    box: str = ""
    boot: str = ""
    software: str = ""
    start_s: float = 0.0
    last_s: float | None = None
    within_s: float = 0.0
    events: list[Event] = field(default_factory=list)
    gaps: list[MissingSamples] = field(default_factory=list)
    sent: dict[str, tuple[int, int]] = field(default_factory=dict)
    certificates: Counter[str] = field(default_factory=Counter)
    trust: Counter[str] = field(default_factory=Counter)
    doubted_s: float | None = None
    qualities: Counter[str] = field(default_factory=Counter)

    @property
    def duration_s(self) -> float:
        """From the first sample to the last."""
        return float(self.summary.get("duration_s", 0.0))

    @property
    def end_s(self) -> float:
        """When it ended."""
        return self.start_s + self.duration_s if self.last_s is None else self.last_s

    @property
    def worst(self) -> int:
        """The gravest severity; 0 where nothing happened."""
        return max((event.severity for event in self.events), default=0)

    @property
    def has_dates(self) -> bool:
        """Whether the clock is known to have been set: else times are only right among each other."""
        return bool(set(self.qualities) - {UNSET})


def is_trip(folder: Path) -> bool:
    """Return whether a folder holds what a replay writes."""
    return (folder / SUMMARY_FILE).is_file() and (folder / RECORDS_FILE).is_file()


def read_trip(folder: Path) -> Trip:
    """Read a folder that `replay` wrote. Raises UsageError where it is none, LogFileError."""
    if not is_trip(folder):
        raise UsageError(
            f"reading the trip in {folder}",
            got=f"no {RECORDS_FILE} and {SUMMARY_FILE} there" if folder.is_dir() else "no such folder",
            expected="a folder that `cargobox replay LOG --out DIR` wrote",
            remedy="Replay the log first, or correct the path.",
        )
    trip = Trip(folder, read_document(folder / SUMMARY_FILE, OfTrip))
    with none_of_ours(folder):
        _take_all(trip, folder / RECORDS_FILE)
    trip.box = trip.box or str(trip.summary.get("box") or "")
    trip.boot = trip.boot or str(trip.summary.get("boot") or "")
    trip.software = str(trip.summary.get("software") or trip.software)
    trip.events.sort(key=lambda event: event.start_s)
    return trip


@contextlib.contextmanager
def none_of_ours(folder: Path) -> Iterator[None]:
    """Turn what goes wrong with a record that is not as ours are into a LogFileError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        why = f"no {error.args[0]!r}" if isinstance(error, KeyError) and error.args else str(error)
        raise unreadable(folder / RECORDS_FILE, f"a record that is none of ours: {why}") from error


def features_of(trip: Trip) -> Iterator[Document]:
    """Yield the feature records of a trip, read once more: of a day they are too many to keep."""
    for topic, payload in _lines(trip.folder / RECORDS_FILE):
        if topic.endswith(f"/{Kind.FEATURES}"):
            yield decode(payload)


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                parts = _DECODER.decode(line)
                yield parts.topic, bytes(parts.payload)


class _Line(msgspec.Struct):
    topic: str
    payload: msgspec.Raw


_DECODER = msgspec.json.Decoder(_Line)


def _take_all(trip: Trip, path: Path) -> None:
    events: dict[str, Event] = {}
    count: Counter[str] = Counter()
    size_bytes: Counter[str] = Counter()
    first_s: float | None = None
    known_s = -math.inf  # there were samples then
    for topic, payload in _lines(path):
        kind = topic.rsplit("/", 1)[-1]
        said = decode(payload)
        count[kind] += 1
        wire = packed(payload) if kind == Kind.SNIPPET else payload
        size_bytes[kind] += publish_size_bytes(topic, wire)
        trip.box, trip.boot = str(said.get("box", "")), str(said.get("boot", ""))
        trip.software = str(said.get("sw", ""))
        trip.qualities[str(said.get("tq", ""))] += 1
        time_s = seconds_of(said["t"])
        if "trust" in said:
            trip.trust[state := str(said["trust"])] += 1
            if state != TRUSTED and trip.doubted_s is None:
                trip.doubted_s = time_s
        if (certificate := str(said.get("cal", "none"))) != "none":
            trip.certificates[certificate] += 1
        began_s, within_s = time_s, 0.0
        if kind in {Kind.ALARM, Kind.EVENT}:
            _take_event(events, said, alarm=kind == Kind.ALARM)
            began_s = seconds_of(said["start"])
            known_s = max(known_s, began_s)
        elif kind == Kind.GAP and "stream" in said:
            gap = MissingSamples(
                str(said["stream"]),
                int(said["last"]) - int(said["first"]) + 1,
                str(said["reason"]),
                seconds_of(said["start"]),
                seconds_of(said["end"]),
            )
            trip.gaps.append(gap)
            began_s = gap.start_s
        elif kind == Kind.FEATURES:
            began_s, within_s = seconds_of(said["start"]), float(said["window_s"])
        if first_s is None or began_s < first_s:
            first_s, trip.within_s = began_s, within_s
    trip.events = list(events.values())
    trip.sent = {kind: (count[kind], size_bytes[kind]) for kind in count}
    if first_s is not None:
        # windows begin at whole multiples of themselves, before the first sample
        trip.start_s = min(max(first_s, known_s - trip.duration_s), first_s + trip.within_s)


def _take_event(events: dict[str, Event], said: Document, *, alarm: bool) -> None:
    """Put what one phase says to what is known of the event."""
    name = str(said["id"])
    end_s = None if said["end"] is None else seconds_of(said["end"])
    values, severity = dict(said["values"]), int(said["severity"])
    if name not in events:
        events[name] = Event(
            id=name,
            type=str(said["type"]),
            start_s=seconds_of(said["start"]),
            end_s=end_s,
            severity=severity,
            values=values,
            streams=tuple(str(stream) for stream in said["streams"]),
            context=str(said.get("context", "unknown")),
            trust=str(said.get("trust", "")),
            alarm=alarm,
        )
        return
    event = events[name]
    event.severity = max(event.severity, severity)
    event.values.update(values)
    event.end_s = end_s
    event.alarm = event.alarm or alarm


def seconds_of(time: str) -> float:
    """Return the seconds since 1970 of a time of ours. Raises ValueError."""
    return wall_ns_of(time) / NS_PER_S
