"""What goes up, within the budget.

Alarms, events and gap records always go. Features take what is left: one-second rows travel in
batches of columns, and when the budget is short they wait and are merged to 10 s, to a minute, to ten,
at last to a day, which the record says in ``window_s``. Raw samples stay at home.

Pure like its neighbours: the budget is earned by the samples that were taken and by nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from agent.records import Encoding

Body = dict[str, Any]
M = TypeVar("M")
COARSER = (1, 10, 60, 600, 3600, 21_600, 86_400)
MOST_HELD_ROWS = 1200


class UploadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``budget``: published bytes per raw byte. A batch holds ``batch_s`` rows of one second.

    ``encoding``: how payloads are written; the compact form has its numbers in a third of the bytes.
    """

    budget: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.20
    batch_s: Annotated[int, msgspec.Meta(ge=1, le=600)] = 10
    encoding: Encoding = "json"


@dataclass(frozen=True, slots=True)
class Row(Generic[M]):
    """What `span` windows from window `index` on come to, a stream each."""

    index: int
    span: int
    streams: Mapping[str, M]


class Reduction(Generic[M]):
    """Holds feature rows until they fit.

    `merge` joins the moments of two windows of a stream; `render` makes the body of a record out of
    rows; `price` is the exact number of bytes that a body costs when it is published now.
    """

    def __init__(
        self,
        settings: UploadSettings,
        *,
        merge: Callable[[M, M], M],
        render: Callable[[Sequence[Row[M]], int], Body],
        price: Callable[[Body], int],
    ) -> None:
        self._settings = settings
        self._merge = merge
        self._render = render
        self._price = price
        self._rows: list[Row[M]] = []
        self._held_span = 1
        self._end = 0  # of the newest window
        self._promised_bytes = 0  # of bodies in the same answer, which `spend` will hear of
        self._least_bytes = 0  # what one row at the coarsest cost when that was last looked at
        self.raw_bytes = 0.0
        self.published_bytes = 0

    @property
    def withheld_rows(self) -> int:
        """Rows that wait for the budget."""
        return len(self._rows)

    @property
    def oldest_row(self) -> int | None:
        """Index of the first window that waits."""
        return self._rows[0].index if self._rows else None

    def spend(self, published_bytes: int) -> None:
        """Account for what was published."""
        self.published_bytes += published_bytes

    def add(self, row: Row[M], raw_bytes: float) -> list[Body]:
        """Take the row of a window and what its samples earned; return what is to be published."""
        bodies = []
        self._promised_bytes = 0
        if self._rows and self._batch_of(self._end - 1) != self._batch_of(row.index):
            bodies = self._try_batch(row.index)
        self.raw_bytes += raw_bytes
        self._rows.append(row)
        self._end = row.index + 1
        if self._end % self._settings.batch_s == 0:
            bodies = bodies + self._try_batch(self._end)
        return bodies

    def finish(self) -> list[Body]:
        """Return what still fits; nothing more comes."""
        bodies: list[Body] = []
        self._promised_bytes = 0
        while more := self._try_batch(self._end):  # windows that are whole leave finer ones behind
            bodies += more
        return bodies

    def _batch_of(self, index: int) -> int:
        return index // self._settings.batch_s

    def _try_batch(self, end: int) -> list[Body]:
        """Publish what fits of the windows that are over at `end`; no second is told twice, or ahead of it.

        The first of the longer windows holds only what shorter ones had not told before.
        """
        if not self._rows:
            return []
        spent_bytes = self.published_bytes + self._promised_bytes
        left_bytes = self._settings.budget * self.raw_bytes - spent_bytes
        if left_bytes >= self._least_bytes:
            for span in COARSER:
                if span < self._held_span:
                    continue
                over = end // span * span
                whole = self._merged([row for row in self._rows if row.index < over], span)
                if not whole:
                    break
                body = self._render(whole, span)
                if (price := self._price(body)) <= left_bytes:
                    self._promised_bytes += price
                    self._rows = [row for row in self._rows if row.index >= over]
                    self._held_span = max((row.span for row in self._rows), default=1)
                    self._least_bytes = 0
                    return [body]
                self._least_bytes = self._price(self._render(whole[:1], span))
        if len(self._rows) > MOST_HELD_ROWS:
            self._rows = self._merged(self._rows, self._held_span)
            if len(self._rows) > MOST_HELD_ROWS // 2 and self._held_span < COARSER[-1]:
                self._held_span = next(s for s in COARSER if s > self._held_span)
                self._rows = self._merged(self._rows, self._held_span)
        return []

    def _merged(self, fine: Sequence[Row[M]], span: int) -> list[Row[M]]:
        groups: dict[int, list[Row[M]]] = {}
        for row in fine:
            groups.setdefault(row.index // span, []).append(row)
        return [
            Row(group * span, span, _join([r.streams for r in rows], self._merge))
            for group, rows in groups.items()
        ]


def _join(parts: Sequence[Mapping[str, M]], merge: Callable[[M, M], M]) -> Mapping[str, M]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: functools.reduce(merge, [p[name] for p in parts if name in p]) for name in names}
