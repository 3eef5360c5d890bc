"""Box time, wall time, and how far it can be trusted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.timebase import TimeMark, TimeQuality, WallClock, measure_mark, new_boot_id, rfc3339

marks = st.lists(
    st.builds(
        TimeMark,
        box_ns=st.integers(0, 10**12),
        offset_ns=st.integers(0, 2 * 10**18),
        quality=st.sampled_from(TimeQuality),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda mark: mark.box_ns,
)


@given(given_marks=marks, time_ns=st.integers(0, 10**12), random=st.randoms(use_true_random=False))
def test_the_latest_mark_holds_whatever_order_they_came_in(
    given_marks: list[TimeMark], time_ns: int, random: object
) -> None:
    clock = WallClock()
    for mark in given_marks:
        clock.add(mark)
    in_order = sorted(given_marks, key=lambda m: m.box_ns)
    before = [m for m in in_order if m.box_ns <= time_ns]
    assert clock.at(time_ns) == (before[-1] if before else in_order[0])


def test_without_a_mark_the_date_is_not_known() -> None:
    assert WallClock().at(5).quality is TimeQuality.UNSET


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_553_429_859_168_000_999, "2019-03-24T12:17:39.168000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_rfc3339(wall_ns: int, text: str) -> None:
    assert rfc3339(wall_ns) == text


def test_a_clock_from_1970_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.kernel_clock.wall_ns", lambda: 42 * 10**9)
    assert measure_mark(synced=True).quality is TimeQuality.UNSET


@pytest.mark.parametrize(("synced", "quality"), [(True, TimeQuality.SYNCED), (False, TimeQuality.HOLDOVER)])
def test_a_plausible_clock_is_trusted_as_the_kernel_says(synced: bool, quality: TimeQuality) -> None:
    assert measure_mark(synced=synced).quality is quality


def test_boot_ids_differ() -> None:
    ids = {new_boot_id() for _ in range(100)}
    assert len(ids) == 100 and all(len(i) == 16 for i in ids)
