"""Reduction: every window is told once, when it is over, and what waits stays small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.reduction import COARSER, MOST_HELD_ROWS, Reduction, Row, UploadSettings

HEAD_BYTES = 200
ROW_BYTES = 60


def render(rows: Sequence[Row[int]], span: int) -> dict[str, Any]:
    return {"at": [row.index for row in rows], "span": span, "seconds": [row.streams["s"] for row in rows]}


def price(body: dict[str, Any]) -> int:
    return HEAD_BYTES + ROW_BYTES * len(body["at"])


def reduction(budget: float = 0.2, batch_s: int = 10) -> Reduction[int]:
    """Return one whose moments are the number of seconds in them."""
    return Reduction(
        UploadSettings(budget=budget, batch_s=batch_s), merge=lambda a, b: a + b, render=render, price=price
    )


@settings(max_examples=60, deadline=None)
@given(earned_bytes=st.floats(0, 400), seconds=st.integers(1, 2000), batch_s=st.sampled_from([1, 4, 10, 60]))
def test_every_second_is_told_once_and_no_window_before_it_is_over(
    earned_bytes: float, seconds: int, batch_s: int
) -> None:
    under_test, told_s = reduction(batch_s=batch_s), 0

    def take(body: dict[str, Any], now_s: int) -> int:
        under_test.spend(price(body))
        end_s: int = body["at"][-1] + body["span"]
        assert end_s <= now_s, f"{body} was told at {now_s}"
        assert set(body["seconds"][1:]) <= {body["span"]}, body
        assert told_s + sum(body["seconds"]) == end_s, f"{body} after {told_s} s"
        return end_s

    for now in range(seconds):
        for body in under_test.add(Row(now, 1, {"s": 1}), earned_bytes):
            told_s = take(body, now + 1)
    for body in under_test.finish():
        told_s = take(body, seconds)
    assert under_test.published_bytes <= 0.2 * earned_bytes * seconds


def test_two_batches_in_one_answer_share_one_budget() -> None:
    under_test = reduction(budget=1.0, batch_s=2)
    under_test.spend(1000)  # what waits is the one row, until the data go on after a pause
    assert not under_test.add(Row(0, 1, {"s": 1}), 1000.0 + HEAD_BYTES + ROW_BYTES)
    bodies = under_test.add(Row(11, 1, {"s": 1}), 10.0)
    assert [body["at"] for body in bodies] == [[0]], bodies


def test_rows_that_wait_for_days_stay_few() -> None:
    under_test = reduction()
    under_test.spend(10**9)
    most = 0
    for now in range(2 * COARSER[-1]):
        under_test.add(Row(now, 1, {"s": 1}), 1.0)
        most = max(most, under_test.withheld_rows)
    assert most <= MOST_HELD_ROWS + 60, f"{most} rows were held"


def test_what_waited_is_told_in_full_once_there_is_room() -> None:
    under_test = reduction()
    under_test.spend(10**6)
    for now in range(10_000):
        assert not under_test.add(Row(now, 1, {"s": 1}), 1.0)
    under_test.raw_bytes += 10**8
    bodies = [body for now in range(10_000, 10_200) for body in under_test.add(Row(now, 1, {"s": 1}), 1e5)]
    assert sum(sum(body["seconds"]) for body in bodies + under_test.finish()) == 10_200
