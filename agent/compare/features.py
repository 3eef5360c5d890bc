"""Features of two runs, window by window and column by column.

Windows are the same when they begin together and are equally long. What one run tells in seconds and the
other, short of budget, in windows of a minute, is not compared and said: a root mean square about the mean of
its window cannot be merged to what the longer window would have shown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agent.compare.difference import Change, Difference, What
from agent.compare.happening import HEAD
from agent.compare.rules import Rules
from agent.timebase import wall_ns_of

NS_PER_S = 1_000_000_000
SPECTRUM = "spectrum_db"
OF = "features"
SENT = "told"
NONE = b"{}"
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.decode
_of_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_of_spectra = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]]).decode
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(slots=True)
class Windows:
    """One record of features. ``at``: (n,) which window each row is, counted from the first."""

    start_ns: int
    width_ns: int
    at: tuple[int, ...]
    t_ns: int
    columns: bytes
    spectrum: bytes
    heads: dict[str, Any]
    row: int = 0
    _flat: dict[str, list[Any]] | None = None

    @classmethod
    def read(cls, payload: bytes, rules: Rules) -> Windows:
        """Read a payload. Raises ValueError, KeyError, TypeError or a msgspec.MsgspecError."""
        raw = _decode(payload)
        n = int(_value(raw["n"]))
        at = _value(raw["at"], type=tuple[int, ...]) if "at" in raw else tuple(range(n))
        heads = {
            k: _value(raw[k]) if k in raw else None for k in HEAD if k != "place" and not rules.ignores(k)
        }
        columns, spectrum = bytes(raw.get("columns", b"{}")), bytes(raw.get(SPECTRUM, NONE))
        _of_columns(columns), _of_spectra(spectrum)  # refused with this record, not with a later one
        return cls(
            wall_ns_of(_value(raw["start"], type=str)),
            round(float(_value(raw.get("window_s", b"1"))) * NS_PER_S),
            at,
            wall_ns_of(_value(raw["t"], type=str)),
            columns,
            spectrum,
            heads,
        )

    @property
    def begin_ns(self) -> int:
        """Where the row that is next begins."""
        return self.start_ns + self.at[self.row] * self.width_ns

    @property
    def until_ns(self) -> int:
        """Where the last row ends."""
        return self.start_ns + (self.at[-1] + 1) * self.width_ns if self.at else self.start_ns

    @property
    def flat(self) -> dict[str, list[Any]]:
        """The columns, one name each; an axis behind a dot."""
        if self._flat is None:
            self._flat = dict(_columns(_value(self.columns)))
        return self._flat


def _columns(columns: Any) -> Iterator[tuple[str, list[Any]]]:
    for name, column in columns.items():
        if isinstance(column, Mapping):
            for axis, part in column.items():
                if isinstance(part, list):
                    yield f"{name}.{axis}", part
        elif isinstance(column, list):
            yield name, column


@dataclass(slots=True)
class _Column:
    """How one column differs."""

    compared: int = 0
    unlike: int = 0
    absent: int = 0
    """Windows in which one run has a figure and the other none."""
    first_ns: int | None = None
    worst: tuple[float, int, float | None, float | None] | None = None
    most_relative: float = 0.0

    def take(self, begin_ns: I64, a: list[Any], b: list[Any], key: str, rules: Rules) -> None:
        """Compare some windows."""
        self.compared += len(a)
        if a == b:
            return
        one, other = _floats(a), _floats(b)
        tolerance = rules.of(key)
        limit = tolerance.most * (np.maximum(np.abs(one), np.abs(other)) if tolerance.relative else 1.0)
        apart = np.abs(other - one)
        lone = np.isnan(one) != np.isnan(other)
        bad = lone | (apart > limit)
        if not bad.any():
            return
        self.unlike += int(bad.sum())
        self.absent += int(lone.sum())
        first = int(np.argmax(bad))
        if self.first_ns is None:
            self.first_ns = int(begin_ns[first])
        apart = np.where(bad & ~lone, apart, -1.0)
        worst = int(np.argmax(apart))
        if apart[worst] >= 0:
            if self.worst is None or apart[worst] > self.worst[0]:
                self.worst = float(apart[worst]), int(begin_ns[worst]), float(one[worst]), float(other[worst])
            with np.errstate(divide="ignore", invalid="ignore"):
                relative = np.where(apart >= 0, apart / np.abs(one), 0.0)
            finite = relative[np.isfinite(relative)]
            self.most_relative = max(self.most_relative, float(finite.max(initial=0.0)))


def _floats(values: list[Any]) -> F64:
    return np.array([_float(v) if isinstance(v, int | float) else np.nan for v in values], np.float64)


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:  # JSON knows no greatest number
        return math.copysign(math.inf, value)


@dataclass(slots=True)
class _Stretch:
    """Windows that only one run has, or that differ in width."""

    seconds: float = 0.0
    windows: int = 0
    first_ns: int | None = None
    last_ns: int = 0

    def add(self, begin_ns: int, end_ns: int) -> None:
        """Take one."""
        self.seconds += (end_ns - begin_ns) / NS_PER_S
        self.windows += 1
        self.first_ns = begin_ns if self.first_ns is None else self.first_ns
        self.last_ns = end_ns


@dataclass(slots=True)
class FeatureWatch:
    """Takes records of features of both runs in turn; ``told`` hears of heads that differ."""

    rules: Rules
    told: Callable[[str, Any, Any, int], None]
    windows: int = 0
    _queues: tuple[deque[Windows], deque[Windows]] = field(default_factory=lambda: (deque(), deque()))
    _columns: dict[str, _Column] = field(default_factory=dict)
    _only: tuple[_Stretch, _Stretch] = field(default_factory=lambda: (_Stretch(), _Stretch()))
    _unlike: dict[tuple[float, float], _Stretch] = field(default_factory=dict)
    _lone_columns: dict[tuple[str, int], _Stretch] = field(default_factory=dict)
    _other_spectra: _Stretch = field(default_factory=_Stretch)

    def take(self, side: int, windows: Windows) -> None:
        """Take the next record of A (0) or B (1)."""
        if windows.at:
            self._queues[side].append(windows)
        while self._queues[0] and self._queues[1]:
            self._step(self._queues[0][0], self._queues[1][0])

    def finish(self) -> None:
        """Nothing more comes."""
        for side, queue in enumerate(self._queues):
            for record in queue:
                for row in range(record.row, len(record.at)):
                    begin_ns = record.start_ns + record.at[row] * record.width_ns
                    self._only[side].add(begin_ns, begin_ns + record.width_ns)
            queue.clear()

    def _step(self, a: Windows, b: Windows) -> None:
        if a.row == b.row == 0 and (a.start_ns, a.width_ns, a.at) == (b.start_ns, b.width_ns, b.at):
            self._whole(a, b)
            return
        a_end, b_end = a.begin_ns + a.width_ns, b.begin_ns + b.width_ns
        if a.width_ns == b.width_ns and self.rules.same("start", a.begin_ns, b.begin_ns):
            self._rows(a, a.row, b, b.row, 1)
            if a.row == 0:
                self._same_heads(a, b)
            if (a.spectrum, b.spectrum) != (NONE, NONE) and not self.rules.ignores(SPECTRUM):
                self._other_spectra.add(a.begin_ns, a_end)  # a spectrum is of its whole record
            self._next(0)
            self._next(1)
        elif a.begin_ns < b_end and b.begin_ns < a_end:
            widths = a.width_ns / NS_PER_S, b.width_ns / NS_PER_S
            stretch = self._unlike.setdefault(widths, _Stretch())
            stretch.add(max(a.begin_ns, b.begin_ns), min(a_end, b_end))
            if a_end <= b_end:
                self._next(0)
            if b_end <= a_end:
                self._next(1)
        elif a.begin_ns < b.begin_ns:
            self._only[0].add(a.begin_ns, a_end)
            self._next(0)
        else:
            self._only[1].add(b.begin_ns, b_end)
            self._next(1)

    def _next(self, side: int) -> None:
        queue = self._queues[side]
        queue[0].row += 1
        if queue[0].row >= len(queue[0].at):
            queue.popleft()

    def _same_heads(self, a: Windows, b: Windows) -> None:
        for key, one in a.heads.items():
            if one != b.heads.get(key):
                self.told(key, one, b.heads.get(key), a.start_ns)

    def _whole(self, a: Windows, b: Windows) -> None:
        for queue in self._queues:
            queue.popleft()
        self._same_heads(a, b)
        if a.t_ns != b.t_ns and not self.rules.ignores(SENT) and not self.rules.same(SENT, a.t_ns, b.t_ns):
            column = self._columns.setdefault(SENT, _Column())
            column.compared += 1
            column.unlike += 1
            column.first_ns = a.start_ns if column.first_ns is None else column.first_ns
            late_s = abs(b.t_ns - a.t_ns) / NS_PER_S
            if column.worst is None or late_s > column.worst[0]:
                column.worst = late_s, a.start_ns, 0.0, (b.t_ns - a.t_ns) / NS_PER_S
        if a.columns == b.columns:
            self.windows += len(a.at)
        else:
            self._rows(a, 0, b, 0, len(a.at))
        if a.spectrum != b.spectrum and not self.rules.ignores(SPECTRUM):
            self._spectra(a, b)

    def _rows(self, a: Windows, a_row: int, b: Windows, b_row: int, count: int) -> None:
        self.windows += count
        begin_ns = a.start_ns + np.asarray(a.at[a_row : a_row + count], np.int64) * a.width_ns
        for key in {**a.flat, **b.flat}:
            if self.rules.ignores(key):
                continue
            if key not in a.flat or key not in b.flat:
                stretch = self._lone_columns.setdefault((key, int(key in b.flat)), _Stretch())
                for begin in begin_ns.tolist():
                    stretch.add(begin, begin + a.width_ns)
                continue
            one, other = a.flat[key][a_row : a_row + count], b.flat[key][b_row : b_row + count]
            one, other = (side + [None] * (count - len(side)) for side in (one, other))
            self._columns.setdefault(key, _Column()).take(begin_ns, one, other, key, self.rules)

    def _spectra(self, a: Windows, b: Windows) -> None:
        one, other = _value(a.spectrum), _value(b.spectrum)
        begin_ns = np.array([a.start_ns], np.int64)
        for stream in {**one, **other}:
            for axis in {**one.get(stream, {}), **other.get(stream, {})}:
                key = f"{SPECTRUM}.{stream}.{axis}"
                sides = [side.get(stream, {}).get(axis) for side in (one, other)]
                if all(isinstance(side, list) for side in sides) and len(sides[0]) == len(sides[1]):
                    column = self._columns.setdefault(key, _Column())
                    bands = np.repeat(begin_ns, len(sides[0]))
                    column.take(bands, sides[0], sides[1], key, self.rules)
                elif sides[0] != sides[1]:
                    stretch = self._lone_columns.setdefault((key, int(sides[0] is None)), _Stretch())
                    stretch.add(a.start_ns, a.until_ns)

    def differences(self) -> Iterator[Difference]:
        """Return what differs, after `finish`."""
        for side, stretch in enumerate(self._only):
            if stretch.windows:
                what = What.APPEARED if side else What.VANISHED
                words = (
                    f"{stretch.seconds:g} s in {stretch.windows} windows that {'AB'[1 - side]} does not tell"
                )
                yield _stretch(what, "windows", stretch, words)
        for (a_s, b_s), stretch in sorted(self._unlike.items()):
            words = f"{stretch.seconds:g} s told in windows of {a_s:g} s in A, {b_s:g} s in B: not compared"
            yield _stretch(What.CHANGED, "window_s", stretch, words)
        if self._other_spectra.windows:
            words = f"of records over other stretches, in {self._other_spectra.windows} windows: not compared"
            yield _stretch(What.CHANGED, SPECTRUM, self._other_spectra, words)
        for (key, side), stretch in sorted(self._lone_columns.items()):
            what = What.APPEARED if side else What.VANISHED
            words = f"only in {'AB'[side]}, in {stretch.windows} windows"
            yield _stretch(what, key, stretch, words)
        for key, column in sorted(self._columns.items()):
            if not column.unlike:
                continue
            at_ns = column.first_ns
            changes: tuple[Change, ...] = ()
            if column.worst is not None:
                _, at_ns, one, other = column.worst
                changes = (Change(key, one, other),)
            words = f"a figure in one run only in {column.absent}" if column.absent else ""
            yield Difference(
                What.CHANGED if key != SENT else What.MOVED,
                OF,
                key,
                at_ns,
                changes=changes,
                count=column.unlike,
                among=column.compared if key != SENT else self.windows,
                words=words,
            )


def _stretch(what: What, name: str, stretch: _Stretch, words: str) -> Difference:
    return Difference(
        what,
        OF,
        name,
        stretch.first_ns,
        stretch.last_ns,
        count=stretch.windows,
        among=stretch.windows,
        words=words,
    )
