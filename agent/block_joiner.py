"""Joins the short blocks of a live box into longer ones, and cuts long ones: never changes a sample.

A live box gives blocks of 5 to 10 ms, each of which would cost a record of its own in a log. How samples
are cut into blocks changes no result, so a recorder may join what continues on the same clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from agent.blocks import Block, Clock, ListedClock, RegularClock

_NEVER_NS = 1 << 62


@dataclass(slots=True)
class _Pending:
    blocks: list[Block] = field(default_factory=list)
    samples: int = 0
    start_ns: int = _NEVER_NS


class BlockJoiner:
    """Holds back blocks until `max_samples` of a stream are together, or the oldest is `max_span_ns` old.

    Age is measured in the time of the data, against the youngest sample of any stream.
    """

    def __init__(self, *, max_samples: int, max_span_ns: int) -> None:
        self._max_samples = max_samples
        self._max_span_ns = max_span_ns
        self._lanes: dict[str, _Pending] = {}
        self._newest_ns = -_NEVER_NS
        self._oldest_ns = _NEVER_NS

    def add(self, block: Block) -> list[Block]:
        """Take a block; return those that are complete by it, of any stream."""
        if not len(block):
            return []
        ready: list[Block] = []
        lane = self._lanes.setdefault(block.stream, _Pending())
        if lane.blocks and not continues(lane.blocks[-1], block):
            ready += self._give(lane)
        if not lane.blocks:
            lane.start_ns = block.start_ns
            self._oldest_ns = min(self._oldest_ns, lane.start_ns)
        lane.blocks.append(block)
        lane.samples += len(block)
        self._newest_ns = max(self._newest_ns, block.last_ns)
        if lane.samples >= self._max_samples:
            ready += self._give(lane, keep=lane.samples % self._max_samples)
        if self._newest_ns - self._oldest_ns >= self._max_span_ns:
            for other in self._lanes.values():
                if self._newest_ns - other.start_ns >= self._max_span_ns:
                    ready += self._give(other)
            self._oldest_ns = min(other.start_ns for other in self._lanes.values())
        return ready

    def flush(self, stream: str | None = None) -> list[Block]:
        """Return what is held of `stream`, or of all."""
        lanes = [lane for name, lane in self._lanes.items() if stream is None or name == stream]
        return [block for lane in lanes for block in self._give(lane)]

    def _give(self, lane: _Pending, *, keep: int = 0) -> list[Block]:
        if not lane.blocks:
            return []
        whole = join(lane.blocks)
        ready = list(cut(whole.cut(0, len(whole) - keep), self._max_samples)) if keep < len(whole) else []
        lane.blocks = [whole.cut(len(whole) - keep, len(whole))] if keep else []
        lane.samples = keep
        lane.start_ns = lane.blocks[0].start_ns if keep else _NEVER_NS
        return ready


def cut(block: Block, max_samples: int) -> Iterator[Block]:
    """Yield `block` in pieces of at most `max_samples`."""
    if len(block) <= max_samples:
        yield block
        return
    for begin in range(0, len(block), max_samples):
        yield block.cut(begin, min(begin + max_samples, len(block)))


def join(blocks: list[Block]) -> Block:
    """Return one block with the samples of all; each must continue the one before."""
    head = blocks[0]
    if len(blocks) == 1:
        return head
    clock: Clock = head.clock
    if isinstance(clock, ListedClock) and any(block.clock is not clock for block in blocks):
        times_ns = np.concatenate([block.times_ns() for block in blocks])
        clock = ListedClock(head.first, times_ns, clock.typical_period_ps)
    quality = None
    if any(block.quality is not None for block in blocks):
        quality = np.concatenate(
            [np.zeros(len(b), np.uint8) if b.quality is None else b.quality for b in blocks]
        )
    values = np.concatenate([block.values for block in blocks])
    return Block(head.stream, head.first, clock, values, quality, head.missing_reason)


def continues(before: Block, block: Block) -> bool:
    """Return whether `block` goes on where `before` ends: its indices, its clock, the kind of its values."""
    if before.end != block.first or before.values.dtype != block.values.dtype:
        return False
    if before.values.shape[1:] != block.values.shape[1:]:
        return False
    if isinstance(before.clock, RegularClock):
        return before.clock == block.clock
    if before.clock is block.clock:
        return True
    # what a listed clock says of its times is all in the times, save the typical period
    return isinstance(block.clock, ListedClock) and before.clock.period_ps == block.clock.period_ps
