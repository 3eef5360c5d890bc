"""Gaps: which samples of a stream are missing, from the index that counts every sample a sensor took.

A jump of the index is a gap, told when the stream goes on; a first block that brings a reason says that
those before it are missing. A stream that stays silent is not waited
for: each full minute of silence is told as it passes, so that a sensor that died is not passed over
because it never came back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.blocks import NS_PER_S, Block, Clock, RegularClock

GRID_NS = 60 * NS_PER_S
MARGIN_NS = NS_PER_S  # the clock of a silent stream is a guess; what is told must not exceed what is missing
SILENT = "silent"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples `first` to `last` of a stream are missing, between `start_ns` and `end_ns`.

    ``told_ns``: box time of what made it known.
    """

    stream: str
    first: int
    last: int
    reason: str
    start_ns: int
    end_ns: int
    told_ns: int

    @property
    def samples(self) -> int:
        """How many are missing."""
        return self.last - self.first + 1


@dataclass(slots=True)
class _Lane:
    next_index: int
    last_ns: int
    told_ns: int
    clock: Clock


class GapWatch:
    """Follows the index of every stream. Where blocks are cut, and when it is asked, changes nothing."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}

    def before(self, block: Block) -> list[Gap]:
        """Take the next block of a stream; return the gaps that end where it begins."""
        lane = self._lanes.get(block.stream)
        gaps: list[Gap] = []
        if lane is not None:
            gaps += self._silent(block.stream, lane, block.start_ns, most=block.first)
            if block.first > lane.next_index:
                reason = block.missing_reason or UNKNOWN
                begin_ns, end_ns = max(lane.last_ns, lane.told_ns), block.start_ns
                gaps.append(
                    Gap(block.stream, lane.next_index, block.first - 1, reason, begin_ns, end_ns, end_ns)
                )
        elif block.first > 0 and block.missing_reason:
            begin_ns, end_ns = _before_first_ns(block), block.start_ns
            gaps.append(Gap(block.stream, 0, block.first - 1, block.missing_reason, begin_ns, end_ns, end_ns))
        self._lanes[block.stream] = _Lane(block.end, block.last_ns, block.last_ns, block.clock)
        return gaps

    def silence(self, horizon_ns: int) -> list[Gap]:
        """Every stream is known up to `horizon_ns`; return the minutes in which one said nothing."""
        return [gap for name, lane in self._lanes.items() for gap in self._silent(name, lane, horizon_ns)]

    def finish(self, end_ns: int) -> list[Gap]:
        """The data end at `end_ns`; return what is missing of streams that ended earlier."""
        gaps = self.silence(end_ns)
        for name, lane in self._lanes.items():
            if not isinstance(lane.clock, RegularClock):
                continue
            until_ns = end_ns - max(MARGIN_NS, lane.clock.period_ps // 500)  # two periods
            count = lane.clock.count_before(lane.next_index, until_ns)
            if count and until_ns > lane.told_ns:
                last = lane.next_index + count - 1
                begin_ns = max(lane.last_ns, lane.told_ns)
                gaps.append(Gap(name, lane.next_index, last, SILENT, begin_ns, until_ns, end_ns))
        return gaps

    def _silent(self, name: str, lane: _Lane, until_ns: int, most: int | None = None) -> Iterator[Gap]:
        """Yield a gap for each point of the grid that a regular stream was silent for a minute before."""
        if not isinstance(lane.clock, RegularClock):
            return
        point_ns = -(-(max(lane.told_ns, lane.last_ns) + GRID_NS) // GRID_NS) * GRID_NS
        while point_ns <= until_ns:
            end_ns = point_ns - MARGIN_NS
            upto = lane.next_index + lane.clock.count_before(lane.next_index, end_ns)
            if most is not None:
                upto = min(upto, most)
            if upto > lane.next_index:
                begin_ns = max(lane.last_ns, lane.told_ns)
                yield Gap(name, lane.next_index, upto - 1, SILENT, begin_ns, end_ns, point_ns)
                lane.next_index = upto
            lane.told_ns = end_ns
            point_ns += GRID_NS


def _before_first_ns(block: Block) -> int:
    """Return when sample 0 would have come."""
    if isinstance(block.clock, RegularClock):
        return block.clock.time_ns(0)
    return block.start_ns - block.first * block.period_ns
