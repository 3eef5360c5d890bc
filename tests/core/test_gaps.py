"""Gaps: their records add up to exactly what is missing, however long a stream was silent."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.blocks import NS_PER_S, Block, ListedClock, RegularClock, Silence
from agent.gaps import Gap, GapWatch
from agent.pipeline import Item, Pipeline
from agent.records import Head, Kind
from agent.streams import TABLE

HZ = RegularClock.of_rate(1, anchor_ns=250_000_000)


def block(first: int, count: int, reason: str = "") -> Block:
    return Block("temperature", first, HZ, np.zeros((count, 1), np.float32), None, reason)


presence = st.lists(st.tuples(st.integers(1, 90), st.integers(0, 400)), min_size=1, max_size=6)


@given(runs=presence, steps=st.lists(st.integers(1, 200), max_size=30))
def test_gaps_add_up_and_do_not_depend_on_when_one_looks(
    runs: list[tuple[int, int]], steps: list[int]
) -> None:
    blocks, at = [], 0
    for there, missing in runs:
        blocks.append(block(at, there, "cable"))
        at += there + missing

    def told(horizons_s: list[int]) -> list[Gap]:
        watch, gaps = GapWatch(), []
        for b in blocks:
            gaps += [g for h in horizons_s if h * NS_PER_S <= b.start_ns for g in watch.silence(h * NS_PER_S)]
            gaps += watch.before(b)
        return gaps

    gaps = told([])
    assert sum(g.samples for g in gaps) == sum(missing for _, missing in runs[:-1])
    assert all(a.last < b.first for a, b in itertools.pairwise(gaps)), gaps
    assert told(list(itertools.accumulate(steps))) == gaps


def test_what_is_missing_before_the_first_block_is_told_where_there_is_a_reason() -> None:
    (gap,) = GapWatch().before(block(3, 10, "cable"))
    assert (gap.first, gap.last, gap.reason) == (0, 2, "cable"), gap
    assert (gap.start_ns, gap.end_ns) == (HZ.time_ns(0), HZ.time_ns(3)), gap
    assert not GapWatch().before(block(3, 10)), "a log may begin anywhere"


def test_a_minute_of_silence_is_told_while_it_lasts() -> None:
    watch = GapWatch()
    watch.before(block(0, 10))
    assert not watch.silence(59 * NS_PER_S)
    (gap,) = watch.silence(125 * NS_PER_S)
    assert (gap.first, gap.reason, gap.told_ns) == (10, "silent", 120 * NS_PER_S)
    assert gap.last < 120
    (rest,) = watch.finish(150 * NS_PER_S)
    assert rest.first == gap.last + 1 and 145 <= rest.last <= 149, rest


def test_irregular_logs_are_not_told_to_be_silent() -> None:
    watch = GapWatch()
    clock = ListedClock(0, np.array([0, 5], np.int64), 10**9)
    watch.before(Block("temperature", 0, clock, np.zeros((2, 1), np.float32)))
    assert not watch.silence(600 * NS_PER_S) and not watch.finish(600 * NS_PER_S)


def test_a_sensor_that_dies_is_in_the_records() -> None:
    pipeline = Pipeline([TABLE["pressure"], TABLE["temperature"]], head=Head("b", "0", "t"), fleet="f")
    clock = RegularClock.of_rate(50)
    whole = Block("pressure", 0, clock, np.zeros((50 * 200, 1), np.float32))
    items: list[Item] = [block(0, 10), whole, Silence("temperature", 200 * NS_PER_S)]
    records = [r for item in items for r in pipeline.push(item)] + pipeline.finish()
    gaps = [r for r in records if r.kind is Kind.GAP]
    assert len(gaps) == 3, gaps  # at two and three minutes, and the rest at the end
    assert 186 <= pipeline.tally.missing["temperature"] <= 190, pipeline.tally
    assert pipeline.tally.missing["pressure"] == 0
