"""Both runs in step: the lines of A and B by their own time, so that little of them is held at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.compare.difference import Change, Difference, Found, What
from agent.compare.features import FeatureWatch, Windows
from agent.compare.happening import OF_EVENTS, Folder, Happening
from agent.compare.matching import Lane, Matched, swallowed_by
from agent.compare.rules import Rules
from agent.compare.summaries import summary_differences
from agent.records import publish_size_bytes
from agent.timebase import wall_ns_of

NS_PER_S = 1_000_000_000
LATE_NS = 3600 * NS_PER_S  # how long after its beginning something may first be told
SETTLE_EVERY = 16_384  # lines: each time, all that waits is looked at
FEATURES = "features"
# what a payload without a topic is, by a key of its own
KINDS = {"phase": "event", "columns": FEATURES, "reason": "gap", "troubles": "health"}


class _Line(msgspec.Struct):
    topic: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"")


_line = msgspec.json.Decoder(_Line).decode
_document = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(slots=True)
class Run:
    """One side: lines of records (``{"topic", "qos", "payload"}``, or payloads alone), and its summary."""

    lines: Iterable[bytes]
    summary: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Side:
    """What was read of one run so far. ``bytes``: as MQTT would carry it in JSON."""

    records: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    first_ns: int | None = None
    last_ns: int | None = None

    def saw(self, at_ns: int) -> None:
        """Take a time."""
        self.first_ns = at_ns if self.first_ns is None else min(self.first_ns, at_ns)
        self.last_ns = at_ns if self.last_ns is None else max(self.last_ns, at_ns)


@dataclass(slots=True)
class Comparison:
    """What came of it. ``alike``: happenings that nothing tells apart; ``windows``: compared ones."""

    found: Found
    sides: tuple[Side, Side]
    alike: int = 0
    within: int = 0
    windows: int = 0

    @property
    def equal(self) -> bool:
        """Whether there is nothing to tell."""
        return len(self.found) == 0

    @property
    def first_ns(self) -> int | None:
        """Where the trip begins, as far as its records know."""
        return min((s.first_ns for s in self.sides if s.first_ns is not None), default=None)


def compare(a: Run, b: Run, rules: Rules) -> Comparison:
    """Compare two runs."""
    return _Engine(a, b, rules).run()


class _Engine:
    def __init__(self, a: Run, b: Run, rules: Rules) -> None:
        self._runs = a, b
        self._rules = rules
        self._folders = Folder(rules), Folder(rules)
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._heads: dict[tuple[str, str], _Head] = {}
        self._features = FeatureWatch(rules, self._head)
        self._result = Comparison(Found(), (Side(), Side()))

    def run(self) -> Comparison:
        lines = [enumerate(iter(run.lines), start=1) for run in self._runs]
        clocks: list[int | None] = [-(1 << 62), -(1 << 62)]  # None: that run has ended
        taken = 0
        while open_ := [(clock, side) for side, clock in enumerate(clocks) if clock is not None]:
            clock, side = min(open_)
            entry = next(lines[side], None)
            if entry is None:
                clocks[side] = None
                continue
            at_ns = self._take(side, *entry)
            clocks[side] = clock if at_ns is None else max(clock, at_ns)
            taken += 1
            if taken % SETTLE_EVERY == 0:
                self._settle(min((c for c in clocks if c is not None), default=clock))
        for side, folder in enumerate(self._folders):
            for happening in folder.finish():
                happening.open_until_ns = self._result.sides[side].last_ns
                self._add(side, happening)
        self._settle(None)
        self._features.finish()
        found = self._result.found
        for difference in self._features.differences():
            found.add(difference)
        for (key, _), head in self._heads.items():
            changes = (Change(key, head.a, head.b),)
            found.add(Difference(What.CHANGED, "head", key, head.at_ns, changes=changes, count=head.count))
        for difference in summary_differences(self._runs[0].summary, self._runs[1].summary, self._rules):
            found.add(difference)
        self._result.windows = self._features.windows
        return self._result

    def _take(self, side: int, number: int, line: bytes) -> int | None:
        """Take a line of a run; return its time."""
        if not line.strip():
            return None
        try:
            return self._read(side, line)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
            words = f"line {number} of {'AB'[side]} is no record: {error}"
            self._result.found.add(Difference(What.UNREADABLE, "line", f"line {number}", words=words))
            return None

    def _read(self, side: int, line: bytes) -> int:
        told = _line(line)
        payload = bytes(told.payload) or line.strip()
        place, _, kind = told.topic.rpartition("/")
        body: dict[str, Any] = {}
        if not kind or kind != FEATURES:
            body = _document(payload)
            kind = kind or next((k for key, k in KINDS.items() if key in body), "record")
        seen = self._result.sides[side]
        if self._rules.ignores(kind):
            return seen.last_ns or 0
        if kind == FEATURES:
            windows = Windows.read(payload, self._rules)
            if not self._rules.ignores("place"):
                windows.heads["place"] = place
            self._features.take(side, windows)
            at_ns, begin_ns = windows.t_ns, windows.start_ns
        else:
            at_ns = begin_ns = wall_ns_of(body["t"])
            if isinstance(start := body.get("start"), str):
                begin_ns = min(at_ns, wall_ns_of(start))
            for happening in self._folders[side].take(kind, {**body, "place": place}):
                self._add(side, happening)
        seen.records[kind] += 1
        seen.bytes += publish_size_bytes(told.topic, payload)
        seen.saw(begin_ns)
        seen.saw(at_ns)
        return at_ns

    def _add(self, side: int, happening: Happening) -> None:
        if self._rules.ignores(happening.name) or self._rules.ignores(happening.of):
            return
        if happening.of in OF_EVENTS:
            self._result.sides[side].events[happening.name] += 1
        lane = self._lanes.get(happening.group)
        if lane is None:
            lane = self._lanes[happening.group] = Lane(self._rules.window_s)
        lane.add(side, happening)

    def _settle(self, now_ns: int | None) -> None:
        horizon_ns = None
        if now_ns is not None:
            open_ns = [folder.oldest_open_ns() for folder in self._folders]
            horizon_ns = min(now_ns - LATE_NS, *(ns for ns in open_ns if ns is not None), now_ns)
        for lane in self._lanes.values():
            for matched in lane.settle(horizon_ns):
                self._tell(matched)

    def _tell(self, matched: Matched) -> None:
        self._result.alike += len(matched.alike)
        for a, b in (*matched.alike, *matched.pairs):
            for key in a.heads.keys() | b.heads.keys():
                if a.heads.get(key) != b.heads.get(key):
                    self._head(key, a.heads.get(key), b.heads.get(key), a.start_ns)
        swallowed: dict[int, What] = {}
        for side, left in enumerate((matched.only_a, matched.only_b)):
            for one in left:
                pair = swallowed_by(one, matched.pairs, side)
                if pair is not None:
                    swallowed[id(one)] = What.SPLIT if side else What.MERGED
                self._one(one, swallowed.get(id(one), What.APPEARED if side else What.VANISHED))
        for a, b in matched.pairs:
            self._pair(a, b)

    def _one(self, one: Happening, what: What) -> None:
        changes = tuple(
            Change(key, *((value, None) if what in (What.VANISHED, What.MERGED) else (None, value)))
            for key, value in one.fields.items()
            if ": " not in key
        )
        self._result.found.add(
            Difference(
                what, one.of, one.name, one.start_ns, one.end_ns, one.severity, one.alarm, changes,
                count=one.records, among=one.records,
            )
        )  # fmt: skip

    def _pair(self, a: Happening, b: Happening) -> None:
        changes = list(_changes(a, b, self._rules))
        if not changes:
            self._result.within += 1
            return
        what = What.MOVED if all(change.is_time for change in changes) else What.CHANGED
        self._result.found.add(
            Difference(
                what, a.of, a.name, a.start_ns, a.end_ns, max(a.severity, b.severity), a.alarm or b.alarm,
                tuple(changes),
            )
        )  # fmt: skip

    def _head(self, key: str, a: Any, b: Any, at_ns: int) -> None:
        name = key, f"{a!r} {b!r}"
        head = self._heads.setdefault(name, _Head(a, b, at_ns))
        head.count += 1
        head.at_ns = min(head.at_ns, at_ns)


@dataclass(slots=True)
class _Head:
    a: Any
    b: Any
    at_ns: int
    count: int = 0


def _changes(a: Happening, b: Happening, rules: Rules) -> Iterator[Change]:
    for key, one, other in (("start", a.start_ns, b.start_ns), ("end", a.end_ns, b.end_ns)):
        if not rules.ignores(key) and not rules.same(key, one, other):
            yield Change(key, one, other)
    for key in {**a.fields, **b.fields}:
        change = Change(key, a.fields.get(key), b.fields.get(key))
        if not rules.same(change.name, change.a, change.b) or (key in a.fields) != (key in b.fields):
            yield change
