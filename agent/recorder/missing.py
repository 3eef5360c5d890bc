"""What was measured and not recorded, until a gap record says so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.blocks import Block
from agent.timebase import rfc3339

KIND = "recording"
CARD = "card"
"""It did not take them, or had no room."""
SLOW = "slow"
"""It was slower than the sensors for longer than the queue holds."""
MOST_SPANS = 256
"""Of a stream and reason, until a gap record tells of them; what comes then is told with the last."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Samples `first` to `last` of a stream that are in no recording."""

    stream: str
    first: int
    last: int
    start_ns: int
    end_ns: int
    reason: str

    def body(self, boot: str, offset_ns: int) -> dict[str, Any]:
        """Return the body of the gap record that tells of it."""
        return {
            "kind": KIND,
            "of": boot,
            "stream": self.stream,
            "first": self.first,
            "last": self.last,
            "reason": self.reason,
            "start": rfc3339(self.start_ns + offset_ns),
            "end": rfc3339(self.end_ns + offset_ns),
        }


class MissingBook:
    """Safe across threads: the recorder's notes, the pipeline's asks."""

    def __init__(self) -> None:
        self.samples = 0
        """Over all, in this run."""
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], list[Missed]] = {}

    def add(self, stream: str, first: int, last: int, start_ns: int, end_ns: int, reason: str) -> None:
        """Note samples; what follows at once on what was noted last becomes one with it."""
        with self._lock:
            self.samples += last - first + 1
            spans = self._open.setdefault((stream, reason), [])
            known = spans[-1] if spans else None
            if known is None or (first > known.last + 1 and len(spans) < MOST_SPANS):
                spans.append(Missed(stream, first, last, start_ns, end_ns, reason))
            else:
                spans[-1] = replace(known, last=max(last, known.last), end_ns=max(end_ns, known.end_ns))

    def blocks(self, items: Sequence[object], reason: str) -> None:
        """Note the samples among items."""
        for item in items:
            if isinstance(item, Block):
                self.add(item.stream, item.first, item.end - 1, item.start_ns, item.last_ns, reason)

    def take(self) -> list[Missed]:
        """Return what no record has told of yet, and forget it."""
        with self._lock:
            found, self._open = [span for spans in self._open.values() for span in spans], {}
        return found
