"""Two runs: silent where nothing differs, and exact in what it says where one thing does."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.compare import LOOSE, Comparison, Rules, Run, Tolerance, What, compare
from agent.compare.matching import Lane, Matched, assigned
from tests.compare.lists import (
    Record,
    at,
    compared,
    event,
    features,
    gap,
    in_order,
    lines,
    moments,
    trips,
)


def said(result: Comparison) -> list[tuple[str, str]]:
    return [(one.what.value, one.name) for one in result.found.in_order()]


@settings(max_examples=20)
@given(trips())
def test_a_run_beside_itself_is_silent(trip: list[Record]) -> None:
    result = compared(trip, trip)
    assert result.equal, said(result)


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(lines(event("drop", 1, 1, 2))))))
def test_whatever_stands_in_a_file_ends_in_words(garbage: list[bytes]) -> None:
    result = compare(Run(garbage), Run([]), Rules())
    assert result.equal == all(not line.strip() for line in garbage), said(result)


@settings(max_examples=20)
@given(trips(), st.data())
def test_an_event_that_one_run_lacks_is_said_and_nothing_else(
    trip: list[Record], data: st.DataObject
) -> None:
    extra = event("harsh_brake", 1, data.draw(moments), 1.0, 3, rms_mps2=4.0)
    more = in_order([*trip, *extra])
    assert said(compared(trip, more)) == [("appeared", "harsh_brake")]
    assert said(compared(more, trip)) == [("vanished", "harsh_brake")]


@settings(max_examples=20)
@given(trips(), st.sampled_from([0.1, 2.0, 4.0]), st.booleans())
def test_an_event_that_moved_is_said_with_how_far(trip: list[Record], by_s: float, later: bool) -> None:
    by_s = by_s if later else -by_s
    a = in_order([*trip, *event("leak", 1, 100.0, 20.0)])
    b = in_order([*trip, *event("leak", 7, 100.0 + by_s, 20.0)])
    result = compared(a, b)
    assert said(result) == [("moved", "leak")]
    deltas = {c.key: c.delta for c in result.found.in_order()[0].changes}
    assert deltas["start"] == deltas["end"] == deltas["alarm"] == pytest.approx(by_s), deltas


@settings(max_examples=20)
@given(trips(), st.data())
def test_one_changed_figure_is_said_with_how_much(trip: list[Record], data: st.DataObject) -> None:
    own = [
        *event("leak", 1, 100.0, 20.0, 3, lost_pa=10.0),
        gap("lid", 50.0, 4, 8),
        features(1000, [1.0, 2.0]),
    ]
    a = in_order([*trip, *own])
    b = copy.deepcopy(a)
    which = data.draw(st.sampled_from(["event", "gap", "features", "told first", "severity"]))
    for kind, body in b:
        if body.get("type") == "leak" and which == "event" and body["phase"] == "end":
            body["values"]["lost_pa"] = 10.5
        elif body.get("type") == "leak" and which == "told first" and body["phase"] == "start":
            body["values"]["lost_pa"] = 9.5
        elif body.get("type") == "leak" and which == "severity":
            body["severity"] = 4
        elif kind == "gap" and body["stream"] == "lid" and which == "gap":
            body["last"] = 9
        elif kind == "features" and body["start"] == at(1000) and which == "features":
            body["columns"]["temperature_degc"][1] = 2.5
    result = compared(a, b)
    name = {"gap": "lid", "features": "temperature_degc"}.get(which, "leak")
    assert said(result) == [("changed", name)], which
    (difference,) = result.found.in_order()
    key, delta = {
        "event": ("lost_pa", 0.5),
        "told first": ("when first told: lost_pa", -0.5),
        "gap": ("last", 1.0),
        "features": ("temperature_degc", 0.5),
    }.get(which, ("severity", 1.0))
    assert (key, delta) in [(c.key, c.delta) for c in difference.changes], difference
    assert difference.alarm == (name == "leak")


def test_two_events_in_place_of_one_are_a_split_and_the_other_way_round() -> None:
    one = event("vibration", 1, 100.0, 60.0)
    two = in_order([*event("vibration", 1, 100.0, 20.0), *event("vibration", 2, 130.0, 30.0)])
    assert said(compared(one, two)) == [("split", "vibration"), ("changed", "vibration")] or said(
        compared(one, two)
    ) == [("split", "vibration"), ("moved", "vibration")]
    assert said(compared(two, one))[0] == ("merged", "vibration")


def test_alarms_come_first_and_then_the_worst() -> None:
    a = in_order(
        [*event("tilt", 1, 10.0, 5.0, 3), *event("bump", 1, 20.0, 5.0, 2), *event("drop", 1, 900.0, 5.0, 4)]
    )
    assert said(compared(a, [])) == [("vanished", "drop"), ("vanished", "tilt"), ("vanished", "bump")]


def test_what_is_beyond_the_window_is_another_event() -> None:
    a, near, far = (event("drop", 1, s, 0.5) for s in (100.0, 105.4, 105.6))
    assert said(compared(a, near)) == [("moved", "drop")]
    assert sorted(said(compared(a, far))) == [("appeared", "drop"), ("vanished", "drop")]


def test_a_tolerance_lets_so_much_pass_and_no_more() -> None:
    a, b = event("drop", 1, 100.0, 0.5, height_m=1.0), event("drop", 1, 100.0, 0.5, height_m=1.05)
    for text, equal in (("0.06", True), ("0.04", False), ("5%", True), ("4%", False)):
        for key in ("height_m", "*_m", "*"):
            result = compared(a, b, Rules({key: Tolerance.parsed(text)}))
            assert result.equal == equal, (key, text, said(result))
    assert compared(a, b, Rules(ignore=["height_m"])).equal
    assert compared(a, b, Rules(ignore=["drop"])).equal
    assert not compared(a, b, Rules(ignore=["tilt"])).equal


def test_loose_is_about_times_and_figures() -> None:
    loose = Rules({key: Tolerance.parsed(text) for key, text in LOOSE.items()})
    a, b = event("drop", 1, 100.0, 0.5, height_m=1.0), event("drop", 1, 100.09, 0.5, height_m=1.009)
    assert compared(a, b, loose).equal and not compared(a, b).equal
    later = event("drop", 1, 100.2, 0.5, height_m=1.0)
    assert not compared(a, later, loose).equal


def test_a_rule_that_meets_nothing_is_known() -> None:
    rules = Rules({"hight_m": Tolerance(1.0)}, ["drop", "dorp"])
    compared(event("drop", 1, 1.0, 1.0, height_m=1.0), [], rules)
    assert rules.unused() == ["dorp", "hight_m"]


def test_a_head_that_differs_everywhere_is_said_once() -> None:
    a = in_order([*event("drop", 1, 10.0, 1.0), *event("tilt", 1, 30.0, 1.0), features(0, [1.0, 2.0])])
    b = copy.deepcopy(a)
    for _, body in b:
        body["cal"] = "ab12"
    result = compared(a, b)
    assert said(result) == [("changed", "cal")]
    assert result.found.in_order()[0].count == 3, "two events and a record of features"


def test_windows_of_unlike_width_are_said_and_not_compared() -> None:
    a = [features(0, [1.0] * 10), features(10, [2.0] * 10)]
    b = [features(0, [1.0, 5.0], width_s=10)]
    (difference,) = compared(a, b).found.in_order()
    assert (difference.name, "20 s told in windows of 1 s in A, 10 s in B" in difference.words) == (
        "window_s",
        True,
    )


def test_the_same_windows_in_other_batches_are_the_same() -> None:
    a = [features(0, [1.0, 2.0, 3.0, 4.0])]
    b = [features(0, [1.0, 2.0]), features(2, [3.0, 4.5])]
    assert compared(a, [features(0, [1.0, 2.0]), features(2, [3.0, 4.0])]).equal
    assert {name for _, name in said(compared(a, b))} == {
        "accel_rms_mps2.x",
        "accel_rms_mps2.y",
        "temperature_degc",
    }


def test_spectra_over_other_stretches_are_not_passed_over() -> None:
    """Nothing tells how those of two batches would be that of one; that they were not compared is said."""
    a, b = [features(0, [1.0, 2.0])], [features(0, [1.0]), features(1, [2.0])]
    for _, body in (*a, *b):
        body["spectrum_db"] = {"accel": {"x": [60.0]}}
    (difference,) = compared(a, b).found.in_order()
    assert (difference.name, difference.count) == ("spectrum_db", 2), difference
    assert "not compared" in difference.words
    assert compared(a, b, Rules(ignore=["spectrum_db"])).equal and compared(a, a).equal


def test_windows_that_only_one_run_has_are_counted() -> None:
    a, b = [features(0, [1.0, 2.0, 3.0])], [features(0, [1.0]), features(20, [9.0])]
    assert [(d.what, d.count) for d in compared(a, b).found.in_order()] == [
        (What.VANISHED, 2),
        (What.APPEARED, 1),
    ]


@given(st.integers(0, 6), st.integers(0, 6), st.randoms(use_true_random=False))
def test_the_assignment_is_the_best_there_is(rows: int, columns: int, chance: object) -> None:
    rng = np.random.default_rng(hash((rows, columns, repr(chance))) % 2**32)
    costs = rng.uniform(0, 3, (rows, columns)).round(1)
    found = assigned(costs)
    few, many = sorted((rows, columns))
    best = min(
        (
            sum(costs[i, j] if rows <= columns else costs[j, i] for i, j in enumerate(order))
            for order in itertools.permutations(range(many), few)
        ),
        default=0.0,
    )
    assert len(found) == few and sum(costs[i, j] for i, j in found) == pytest.approx(best), costs


def test_a_long_trip_is_held_in_pieces() -> None:
    """What waits for a partner stays little, however long the trip."""
    seen = 0
    most = 0

    def trip() -> list[bytes]:
        return lines([r for n in range(9000) for r in event("bump", n, n * 20.0, 0.5, 2)])

    class Counting(Lane):
        def settle(self, horizon_ns: int | None) -> Iterator[Matched]:
            nonlocal most, seen
            most = max(most, len(self._waiting))
            for matched in super().settle(horizon_ns):
                seen += len(matched.alike)
                yield matched

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.compare.engine.Lane", Counting)
        assert compare(Run(trip()), Run(trip()), Rules()).equal
    assert seen == 9000
    assert most < 9000, f"{most} of 18000 happenings waited at once"
