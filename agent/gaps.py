"""Gaps: which samples of a stream are missing, from the index that counts every sample a sensor took.

A jump of the index is a gap, told when the stream goes on; a first block that brings a reason says that
those before it are missing. A stream that stays silent is not waited
for: each full minute of silence is told as it passes, so that a sensor that died is not passed over
because it never came back. Where the source has said what is wrong with the sensor, that is the reason; and
a stream whose sensor failed before its first sample is counted from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.blocks import NS_PER_S, Block, Clock, FaultKind, FaultPhase, RegularClock, SensorFault

GRID_NS = 60 * NS_PER_S
MARGIN_NS = NS_PER_S  # the clock of a silent stream is a guess; what is told must not exceed what is missing
SILENT = "silent"
UNKNOWN = "unknown"
REMEMBERED_NS = 3600 * NS_PER_S  # what is told now began at most some minutes ago


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


@dataclass(slots=True)
class _Trouble:
    """What has been wrong with one stream, and when."""

    first_ns: int
    open: dict[tuple[str, tuple[str, ...]], FaultKind] = field(default_factory=dict)
    turns: list[tuple[int, str]] = field(default_factory=list)
    """From this time on, this was the reason; "" for none."""

    def take(self, at_ns: int, fault: SensorFault) -> None:
        key = fault.sensor, fault.streams
        self.open.pop(key, None)
        if fault.phase is not FaultPhase.END:
            self.open[key] = fault.kind
        self.turns.append((at_ns, next(reversed(self.open.values())).value if self.open else ""))
        while len(self.turns) > 1 and self.turns[1][0] < at_ns - REMEMBERED_NS:
            del self.turns[0]

    def reason(self, begin_ns: int, end_ns: int) -> str:
        """Return the last reason that there was between these times; "" for none."""
        until_ns = end_ns + 1
        for since_ns, reason in reversed(self.turns):
            if since_ns > end_ns:
                continue
            if reason or until_ns <= begin_ns:
                return reason if until_ns > begin_ns else ""
            until_ns = since_ns
        return ""


class GapWatch:
    """Follows the index of every stream. Where blocks are cut, and when it is asked, changes nothing.

    ``rates_hz``: nominal, of the streams whose samples are counted before the first one has come.
    """

    def __init__(self, rates_hz: Mapping[str, float] | None = None) -> None:
        self._rates_hz = rates_hz or {}
        self._lanes: dict[str, _Lane] = {}
        self._troubles: dict[str, _Trouble] = {}

    def fault(self, at_ns: int, fault: SensorFault) -> None:
        """Take the source's word on a sensor: in the order of time, ahead of the blocks that follow it."""
        for name in fault.streams:
            self._troubles.setdefault(name, _Trouble(at_ns)).take(at_ns, fault)

    def before(self, block: Block) -> list[Gap]:
        """Take the next block of a stream; return the gaps that end where it begins."""
        lane = self._lanes.get(block.stream) or self._not_begun(block.stream, block.start_ns)
        gaps: list[Gap] = []
        if lane is not None:
            gaps += self._silent(block.stream, lane, block.start_ns, most=block.first)
            if block.first > lane.next_index:
                begin_ns, end_ns = max(lane.last_ns, lane.told_ns), block.start_ns
                reason = block.missing_reason or self._reason(block.stream, begin_ns, end_ns) or UNKNOWN
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
        for name in self._troubles.keys() - self._lanes.keys():
            if (lane := self._not_begun(name, horizon_ns)) is not None:
                self._lanes[name] = lane
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
                reason = self._reason(name, begin_ns, until_ns) or SILENT
                gaps.append(Gap(name, lane.next_index, last, reason, begin_ns, until_ns, end_ns))
        return gaps

    def _not_begun(self, name: str, by_ns: int) -> _Lane | None:
        """Return the lane of a stream without a sample whose sensor failed by then: it owes sample 0."""
        trouble, rate_hz = self._troubles.get(name), self._rates_hz.get(name, 0.0)
        if trouble is None or trouble.first_ns > by_ns or rate_hz <= 0:
            return None
        since_ns = trouble.first_ns
        clock = RegularClock.of_rate(rate_hz, anchor_ns=since_ns, anchor_index=-1)
        return _Lane(0, since_ns, since_ns, clock)

    def _reason(self, name: str, begin_ns: int, end_ns: int) -> str:
        trouble = self._troubles.get(name)
        return trouble.reason(begin_ns, end_ns) if trouble is not None else ""

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
                reason = self._reason(name, begin_ns, end_ns) or SILENT
                yield Gap(name, lane.next_index, upto - 1, reason, begin_ns, end_ns, point_ns)
                lane.next_index = upto
            lane.told_ns = end_ns
            point_ns += GRID_NS


def _before_first_ns(block: Block) -> int:
    """Return when sample 0 would have come."""
    if isinstance(block.clock, RegularClock):
        return block.clock.time_ns(0)
    return block.start_ns - block.first * block.period_ns
