"""What the benches of the alarm lane and of the budget stand on."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.virtual.streams import ACCEL_MPS2_PER_COUNT, GRAVITY_MPS2, PRESSURE_PA_PER_COUNT
from scripts.benches.alarm_trip import MIN_FALL_SAMPLES, QUIET_S, SWING_SAMPLES, AlarmTrip
from scripts.benches.day_trip import LEGS_AN_HOUR, DayTrip
from scripts.benches.ledger import Ledger


def test_a_burst_over_the_turn_of_an_hour_is_found() -> None:
    ledger, published = Ledger(), 0.0
    for minute in range(181):
        published += 40.0 if 50 <= minute < 70 else 10.0
        ledger.note(60.0 * minute, 100.0 * minute, published)
    assert ledger.hours() == pytest.approx([0.15, 0.15, 0.1], abs=0.006), "30 of 40 more fall to each"
    assert ledger.worst_hour() == pytest.approx(0.2, abs=0.001), "the twenty minutes lie in one hour"


def test_what_is_less_than_an_hour_counts_from_nothing() -> None:
    ledger = Ledger()
    ledger.note(10.0, 1000.0, 200.0)
    ledger.note(20.0, 2000.0, 300.0)
    assert ledger.worst_hour() == pytest.approx(0.15)


def test_the_bench_knows_the_sample_that_completes_each_harm() -> None:
    trip, second = AlarmTrip(), QUIET_S + 3
    harms = trip.harms(second)
    assert harms is not None and trip.harms(QUIET_S - 1) is None
    counts = trip.second(second)
    weight = np.linalg.norm(counts["accel"] * ACCEL_MPS2_PER_COUNT, axis=1) / GRAVITY_MPS2
    begin = harms.fall - 1000 * second
    assert (weight[begin : begin + MIN_FALL_SAMPLES] < 0.1).all()
    plain = AlarmTrip.second.__globals__["_road"](trip.seed).second(second)["pressure"][:, 0]
    risen = (counts["pressure"][:, 0] - plain) * PRESSURE_PA_PER_COUNT
    begin = harms.swing - 50 * second
    assert np.flatnonzero(risen > 2500).tolist() == list(range(begin, begin + SWING_SAMPLES))


def test_the_load_of_the_day_lies_where_the_incident_left_it() -> None:
    trip = DayTrip()
    incidents = [n for n in range(3 * LEGS_AN_HOUR) if trip.minute(n) == "incident"]
    assert len(incidents) == 3, "one an hour"
    sides = []
    for leg in (incidents[0] - 1, *incidents):
        before, after = (trip._centre_y_m(60 * (leg + k) + s, 10)[-1] for k, s in ((0, 59), (1, 0)))
        assert before == pytest.approx(after), "nothing jumps between two minutes"
        sides.append(float(np.sign(after)))
    assert sides == [1, -1, 1, -1], "to the right, and back"


def test_a_stop_is_a_stop() -> None:
    trip = DayTrip(incidents=False)
    stops = [n for n in range(240) if trip.minute(n) == "stop"]
    assert stops == list(range(180, 225))
    force = trip.motion.force_mps2(60 * stops[5] + 30)
    assert force.std(axis=0).max() < 0.01, "nothing shakes"
