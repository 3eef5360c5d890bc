"""What a pipeline does at its edges: no streams at all, and runs of weeks."""

from __future__ import annotations

import numpy as np
import pytest

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
            most = max(most, len(pipeline._scribe.wall))
        return out + pipeline.finish(), most

    (fine, few), (coarse, _) = records(4), records(40)
    assert fine == coarse
    assert few < 200, f"{few} marks were held"


def test_what_a_tick_decides_does_not_wait_for_the_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live, features are reckoned once a batch, in a step in which no detector is asked about a hop."""
    pipeline = Pipeline([TABLE["accel"]], head=HEAD, fleet="f", mount_up=(0.0, 0.0, 1.0))
    steps: list[set[str]] = []

    def watched(of: object, name: str, what: str) -> None:
        plain = getattr(of, name)

        def call(*given: object) -> object:
            steps[-1].add(what)
            return plain(*given)

        monkeypatch.setattr(of, name, call)

    watched(pipeline, "_sum_up", "windows")
    watched(pipeline, "_advance", "hops")
    clock = RegularClock.of_rate(1000)
    for first in range(0, 35_000, 3):
        steps.append(set())
        pipeline.push(Block("accel", first, clock, np.full((3, 3), 5, np.float32)))
    assert sum("windows" in step for step in steps[1:]) == 4, "at the start and once a batch"
    assert sum("hops" in step for step in steps) > 630
    assert not [i for i, step in enumerate(steps[1:]) if step == {"windows", "hops"}]
