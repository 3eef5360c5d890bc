"""A long trip costs little memory: what is kept of it is rows and clips, and the same however it is cut."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import SiBlock
from agent.report.clips import Clips
from agent.report.grid import Grid
from agent.report.trip import Event
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality, WallClock

SECOND_NS = 1_000_000_000
ACCEL = TABLE["accel"]
PERIOD_NS = 10_000_000
JUMP_NS = 10**18


def block(first: int, count: int) -> SiBlock:
    at = np.arange(first, first + count)
    values = np.stack([at % 7, at % 11 - 5.0, at % 13 + 0.5], axis=1).astype(np.float32)
    return SiBlock("accel", first, at * PERIOD_NS, PERIOD_NS, values)


def event(name: str, start_s: float) -> Event:
    return Event(name, "drop", start_s, start_s + 0.5, 3, {}, ("accel",), "parked", "trusted", alarm=True)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_rows_do_not_depend_on_how_a_stream_is_cut(lengths: list[int]) -> None:
    cut, whole = Grid({"accel": ACCEL}, 0.1), Grid({"accel": ACCEL}, 0.1)
    first = 0
    for length in lengths:
        cut.take(block(first, length))
        first += length
    whole.take(block(0, first))
    one, other = cut.sums()["accel"], whole.sums()["accel"]
    for name in ("index", "count", "low", "high"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for name in ("total", "squares"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12, atol=1e-9)


def test_an_hour_more_keeps_rows_and_no_samples() -> None:
    grid = Grid({"accel": ACCEL}, 60.0)
    clips = Clips([event(f"e{i}", 1000.0 * i + 5.0) for i in range(20)], {"accel": ACCEL})
    wall = WallClock()
    wall.add(TimeMark(0, 0, TimeQuality.SYNCED))
    kept = []
    tracemalloc.start()
    for hour in range(6):
        for first in range(hour * 360_000, (hour + 1) * 360_000, 6_000):
            piece = block(first, 6_000)
            grid.take(piece)
            clips.take(piece, wall, counted=False)
        del piece
        kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    found = clips.found(set(), wall)
    assert len(found) == 20
    grown = (kept[-1] - kept[0]) / 5  # an hour's samples are 360,000 · 20 bytes
    assert grown < 150_000, f"an hour more keeps {grown / 1000:.0f} kB"


def test_a_clip_is_found_where_the_clock_was_set_in_the_middle_of_a_block() -> None:
    wall = WallClock()
    wall.add(TimeMark(0, 0, TimeQuality.UNSET))
    wall.add(TimeMark(10 * SECOND_NS, JUMP_NS, TimeQuality.SYNCED))
    clips = Clips(
        [event("before", 5.0), event("after", JUMP_NS / 1e9 + 20.0)],
        {"accel": ACCEL},
    )
    clips.take(block(0, 4_000), wall, counted=False)
    found = clips.found(set(), wall)
    assert set(found) == {"before", "after"}
    (before,), (after,) = found["before"], found["after"]
    assert abs(before.start_s - 3.5) < 0.011 and len(before.values) == 450
    assert abs(after.start_s - (JUMP_NS / 1e9 + 18.5)) < 0.011 and abs(len(after.values) - 450) <= 1
