"""The last seconds of every stream, as the sensor gave them; what it holds depends on time alone.

Bounded by what `forget_before` is called with: the widths in which the values come, times the rates, times
the seconds kept; 0.6 MB for 32 s of 3 axes at 3.2 kHz in 16 bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from agent.block_joiner import continues, join
from agent.blocks import Block

JOINED_BLOCKS = 64  # a live box gives 100 blocks a second, each of which costs more than its samples


class _Lane:
    def __init__(self) -> None:
        self.whole: deque[Block] = deque()
        self.loose: list[Block] = []

    def join(self) -> None:
        self.whole.extend(runs_of(self.loose))
        self.loose = []


class Memory:
    """Raw blocks, a stream each, in the order of time."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}

    def feed(self, block: Block) -> None:
        """Take the next block of its stream."""
        lane = self._lanes.get(block.stream)
        if lane is None:
            lane = self._lanes[block.stream] = _Lane()
        lane.loose.append(block)
        if len(lane.loose) >= JOINED_BLOCKS:
            lane.join()

    def cut(self, stream: str, start_ns: int, end_ns: int) -> list[Block]:
        """Return what there is of start_ns ≤ time < end_ns: a block a run, where indices and clock go on."""
        lane = self._lanes.get(stream)
        return cut(() if lane is None else (*lane.whole, *lane.loose), start_ns, end_ns)

    def forget_before(self, time_ns: int) -> None:
        """Drop blocks that end before."""
        for lane in self._lanes.values():
            if lane.loose and lane.loose[-1].last_ns < time_ns:
                lane.whole.clear()
                lane.loose = []
            while lane.whole and lane.whole[0].last_ns < time_ns:
                lane.whole.popleft()

    @property
    def held_bytes(self) -> int:
        """Bytes of samples that are held."""
        blocks = (block for lane in self._lanes.values() for block in (*lane.whole, *lane.loose))
        return sum(block.values.nbytes for block in blocks)


def cut(blocks: Iterable[Block], start_ns: int, end_ns: int) -> list[Block]:
    """Return the samples of start_ns ≤ time < end_ns of one stream, joined to runs."""
    within = []
    for block in blocks:
        if block.last_ns < start_ns or block.start_ns >= end_ns:
            continue
        begin, end = block.count_before(start_ns), block.count_before(end_ns)
        if begin < end:
            within.append(block.cut(begin, end))
    return runs_of(within)


def runs_of(blocks: Iterable[Block]) -> list[Block]:
    """Join blocks wherever each continues the one before."""
    runs: list[list[Block]] = []
    for block in blocks:
        if runs and continues(runs[-1][-1], block):
            runs[-1].append(block)
        else:
            runs.append([block])
    return [join(run) for run in runs]
