"""Jerk, mean kinetic temperature and slosh bands, as windows of samples come to them."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import ListedClock, RegularClock, SiBlock
from agent.features.jerk import Jerk
from agent.features.kinetic import Kinetic
from agent.features.slosh_band import SloshBand
from agent.features.table import F64, Table
from agent.streams import TABLE, StreamSpec
from agent.tank import slosh_frequencies_hz
from tests.features.bands import accel, block, pieces, table_of

GRAVITY = np.array([0.0, 0.0, 9.80665])


def jerks(values: npt.NDArray[np.floating], rate_hz: float) -> list[float | None]:
    family = Jerk(accel(rate_hz))
    cells = family.columns(table_of(family, [block(values, rate_hz)]).part("accel"))["accel_jerk_mps3"]
    assert isinstance(cells, list)
    return cells


@pytest.mark.parametrize("rate_hz", [3200.0, 1003.7, 1000.0, 51.0])
def test_brakes_that_bite_within_a_second_jerk_by_their_slope(rate_hz: float) -> None:
    t = np.arange(round(6 * rate_hz)) / rate_hz
    push = np.clip(4.0 * (t - 2.2), 0.0, 4.0)
    got = jerks(GRAVITY + push[:, None] * np.array([0.6, 0.8, 0.0]), rate_hz)
    assert got[2] == pytest.approx(4.0, rel=0.02), got
    assert got[0] == got[5] == 0.0, got


def test_vibration_and_noise_are_no_jerk() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(60_000) / 1000.0
    noise = jerks(GRAVITY + rng.normal(0, 1.0, (60_000, 3)), 1000.0)
    assert max(v for v in noise if v is not None) < 1.6, noise
    wheel = jerks(GRAVITY + np.outer(np.sin(2 * math.pi * 10.0 * t), [0.0, 0.0, 1.0]), 1000.0)
    assert max(v for v in wheel if v is not None) < 2.0, wheel


def test_no_jerk_over_a_hole_from_too_few_samples_or_from_what_is_no_number() -> None:
    values = np.tile(GRAVITY, (5000, 1))
    values[2500:] += 3.0
    keep = np.r_[0:2400, 2600:5000]
    clock = ListedClock(0, keep.astype(np.int64) * 1_000_000, 1_000_000_000)
    family = Jerk(accel(1000.0))
    got = table_of(family, [block(values[keep], 1000.0, clock=clock)])["accel.jerk"][:, 0]
    assert got.max() < 1e-6, got
    spoilt = np.tile(GRAVITY, (5000, 1))
    spoilt[2500] = np.nan
    assert all(cell == 0.0 for cell in jerks(spoilt, 1000.0)), jerks(spoilt, 1000.0)
    assert jerks(np.tile(GRAVITY, (60, 1)), 10.0) == [None] * 6


def kinetic(spec: StreamSpec, degc: F64, period_s: float) -> Table:
    clock = RegularClock.of_rate(1 / period_s)
    times = clock.times_ns(0, len(degc))
    whole = SiBlock("temperature", 0, times, clock.period_ps // 1000, degc[:, None].astype(np.float32))
    return table_of(Kinetic(spec), [whole])


@pytest.mark.parametrize("period_s", [1.0, 0.25, 30.0])
def test_twelve_hours_of_20_and_of_30_degrees(period_s: float) -> None:
    half = round(12 * 3600 / period_s / 20)  # a twentieth is as good
    table = kinetic(TABLE["temperature"], np.repeat([20.0, 30.0], half), period_s)
    for merged in (table.whole(), table.merged(600).whole()):
        (got,) = Kinetic(TABLE["temperature"]).columns(merged.part("accel"))["temperature_kinetic_degc"]
        assert got == pytest.approx(26.260, abs=0.0051), got
    first = Kinetic(TABLE["temperature"]).columns(table.part("accel"))["temperature_kinetic_degc"]
    assert isinstance(first, list)
    assert (first[0], first[-1]) == (20.0, 30.0)


def test_a_failed_thermometer_ages_nothing() -> None:
    spec = msgspec.structs.replace(TABLE["temperature"], name="accel")
    table = kinetic(spec, np.array([5.0, np.nan, -300.0, np.inf, 5.0, 1e9]), 1.0)
    cells = Kinetic(spec).columns(table.part("accel"))["accel_kinetic_degc"]
    assert cells == [5.0, None, None, None, 5.0, None]
    assert Kinetic(spec).columns(table.whole().part("accel"))["accel_kinetic_degc"] == [5.0]


def sloshes(values: F64, rate_hz: float, width_m: float | None = None) -> dict[str, float | None]:
    family = SloshBand(accel(rate_hz), 0.4, 0.2, width_m)
    cells = family.columns(table_of(family, [block(values, rate_hz)]).whole().part("accel"))[
        "accel_slosh_mps2"
    ]
    assert isinstance(cells, dict)
    return {wave: values[0] for wave, values in cells.items()}


@pytest.mark.parametrize("rate_hz", [1000.0, 476.0, 100.0, 51.0])
def test_a_push_at_the_tanks_own_frequency_is_in_its_band(rate_hz: float) -> None:
    """However the sensor is mounted; and what is up and down pushes no liquid."""
    t = np.arange(round(60 * rate_hz)) / rate_hz
    up, along = np.array([0.6, 0.0, 0.8]), np.array([-0.8, 0.0, 0.6])
    (_, second_hz, third_hz) = slosh_frequencies_hz(0.4, 0.2)
    push = np.sin(2 * math.pi * second_hz * t)[:, None] * along * math.sqrt(2) * 0.5
    heave = np.sin(2 * math.pi * third_hz * t)[:, None] * up * 2.0
    got = sloshes(9.80665 * up + push + heave, rate_hz)
    assert got["length_2"] == pytest.approx(0.5, rel=0.02), got
    assert got["length_1"] == pytest.approx(0.0, abs=0.01), got
    assert got["length_3"] == pytest.approx(0.0, abs=0.01), got


def test_the_bands_of_noise_are_as_wide_as_they_are_and_may_overlap() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1.0, (300_000, 3)) + GRAVITY
    got = sloshes(noise, 1000.0, width_m=0.37)
    for wave, natural_hz in SloshBand(accel(1000.0), 0.4, 0.2, 0.37).frequencies_hz.items():
        expected = math.sqrt(2 * 0.2 * natural_hz / 500.0)  # two horizontal axes
        assert got[wave] == pytest.approx(expected, rel=0.12), (wave, got)
    assert len(got) == 6


def test_a_tank_whose_waves_are_too_fast_for_the_rate_has_none() -> None:
    got = sloshes(np.random.default_rng(0).normal(0, 1.0, (300, 3)) + GRAVITY, 5.0)
    assert got["length_1"] is not None
    assert got["length_3"] is None, got


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, 5999), max_size=10))
def test_any_partition_gives_the_same_to_the_last_bit(cuts: list[int]) -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(0, 1, (6000, 3)) + GRAVITY
    values[1234] = np.nan
    times = np.arange(6000, dtype=np.int64) * 4_999_000 + 333_000_000
    times[4000:] += 900_000_000
    whole = block(values, 200.0, clock=ListedClock(0, times, 5_000_000_000))
    for make in (Jerk, Kinetic, lambda spec: SloshBand(spec, 0.4, 0.2)):
        expected = table_of(make(accel(200.0)), [whole])
        found = table_of(make(accel(200.0)), pieces(whole, cuts))
        for merge, cells in expected.cells.items():
            assert cells.tobytes() == found.cells[merge].tobytes(), (make, merge)
