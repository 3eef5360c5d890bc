"""What goes up, within the budget: a promise that holds over every hour, not on the whole.

Alarms, events and gap records always go. Features take what is left, in batches of one-second rows; when that
is short they wait, and are merged to windows of 10 s, a minute, ten, at last a day, which the record says in
``window_s``. Raw samples stay at home, but for snippets, which take what features leave.

Two limits, both looking back over the hour up to the record:

* all that was published stays within the budget: so features pay back what events overspent;
  Of that a part is kept free for the next events, as long as features do not wait for too long: then it
  counts what events already took of it in this hour, and at the end of a log nothing is kept any more;
* a record of features is paid by what was taken since the one before it, and by what that one left over, less
  a part, the reserve, which is kept for events that may still come. What a quiet time saves is gone: it makes
  no later hour dearer, nor one in which the sensors slow down. (When the log ends there is none.)

A snippet goes when the hour bears it and beside it whatever features that wait may ask for, the next two
events, and as much again as the events of this hour took. All snippets of an hour take half of its budget at
most.

Pure like its neighbours: earned by the samples that were taken and by nothing else.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Generic, Literal, Protocol, Self, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

COARSER = (1, 10, 60, 600, 3600, 21_600, 86_400)
MOST_HELD_ROWS = 1200
HOUR_S = 3600
SOON_BYTES = 2500  # the next two events, which may come before the next samples have paid for them
SOON_PART = 0.5  # of the budget, at most
OVERDUE_S = 1800  # rows that waited for so long leave to events only what these did not take already
SNIPPETS_PART = 0.5
HOPELESS = 2.0  # a record that by its rows would be so many times too dear is not written to be weighed


class UploadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``budget``: published bytes per raw byte, over every hour. A batch holds ``batch_s`` rows of a second.

    ``reserve``: the part of the budget that features leave to alarms and events.
    ``encoding``: how payloads are written; ``auto`` is JSON, and MessagePack, a third as long, for events and
    gaps that are no alarms and that the budget would not bear in JSON.
    """

    budget: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.20
    reserve: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    batch_s: Annotated[int, msgspec.Meta(ge=1, le=600)] = 10
    encoding: Literal["auto", "json", "msgpack"] = "auto"


class Rows(Protocol):
    """Windows of a second or more, each beginning at the second ``index``: `agent.features.table.Table`."""

    @property
    def index(self) -> npt.NDArray[np.int64]:
        """(m,), rising."""

    def __len__(self) -> int:
        """How many there are."""

    def merged(self, span: int) -> Self:
        """Return windows of `span` seconds in place of finer ones."""

    def before(self, index: int) -> Self:
        """Return those that begin before."""

    def after(self, index: int) -> Self:
        """Return the others."""


class Draft(Protocol):
    """A record that is written and not yet published."""

    @property
    def published_bytes(self) -> int:
        """What MQTT would carry for it."""


R = TypeVar("R", bound=Rows)
D = TypeVar("D", bound=Draft)


class Batches(Generic[R]):
    """Collects rows of one second until the batch that they belong to is over."""

    def __init__(self, batch_s: int, join: Callable[[Sequence[R]], R]) -> None:
        self._batch_s = batch_s
        self._join = join
        self._open: list[R] = []

    def add(self, rows: R) -> None:
        """Take the next rows."""
        self._open.append(rows)

    def take(self, limit: int) -> list[tuple[int, R]]:
        """Return the batches with rows that are over at second `limit`: the second after it, and its rows."""
        out: list[tuple[int, R]] = []
        if not self._open or (int(self._open[0].index[0]) // self._batch_s + 1) * self._batch_s > limit:
            return out
        rows = self._join(self._open)
        while len(rows):
            end = (int(rows.index[0]) // self._batch_s + 1) * self._batch_s
            if end > limit:
                break
            out.append((end, rows.before(end)))
            rows = rows.after(end)
        self._open = [rows] if len(rows) else []
        return out

    def rest(self) -> tuple[int, R] | None:
        """Return what there is of a batch that will not end: the second after its last row, and its rows."""
        if not self._open:
            return None
        rows = self._join(self._open)
        self._open = []
        return int(rows.index[-1]) + 1, rows


class Reduction(Generic[R, D]):
    """Holds feature rows until they fit.

    `draft` writes the record of rows of a span; `join` puts rows one after the other.
    """

    def __init__(
        self,
        settings: UploadSettings,
        *,
        draft: Callable[[R, int], D],
        join: Callable[[Sequence[R]], R],
    ) -> None:
        self._draft = draft
        self._join = join
        self._ledger = _Ledger(settings)
        self._rows: R | None = None
        self._held_span = 1
        self._cost: dict[int, tuple[int, int]] = {}  # by span: how many rows the last draft had, its bytes

    @property
    def withheld_rows(self) -> int:
        """Rows that wait for the budget."""
        return 0 if self._rows is None else len(self._rows)

    @property
    def oldest_row(self) -> int | None:
        """Index of the first window that waits."""
        return None if self._rows is None else int(self._rows.index[0])

    def spend(self, published_bytes: int, second: int) -> None:
        """Account for an alarm, an event or a gap that was published in this second of box time."""
        self._ledger.spend(published_bytes, second)

    def bears(self, published_bytes: int, second: int) -> bool:
        """Return whether the hour up to this second bears so much more, and alarms that come soon after it.

        What the samples of a batch earn counts from its end on; nothing is refused before the first.
        """
        return self._ledger.bears(published_bytes, second)

    def takes_snippet(self, published_bytes: int, second: int, *, ended: bool = False) -> bool:
        """Return whether a snippet fits behind the features at this second, and account for it if so.

        `ended`: nothing comes after it, for which something would have to be left.
        """
        return self._ledger.spend_on_snippet(published_bytes, second, ended=ended)

    def add(self, rows: R, raw_bytes: npt.NDArray[np.float64], end: int) -> D | None:
        """Take the rows of a batch that is over at second `end`, and what the samples of each earned.

        Returns the record that is to be published now, if one fits.
        """
        self._take(rows, raw_bytes)
        if end % self._held_span == 0:
            overdue = self._rows is not None and end - int(self._rows.index[0]) >= OVERDUE_S
            keep = _Keep.WHAT_IS_LEFT if overdue else _Keep.SOON
            for span in COARSER:
                if span < self._held_span or end % span:
                    continue
                if draft := self._fitting(span, end, end, keep):
                    self._rows, self._held_span = None, 1
                    return draft
        self._thin_out()
        return None

    def finish(self, rest: tuple[int, R] | None, raw_bytes: npt.NDArray[np.float64]) -> Iterator[D]:
        """Nothing more comes than the `rest`: give what still fits; publish one before the next is asked for.

        The first of the longer windows holds only what shorter ones had not told before.
        """
        if rest is not None:
            self._take(rest[1], raw_bytes)
        end = int(self._rows.index[-1]) + self._held_span if self._rows is not None else 0
        while self._rows is not None:
            for span in COARSER:
                over = end // span * span
                if span >= self._held_span and (draft := self._fitting(span, over, end, _Keep.NOTHING)):
                    left = self._rows.after(over)
                    self._rows, self._held_span = (left, 1) if len(left) else (None, 1)
                    yield draft
                    break
            else:
                return

    def _take(self, rows: R, raw_bytes: npt.NDArray[np.float64]) -> None:
        for index, earned in zip(rows.index.tolist(), raw_bytes.tolist(), strict=True):
            self._ledger.earn(earned, index)
        self._rows = rows if self._rows is None else self._join([self._rows, rows])

    def _fitting(self, span: int, over: int, end: int, keep: _Keep) -> D | None:
        """Return the record of the windows of `span` that are over, if it may be published at `end`."""
        if self._rows is None or not len(rows := self._rows.before(over).merged(span)):
            return None
        room_bytes = self._ledger.room_bytes(end, keep)
        if room_bytes <= 0 or self._least_bytes(span, len(rows)) > HOPELESS * room_bytes:
            return None
        draft = self._draft(rows, span)
        self._cost[span] = len(rows), draft.published_bytes
        if draft.published_bytes > room_bytes:
            return None
        self._ledger.spend_on_features(draft.published_bytes, end)
        return draft

    def _least_bytes(self, span: int, rows: int) -> float:
        """Guess what a record costs, to write none in vain: no more than by the last of this span it does.

        Fewer rows cost at least their part, for the head does not shrink; more rows at least as much.
        """
        told, published_bytes = self._cost.get(span, (1, 0))
        return published_bytes * min(1.0, rows / told)

    def _thin_out(self) -> None:
        if self._rows is None or len(self._rows) <= MOST_HELD_ROWS:
            return
        self._rows = self._rows.merged(self._held_span)
        if len(self._rows) > MOST_HELD_ROWS // 2 and self._held_span < COARSER[-1]:
            self._held_span = next(s for s in COARSER if s > self._held_span)
            self._rows = self._rows.merged(self._held_span)


class _Keep(enum.Enum):
    """What features leave free for events that may come before more samples do."""

    SOON = enum.auto()
    WHAT_IS_LEFT = enum.auto()  # of that, after the events of this hour
    NOTHING = enum.auto()


class _Hour:
    """A sum over the last hour."""

    def __init__(self) -> None:
        self._entries: deque[list[float]] = deque()
        self.total = 0.0

    def add(self, value: float, second: int) -> None:
        entries = self._entries
        if entries and entries[-1][0] >= second:
            entries[-1][1] += value
        else:
            entries.append([second, value])
        self.total += value

    def forget_before(self, second: int) -> None:
        entries = self._entries
        while entries and entries[0][0] < second:
            self.total -= entries.popleft()[1]
        if not entries:
            self.total = 0.0


class _Ledger:
    """What was earned and spent in the last hour."""

    def __init__(self, settings: UploadSettings) -> None:
        self._all = settings.budget
        self._features = settings.budget * (1 - settings.reserve)
        self._raw, self._out, self._events, self._snippets = _Hour(), _Hour(), _Hour(), _Hour()
        self._has_earned = False
        self._backing_bytes = 0.0  # raw, since features were published last
        self._backed_bytes = 0.0  # of features, published now
        self._left_bytes = 0.0  # of what paid for the last ones: for a last second that is not whole, say

    def earn(self, raw_bytes: float, second: int) -> None:
        """Samples of the second that begins at `second` were taken."""
        if self._backed_bytes:
            self._left_bytes = max(0.0, self._features * self._backing_bytes - self._backed_bytes)
            self._backing_bytes = self._backed_bytes = 0.0
        self._backing_bytes += raw_bytes
        self._raw.add(raw_bytes, second)
        self._has_earned = True

    def spend(self, published_bytes: int, second: int) -> None:
        self._out.add(published_bytes, second)
        self._events.add(published_bytes, second)

    def bears(self, published_bytes: int, second: int) -> bool:
        self._forget_before(second - HOUR_S)
        return not self._has_earned or published_bytes <= self._free_bytes() - self._soon_bytes()

    def spend_on_features(self, published_bytes: int, end: int) -> None:
        self._out.add(published_bytes, end)
        self._backed_bytes += published_bytes

    def room_bytes(self, end: int, keep: _Keep) -> float:
        """Return how much features may publish at second `end`."""
        self._forget_before(end - HOUR_S)
        if keep is _Keep.NOTHING:  # no later hour has to be thought of
            return self._free_bytes()
        soon_bytes = self._soon_bytes()
        if keep is _Keep.WHAT_IS_LEFT:
            soon_bytes = max(0.0, soon_bytes - self._events.total)
        return min(
            self._free_bytes() - soon_bytes,
            self._features * self._backing_bytes + self._left_bytes - self._backed_bytes,
        )

    def spend_on_snippet(self, published_bytes: int, end: int, *, ended: bool) -> bool:
        """Account for a snippet if there is room for it at second `end`."""
        self._forget_before(end - HOUR_S)
        room_bytes = self._free_bytes()
        if not ended:
            owed_bytes = self._features * self._backing_bytes + self._left_bytes - self._backed_bytes
            room_bytes -= self._soon_bytes() + self._events.total + max(0.0, owed_bytes)
            room_bytes = min(room_bytes, SNIPPETS_PART * self._all * self._raw.total - self._snippets.total)
        if published_bytes > room_bytes:
            return False
        self._out.add(published_bytes, end)
        self._snippets.add(published_bytes, end)
        return True

    def _free_bytes(self) -> float:
        return self._all * self._raw.total - self._out.total

    def _soon_bytes(self) -> float:
        return min(SOON_BYTES, SOON_PART * self._all * self._raw.total)

    def _forget_before(self, second: int) -> None:
        for hour in (self._raw, self._out, self._events, self._snippets):
            hour.forget_before(second)
