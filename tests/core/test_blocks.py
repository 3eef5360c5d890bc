"""Clocks and blocks: integer times that do not depend on where a block begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.alignment import FOREVER_NS, Aligner
from agent.blocks import (
    Block,
    Clock,
    FaultKind,
    FaultPhase,
    ListedClock,
    RegularClock,
    SensorFault,
    Silence,
)

regular = st.builds(
    RegularClock,
    anchor_index=st.integers(-(10**6), 10**9),
    anchor_ns=st.integers(-(2**61), 2**61),
    period_ps=st.integers(1_000, 10**13),
)


@given(clock=regular, first=st.integers(0, 10**9), count=st.integers(1, 300))
def test_times_of_a_block_are_those_of_its_samples(clock: RegularClock, first: int, count: int) -> None:
    times = clock.times_ns(first, count).tolist()
    assert times == [clock.time_ns(first + i) for i in range(count)]


@given(clock=regular, first=st.integers(0, 10**9), offset=st.integers(0, 300), near_ns=st.integers(-3, 3))
def test_count_before_agrees_with_the_times(
    clock: RegularClock, first: int, offset: int, near_ns: int
) -> None:
    limit_ns = clock.time_ns(first + offset) + near_ns
    counted = clock.count_before(first, limit_ns)
    if counted:
        assert clock.time_ns(first + counted - 1) < limit_ns
    assert clock.time_ns(first + counted) >= limit_ns


def listed(times: list[int]) -> ListedClock:
    return ListedClock(5, np.array(times, np.int64), 10**9)


def test_listed_times() -> None:
    clock = listed([10, 20, 40])
    assert clock.times_ns(6, 2).tolist() == [20, 40]
    assert [clock.count_before(6, t) for t in (10, 20, 21, 41)] == [0, 0, 1, 2]


def block(stream: str, clock: Clock, first: int, count: int, reason: str = "") -> Block:
    return Block(stream, first, clock, np.zeros((count, 1), np.float32), None, reason)


KHZ = RegularClock.of_rate(1000)
HZ = RegularClock.of_rate(1)


def test_nothing_waits_for_a_slow_stream_between_its_samples() -> None:
    aligner = Aligner(["fast", "slow"])
    aligner.push(block("slow", HZ, 0, 1))
    aligner.push(block("fast", KHZ, 0, 500))
    taken = aligner.take()
    assert [(b.stream, len(b)) for b in taken] == [("fast", 500), ("slow", 1)]


def test_a_stream_that_owes_a_sample_is_waited_for_until_the_source_speaks() -> None:
    aligner = Aligner(["fast", "slow"])
    aligner.push(block("slow", HZ, 0, 1))
    aligner.push(block("fast", KHZ, 0, 1500))
    assert sum(len(b) for b in aligner.take() if b.stream == "fast") == 999
    aligner.push(Silence("slow", 1_500_000_000))
    assert sum(len(b) for b in aligner.take() if b.stream == "fast") == 501
    assert not aligner.finish()


def test_what_comes_too_late_becomes_a_jump_with_its_reason() -> None:
    aligner = Aligner(["fast", "slow"])
    aligner.push(Silence("slow", 3_000_000_000))
    aligner.push(block("fast", KHZ, 0, 3000))
    aligner.take()
    aligner.push(block("slow", HZ, 0, 5))
    (rest,) = aligner.finish()
    assert (rest.first, len(rest), rest.missing_reason) == (3, 2, "late")


def test_samples_that_come_twice_are_dropped_and_counted() -> None:
    aligner = Aligner(["fast"])
    aligner.push(block("fast", KHZ, 0, 10))
    aligner.push(block("fast", KHZ, 4, 10))
    aligner.push(block("fast", KHZ, 0, 3))
    assert sum(len(b) for b in aligner.finish()) == 14
    assert aligner.overlapping_samples == 9
    assert aligner.horizon_ns == FOREVER_NS


def test_a_stream_that_nobody_announced_is_refused() -> None:
    with pytest.raises(KeyError):
        Aligner(["fast"]).push(Silence("slow", 0))
    with pytest.raises(KeyError):
        Aligner(["fast"]).push(fault(0, stream="slow"))


def fault(at_ns: int, stream: str = "fast", got: str = "") -> SensorFault:
    return SensorFault(stream, at_ns, FaultPhase.START, FaultKind.NACK, "chip", (stream,), got)


def test_a_fault_is_handed_on_once_when_its_time_has_come() -> None:
    aligner = Aligner(["fast", "slow"])
    aligner.push(block("fast", KHZ, 0, 500))
    word = fault(700_000_000)
    aligner.push(word)
    aligner.push(Silence("fast", 1_500_000_000))
    aligner.push(Silence("slow", 700_000_000))
    aligner.take()
    assert not aligner.faults(), "the other stream may still have something older"
    aligner.push(Silence("slow", 700_000_001))
    aligner.take()
    assert [(e.at_ns, e.fault) for e in aligner.faults()] == [(700_000_000, word)]
    aligner.finish()
    assert not aligner.faults()


def test_a_fault_counts_from_where_its_stream_has_promised_silence() -> None:
    """Found between two samples of a thermometer, while the others have gone on to the next."""

    def effects(late: bool) -> list[tuple[int, str]]:
        aligner = Aligner(["fast", "slow"])
        aligner.push(block("slow", HZ, 0, 11))
        if not late:
            aligner.push(fault(10_300_000_000, "slow", "a"))
        aligner.push(block("fast", KHZ, 0, 20_000))
        aligner.take()
        got = aligner.faults()
        if late:
            aligner.push(fault(10_300_000_000, "slow", "a"))
        aligner.push(fault(10_200_000_000, "slow", "b"))
        aligner.push(Silence("slow", 12_000_000_000))
        aligner.take()
        return [(e.at_ns, e.fault.got) for e in got + aligner.faults()]

    assert effects(late=True) == [(10_999_000_000, "a"), (10_999_000_000, "b")]
    assert effects(late=False) == effects(late=True)


def test_a_fault_of_a_time_that_is_over_or_far_away_harms_nothing() -> None:
    aligner = Aligner(["fast"])
    aligner.push(block("fast", KHZ, 0, 2000))
    aligner.push(fault(-5))
    aligner.push(fault((1 << 62) - 1))
    aligner.push(block("fast", KHZ, 2000, 2000))
    assert sum(len(b) for b in aligner.take()) == 4000
    assert [e.at_ns for e in aligner.faults()] == [2_000 * 10**6 - 500_000]
    aligner.finish()
    assert len(aligner.faults()) == 1
