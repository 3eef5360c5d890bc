"""Brings the streams to a common time, so that results do not depend on which block came first.

A sample is handed on only once every stream is known to have given all that is older. What a stream
promises decides how long that takes: a regular clock promises its next sample one period after its
last, so nothing waits for a 1 Hz thermometer in between; a listed clock promises nothing; and a
source lifts a wait by `Silence`. The waiting is therefore the skew of the transport, a few ms.

A `SensorFault` takes effect at its own time, but not before what its stream has promised until then: so
it is never behind what was handed on, and depends on nothing but the order within its stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.blocks import Block, RegularClock, SensorFault, Silence

FOREVER_NS = 1 << 62
PROMISE_SLACK_NS = 1_000_000  # a regular sample may come this much early; sources keep within half of it


@dataclass(frozen=True, slots=True)
class Effect:
    """A word on a sensor, and the box time from which it counts."""

    at_ns: int
    fault: SensorFault


@dataclass(slots=True)
class _Lane:
    waiting: deque[Block] = field(default_factory=deque)
    faults: deque[Effect] = field(default_factory=deque)
    frontier_ns: int = -FOREVER_NS
    next_index: int | None = None
    late: bool = False


class Aligner:
    """Queues blocks a stream and releases them, in time, once nothing older can come.

    ``overlapping_samples`` counts samples that came twice and were dropped.
    """

    def __init__(self, streams: Sequence[str]) -> None:
        self._lanes = {name: _Lane() for name in streams}
        self.horizon_ns = -FOREVER_NS
        self.overlapping_samples = 0
        self._effects: list[Effect] = []

    def push(self, item: Block | Silence | SensorFault) -> None:
        """Take samples, the word that there are none, or why. Raises KeyError for an unknown stream."""
        lane = self._lanes[item.stream]
        if isinstance(item, SensorFault):
            before_ns = lane.faults[-1].at_ns if lane.faults else -FOREVER_NS
            lane.faults.append(Effect(max(item.at_ns, lane.frontier_ns, before_ns), item))
            return
        if isinstance(item, Silence):
            lane.frontier_ns = max(lane.frontier_ns, item.until_ns)
            return
        block: Block | None = self._without_overlap(lane, item)
        if block is None:
            return
        lane.next_index = block.end
        block = self._without_late(lane, block)
        if block is None:
            return
        lane.waiting.append(block)
        promise_ns = 1
        if isinstance(block.clock, RegularClock):
            promise_ns = block.period_ns - min(block.period_ns // 2, PROMISE_SLACK_NS)
        lane.frontier_ns = max(lane.frontier_ns, block.last_ns + promise_ns)

    def take(self) -> list[Block]:
        """Return all that is older than the new horizon, streams in their order; may be empty."""
        return self._release(min((lane.frontier_ns for lane in self._lanes.values()), default=-FOREVER_NS))

    def finish(self) -> list[Block]:
        """Return all that is left: nothing more comes."""
        return self._release(FOREVER_NS)

    def faults(self) -> list[Effect]:
        """Return the faults of that time, oldest first, once: of all that was taken since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def _release(self, horizon_ns: int) -> list[Block]:
        if horizon_ns <= self.horizon_ns:
            return []
        self.horizon_ns = horizon_ns
        effects: list[Effect] = []
        for lane in self._lanes.values():
            while lane.faults and lane.faults[0].at_ns < horizon_ns:
                effects.append(lane.faults.popleft())
        # of the same instant: in the order of the streams, and of each as the source said them
        self._effects += sorted(effects, key=lambda effect: effect.at_ns)
        return [block for lane in self._lanes.values() for block in _before(lane.waiting, horizon_ns)]

    def _without_overlap(self, lane: _Lane, block: Block) -> Block | None:
        """Drop samples whose index was already seen (a log that repeats itself)."""
        if lane.next_index is None or block.first >= lane.next_index:
            return block if len(block) else None
        twice = min(lane.next_index - block.first, len(block))
        self.overlapping_samples += twice
        return block.cut(twice, len(block)) if twice < len(block) else None

    def _without_late(self, lane: _Lane, block: Block) -> Block | None:
        """Drop samples older than what was handed on: the index then jumps, which makes a gap record."""
        late = block.count_before(self.horizon_ns) if block.start_ns < self.horizon_ns else 0
        if late == len(block):
            lane.late = True
            return None
        if late or lane.late:
            rest = block.cut(late, len(block))
            lane.late = False
            return Block(rest.stream, rest.first, rest.clock, rest.values, rest.quality, "late")
        return block


def _before(waiting: deque[Block], horizon_ns: int) -> Iterable[Block]:
    while waiting:
        block = waiting[0]
        if block.last_ns < horizon_ns:
            waiting.popleft()
            yield block
            continue
        count = block.count_before(horizon_ns)
        if count:
            waiting[0] = block.cut(count, len(block))
            yield block.cut(0, count)
        return
