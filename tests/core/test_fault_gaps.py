"""Gaps of a sensor that fails: with its reason, and to the sample, also before its first one."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.blocks import NS_PER_S, Block, FaultKind, FaultPhase, RegularClock, SensorFault, Silence
from agent.gaps import Gap, GapWatch
from agent.pipeline import Item, Pipeline
from agent.records import Head, Kind
from agent.streams import TABLE

HZ = RegularClock.of_rate(1, anchor_ns=250_000_000)
RATES_HZ = {"temperature": 1.0, "humidity": 1.0}
BOTH = ("temperature", "humidity")


def block(first: int, count: int, reason: str = "", stream: str = "temperature") -> Block:
    return Block(stream, first, HZ, np.zeros((count, 1), np.float32), None, reason)


def fault(
    second: float,
    phase: str = "start",
    kind: FaultKind = FaultKind.NACK,
    sensor: str = "chip",
    streams: tuple[str, ...] = ("temperature",),
) -> SensorFault:
    return SensorFault(streams[0], round(second * NS_PER_S), FaultPhase(phase), kind, sensor, streams)


holes = st.lists(
    st.tuples(st.integers(1, 90), st.integers(0, 400), st.booleans(), st.booleans()), min_size=1, max_size=6
)


@given(lead=st.integers(0, 400), holes=holes, steps=st.lists(st.integers(1, 200), max_size=30))
@example(lead=181, holes=[(5, 0, False, False)], steps=[])
def test_they_add_up_and_do_not_depend_on_when_one_looks(
    lead: int, holes: list[tuple[int, int, bool, bool]], steps: list[int]
) -> None:
    """`lead` samples are missing at the beginning; then runs of samples, and holes with or without a word."""
    words = [fault(0.1), fault(lead + 0.2, "end")] if lead else []
    blocks, at, missing = [], lead, lead
    for there, gone, by_fault, reasoned in holes:
        blocks.append(block(at, there, "nack" if reasoned else ""))
        if by_fault and gone:
            words += [fault(at + there - 0.5), fault(at + there + gone + 0.2, "end")]
        at += there + gone
        missing += gone
    blocks.append(block(at, 1))

    def told(horizons_s: list[int]) -> list[Gap]:
        watch, gaps, left = GapWatch(RATES_HZ), [], list(words)

        def hear(by_ns: int) -> None:
            while left and left[0].at_ns < by_ns:
                watch.fault(left[0].at_ns, left.pop(0))

        heard_ns = 0
        for b in blocks:
            for horizon_ns in (h * NS_PER_S for h in horizons_s):
                if heard_ns < horizon_ns <= b.start_ns:
                    hear(horizon_ns)
                    gaps += watch.silence(horizon_ns)
                    heard_ns = horizon_ns
            hear(b.start_ns + NS_PER_S)  # as far as it may be ahead
            gaps += watch.before(b)
        return gaps

    gaps = told([])
    assert sum(g.samples for g in gaps) == missing, gaps
    assert all(a.last < b.first for a, b in itertools.pairwise(gaps)), gaps
    assert told(list(itertools.accumulate(steps))) == gaps


def test_the_minutes_are_told_with_the_reason() -> None:
    watch = GapWatch()
    watch.before(block(0, 10))
    watch.fault(12 * NS_PER_S, fault(12, kind=FaultKind.TIMEOUT))
    watch.fault(130 * NS_PER_S, fault(130, "update", FaultKind.MISSING))
    watch.fault(260 * NS_PER_S, fault(260, "end", FaultKind.MISSING))
    gaps = watch.silence(420 * NS_PER_S)
    assert [(g.told_ns // NS_PER_S, g.reason) for g in gaps] == [
        (120, "timeout"),
        (180, "missing"),
        (240, "missing"),
        (300, "missing"),  # it ended within that minute
        (360, "silent"),
        (420, "silent"),
    ]
    (rest,) = watch.finish(500 * NS_PER_S)[1:]
    assert rest.reason == "silent"


def test_the_last_gap_has_the_reason_of_the_source_or_of_the_fault() -> None:
    for said, reason in (("nack", "nack"), ("", "bad_data")):
        watch = GapWatch()
        watch.before(block(0, 10))
        watch.fault(10 * NS_PER_S, fault(10, kind=FaultKind.BAD_DATA))
        watch.fault(20 * NS_PER_S, fault(20, "end", FaultKind.BAD_DATA))
        (gap,) = watch.before(block(20, 5, said))
        assert (gap.first, gap.last, gap.reason) == (10, 19, reason)
        (later,) = watch.before(block(30, 5))
        assert later.reason == "unknown", "that fault was over"


def test_what_is_missing_at_the_end_has_its_reason_too() -> None:
    watch = GapWatch(RATES_HZ)
    watch.before(block(0, 10))
    watch.fault(10 * NS_PER_S, fault(10, kind=FaultKind.STUCK_BUS, streams=BOTH))
    gaps = watch.finish(40 * NS_PER_S)
    assert {(g.stream, g.reason) for g in gaps} == {("temperature", "stuck_bus"), ("humidity", "stuck_bus")}
    assert {g.stream: (g.first, g.last) for g in gaps} == {"temperature": (10, 37), "humidity": (0, 26)}


def test_of_two_faults_the_one_that_is_left_is_the_reason() -> None:
    watch = GapWatch()
    watch.before(block(0, 10))
    for at, word in [
        (12, fault(12)),
        (20, fault(20, kind=FaultKind.STUCK_BUS, sensor="bus")),
        (100, fault(100, "end", FaultKind.STUCK_BUS, sensor="bus")),
    ]:
        watch.fault(at * NS_PER_S, word)
    assert [g.reason for g in watch.silence(180 * NS_PER_S)] == ["nack", "nack"]


def test_a_sensor_that_is_missing_from_the_start_is_told_each_minute() -> None:
    watch = GapWatch(RATES_HZ)
    watch.fault(5 * NS_PER_S, fault(5, kind=FaultKind.MISSING, streams=BOTH))
    assert not watch.silence(64 * NS_PER_S)
    gaps = watch.silence(240 * NS_PER_S)
    assert {g.reason for g in gaps} == {"missing"}
    told = {name: [(g.first, g.last) for g in gaps if g.stream == name] for name in BOTH}
    assert told["temperature"] == told["humidity"] == [(0, 112), (113, 172), (173, 232)]
    (rest,) = watch.before(block(250, 10, "missing", "humidity"))
    assert (rest.first, rest.last, rest.reason) == (233, 249, "missing")


def test_a_fault_after_the_first_sample_is_none_before_it() -> None:
    """A log may begin anywhere: what was before is not missing because of what was later."""
    watch = GapWatch(RATES_HZ)
    watch.fault(120 * NS_PER_S, fault(120))
    assert not watch.before(block(100, 10))


def test_a_stream_whose_rate_nobody_knows_is_not_guessed_at() -> None:
    watch = GapWatch()
    watch.fault(5 * NS_PER_S, fault(5))
    assert not watch.silence(600 * NS_PER_S)


@pytest.mark.parametrize("late", [False, True])
def test_a_sensor_that_comes_after_an_hour_is_in_the_records_to_the_sample(late: bool) -> None:
    pipeline = Pipeline([TABLE["pressure"], TABLE["temperature"]], head=Head("b", "0", "t"), fleet="f")
    fast = RegularClock.of_rate(50)
    items: list[Item] = [fault(0.5, kind=FaultKind.MISSING)]
    for second in range(3700):
        items.append(Block("pressure", 50 * second, fast, np.zeros((50, 1), np.float32)))
        if second < 3610:
            items.append(Silence("temperature", second * NS_PER_S))
    items.append(fault(3610.1, "end", FaultKind.MISSING))
    if late:
        items.append(block(3610, 80, "missing"))
    records = [r for item in items for r in pipeline.push(item)] + pipeline.finish()
    gaps = [r for r in records if r.kind is Kind.GAP]
    missing = pipeline.tally.missing["temperature"]
    assert pipeline.tally.missing["pressure"] == 0
    if late:
        assert missing == 3610 + 8, f"{missing}: 3610 before the first, and 8 at the end, two periods from it"
    else:
        assert 3690 <= missing <= 3698, missing
    assert 60 <= len(gaps) <= 63, len(gaps)


def test_what_is_remembered_of_years_of_faults_is_bounded() -> None:
    watch = GapWatch()
    watch.before(block(0, 10))
    for hour in range(1000):
        for second, phase in ((10, "start"), (20, "end")):
            at = 3600 * hour + second
            watch.fault(at * NS_PER_S, fault(at, phase))
    held: dict[str, int] = defaultdict(int)
    for name, trouble in watch._troubles.items():
        held[name] = len(trouble.turns)
    assert held["temperature"] < 10, held
