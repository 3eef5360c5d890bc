"""What detectors share that decide with a sample: one stream, one event at a time, its end in silence.

An event whose stream says nothing any more is over all the same. That is seen with the next sample, after
the hole, or by time alone; it is decided at the same time either way, and told when time is asked.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np

from agent.blocks import SiBlock
from agent.detection.finding import EventType, Finding
from agent.detection.track import SILENT_NS, Track, silent_ns


class SampleDetector(ABC):
    """Watches one stream. What it finds is `_take`'s; `_cut_off` ends what goes on when the stream stops."""

    def __init__(self, event_type: EventType, stream: str) -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._track = Track(event_type, self.streams)
        self._late: list[Finding] = []
        self._last_ns = 0

    def notes(self) -> Sequence[str]:
        """Nothing to say: it always watches."""
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Samples decide; time alone ends an event whose stream is silent."""
        self._silent(horizon_ns)
        late, self._late = self._late, []
        return late

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; return what they decide."""
        found: list[Finding] = []
        for part in _without_silence(block):
            self._silent(int(part.times_ns[0]))
            found.extend(self._take(part))
            self._last_ns = int(part.times_ns[-1])
        return found

    def _silent(self, now_ns: int) -> None:
        """End the event where nothing has come for too long before `now_ns`."""
        if self._track.active and now_ns >= (decided_ns := silent_ns(self._last_ns)):
            self._late.extend(self._cut_off(decided_ns))

    @abstractmethod
    def _take(self, block: SiBlock) -> Iterable[Finding]:
        """Take samples with no silence among them; return what they decide."""

    @abstractmethod
    def _cut_off(self, decided_ns: int) -> Iterable[Finding]:
        """End the event: nothing came after `_last_ns`, and at `decided_ns` that is too long."""


def _without_silence(block: SiBlock) -> Iterable[SiBlock]:
    """Yield a block in parts with no silence in them; listed times may have one."""
    slack_ns = int(block.times_ns[-1] - block.times_ns[0]) - (len(block) - 1) * block.period_ns
    if slack_ns < SILENT_NS // 2:
        yield block
        return
    holes = np.flatnonzero(np.diff(block.times_ns) >= SILENT_NS) + 1
    for a, b in itertools.pairwise((0, *holes.tolist(), len(block))):
        quality = None if block.quality is None else block.quality[a:b]
        yield SiBlock(
            block.stream, block.first + a, block.times_ns[a:b], block.period_ns, block.values[a:b], quality
        )
