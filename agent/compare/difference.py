"""What differs between two runs: one happening each, or a sum over many; the most important ones are kept."""

from __future__ import annotations

import enum
import heapq
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.compare.rules import TIME_KEYS, is_number

MOST_KEPT = 10_000  # differences that are told one by one; the others are counted


class What(enum.StrEnum):
    """What became of it from A to B; in the order of importance."""

    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    APPEARED = "appeared"
    SPLIT = "split"
    MERGED = "merged"
    CHANGED = "changed"
    MOVED = "moved"


ORDER = {what: place for place, what in enumerate(What)}


@dataclass(frozen=True, slots=True)
class Change:
    """One field in A and in B; None: it has none. Times are nanoseconds since 1970."""

    key: str
    a: Any
    b: Any

    @property
    def name(self) -> str:
        """The key without the phase that it stands in."""
        return self.key.rpartition(": ")[2]

    @property
    def is_time(self) -> bool:
        """Whether it is about when, not what."""
        return self.name in TIME_KEYS

    @property
    def delta(self) -> float | None:
        """By how much it grew: times in seconds; None where it is none."""
        if not (is_number(self.a) and is_number(self.b)):
            return None
        try:
            return float((self.b - self.a) / (1e9 if self.is_time else 1.0))
        except OverflowError:
            return None

    @property
    def relative(self) -> float | None:
        """By what part of A it grew."""
        delta = self.delta
        return None if delta is None or self.is_time or not self.a else delta / abs(self.a)

    def as_dict(self) -> dict[str, Any]:
        """Return it for a document."""
        return {"key": self.key, "a": self.a, "b": self.b, "delta": self.delta, "relative": self.relative}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs.

    ``of``: the kind of record, or "head", "summary"; ``name``: event type, column, key. ``at_ns``: where to
    look. ``severity`` 0: has none. ``count``: in how many windows or records; ``among``: of so many.
    """

    what: What
    of: str
    name: str
    at_ns: int | None = None
    end_ns: int | None = None
    severity: int = 0
    alarm: bool = False
    changes: tuple[Change, ...] = ()
    count: int = 1
    among: int = 1
    words: str = ""

    @property
    def rank(self) -> tuple[Any, ...]:
        """What is told first: alarms, then by severity, then what came or went before what changed."""
        of = {"event": 0, "alarm": 0, "gap": 1}.get(self.of, 2)
        at = self.at_ns if self.at_ns is not None else -1
        unread = self.what is not What.UNREADABLE
        return (unread, not self.alarm, of, -self.severity, ORDER[self.what], at, self.name)


@dataclass(slots=True)
class Found:
    """All differences: the first of them whole, by rank, and how many there are of which."""

    counts: Counter[tuple[str, What]] = field(default_factory=Counter)
    _heap: list[tuple[_Backwards, int, Difference]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def add(self, difference: Difference) -> None:
        """Take one."""
        self.counts[difference.of, difference.what] += 1
        entry = _Backwards(difference.rank), -next(self._numbers), difference
        if len(self._heap) < MOST_KEPT:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def left_out(self) -> int:
        """How many are only counted."""
        return len(self) - len(self._heap)

    def in_order(self) -> list[Difference]:
        """Return those that were kept, most important first."""
        return [d for _, _, d in sorted(self._heap, key=lambda entry: (entry[2].rank, -entry[1]))]


class _Backwards:
    """A rank that a heap of the least gives away when it is the greatest."""

    __slots__ = ("rank",)

    def __init__(self, rank: tuple[Any, ...]) -> None:
        self.rank = rank

    def __lt__(self, other: _Backwards) -> bool:
        return other.rank < self.rank
