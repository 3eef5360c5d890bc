"""What a pipeline does at its edges: no streams at all, and runs of weeks."""

from __future__ import annotations

import numpy as np

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.pipeline import Pipeline
from agent.records import Head, Record
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality, WallClock

HEAD = Head(box="b", boot="0" * 16, software="t")


def test_a_board_without_sensors_gives_nothing_and_harms_nothing() -> None:
    pipeline = Pipeline([], head=HEAD, fleet="f")
    assert not pipeline.push(TimeMark(0, 0, TimeQuality.UNSET)) + pipeline.finish()


def test_marks_are_forgotten_when_nothing_asks_for_them() -> None:
    wall = WallClock()
    for minute in range(10):
        wall.add(TimeMark(minute * 60 * NS_PER_S, minute, TimeQuality.SYNCED))
    wall.forget_before(250 * NS_PER_S)
    assert len(wall) == 6
    assert [wall.at(s * NS_PER_S).offset_ns for s in (250, 300, 10_000)] == [4, 5, 9]


def test_a_week_of_marks_is_not_kept_and_changes_no_record() -> None:
    def records(block_s: int) -> tuple[list[Record], int]:
        pipeline = Pipeline([TABLE["temperature"]], head=HEAD, fleet="f")
        clock, out, most = RegularClock.of_rate(1), [], 0
        for mark_s in range(0, 40_000, 40):
            out += pipeline.push(TimeMark(mark_s * NS_PER_S, mark_s * 1000, TimeQuality.SYNCED))
            for first in range(mark_s, mark_s + 40, block_s):
                values = np.full((block_s, 1), 5, np.float32)
                out += pipeline.push(Block("temperature", first, clock, values))
            most = max(most, pipeline.time_marks)
        return out + pipeline.finish(), most

    (fine, few), (coarse, _) = records(4), records(40)
    assert fine == coarse
    assert few < 200, f"{few} marks were held"
