"""Temperature and humidity: how long, how far, how fast; and readings that are none."""

from __future__ import annotations

import numpy as np
import pytest

from agent.detection.band import BandDetector, _Rate
from agent.detection.finding import EventType, Finding
from agent.detection.humidity import HumiditySettings
from agent.detection.plausible import DEGC, Plausible
from agent.detection.temperature import TemperatureSettings
from agent.records import Phase
from tests.detection.cutting import heard, same_however_cut, worst
from tests.detection.signals import F64

VACCINES = TemperatureSettings(
    low_degc=2.0,
    high_degc=8.0,
    freezing_degc=-0.5,
    hold_s=120.0,
    major_after_s=900.0,
    critical_beyond_degc=8.0,
    critical_after_s=300.0,
    release_s=60.0,
)


def detector(settings: TemperatureSettings = VACCINES) -> BandDetector:
    return BandDetector(settings.band(), EventType.TEMPERATURE, "temperature")


def told(values: F64, settings: TemperatureSettings = VACCINES) -> list[Finding]:
    return heard(detector(settings), {"temperature": (values, 1.0)})


def for_minutes(minutes: float, degc: float) -> F64:
    return np.concatenate([np.full(300, 5.0), np.full(round(minutes * 60), degc), np.full(600, 5.0)])


@pytest.mark.parametrize(
    ("minutes", "degc", "severity"),
    [
        (1, 12, 0),
        (5, 12, 2),
        (14, 9, 2),
        (16, 9, 3),
        (4, 17, 2),
        (6, 17, 4),
        (4, -1, 2),
        (6, -1, 4),
        (20, 1, 3),
    ],
)
def test_how_long_and_how_far_decide_how_grave(minutes: float, degc: float, severity: int) -> None:
    said = told(for_minutes(minutes, degc))
    assert worst(said) == severity, said
    if said:
        assert said[-1].phase is Phase.END and said[-1].values["farthest_degc"] == degc
        assert float(said[-1].values["lasted_s"]) == pytest.approx(minutes * 60, abs=1)  # type: ignore[arg-type]


def test_severity_is_told_when_it_is_reached() -> None:
    said = told(for_minutes(30, 9.0))
    first = {int(f.severity): (f.phase, f.decided_ns / 1e9) for f in reversed(said)}
    assert first == {2: (Phase.START, 420.0), 3: (Phase.UPDATE, 1200.0)}, said


@pytest.mark.parametrize("wrong", [-127.0, 85.0, np.nan, 150.1, -60.0, 70.0])
@pytest.mark.parametrize("lasts_s", [1, 20, 1500])
def test_a_failed_sensor_is_no_excursion(wrong: float, lasts_s: int) -> None:
    values = np.full(3000, 5.0) + 0.05 * np.sin(np.arange(3000))
    values[600 : 600 + lasts_s] = wrong
    d = detector()
    assert not heard(d, {"temperature": (values, 1.0)})
    assert f"{lasts_s} values were no measurement" in d.notes()[0]


def test_a_jump_that_stays_and_moves_is_believed() -> None:
    """A thermometer that was plugged in elsewhere: after a minute, not at once and not never."""
    values = np.concatenate([np.full(300, 5.0), 45 + 0.1 * np.sin(np.arange(900))])
    said = told(values)
    assert worst(said) == 4 and said[0].decided_ns > 360e9, said


def test_a_first_reading_of_85_is_a_reset() -> None:
    assert not Plausible(DEGC).step(0, 85.0)
    warm = Plausible(DEGC)
    assert [warm.step(i * 10**9, v) for i, v in enumerate((84.0, 84.5, 85.0, 85.5))] == [True] * 4


def test_a_fast_change_is_general_within_the_band() -> None:
    settings = TemperatureSettings(low_degc=-30.0, high_degc=60.0, rate_degc_per_min=1.0)
    slow, fast = (np.clip((np.arange(1800) - 300) / 60 * rate, 0, 15) for rate in (0.8, 1.5))
    noise = np.random.default_rng(2).normal(0, 0.05, 1800)
    assert not told(slow + noise, settings)
    said = told(fast + noise, settings)
    assert worst(said) == 2 and said[-1].phase is Phase.END, said
    assert float(said[-1].values["rate_degc_per_min"]) == pytest.approx(1.5, rel=0.05)  # type: ignore[arg-type]


def test_freezing_alone_is_a_limit() -> None:
    settings = TemperatureSettings(freezing_degc=0.0)
    assert not told(for_minutes(9, 0.5), settings)
    assert worst(told(for_minutes(9, -0.5), settings)) == 4


def test_humidity_likewise() -> None:
    settings = HumiditySettings(high_percent=75.0, hold_s=60, major_after_s=600, critical_after_s=600)
    percent = np.concatenate(
        [np.full(300, 50.0), np.full(900, 85.0), np.full(100, 119.0), np.full(300, 50.0)]
    )
    d = BandDetector(settings.band(), EventType.HUMIDITY, "humidity")
    said = heard(d, {"humidity": (percent, 1.0)})
    assert [int(f.severity) for f in said] == [2, 3, 3], said
    assert said[-1].values["farthest_percent"] == 85.0


def test_where_blocks_are_cut_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    values = 5 + np.cumsum(rng.normal(0, 0.12, 4000))
    values[rng.integers(0, 4000, 30)] = -127.0
    assert same_however_cut(detector, {"temperature": (values, 1.0)})


def test_the_rate_is_that_of_the_halves_and_costs_the_same_with_any_window() -> None:
    """Against the means reckoned anew; holes, too. And no sample is looked at more than three times."""
    rng = np.random.default_rng(3)
    times_ns = np.cumsum(rng.choice([10**9, 10**9 + 7, 25 * 10**9], 900, p=[0.7, 0.29, 0.01]))
    values = np.cumsum(rng.normal(0, 0.2, 900))
    rate = _Rate(120.0)
    for i, (time_ns, value) in enumerate(zip(times_ns.tolist(), values.tolist(), strict=True)):
        got = rate.step(time_ns, value)
        inside = [j for j in range(i + 1) if times_ns[j] > time_ns - 120 * 10**9]
        begin_ns = int(times_ns[inside[0]])
        if len(inside) < 4 or time_ns - begin_ns < 96e9:
            assert got == 0.0
            continue
        halves = [[j for j in inside if (2 * times_ns[j] >= begin_ns + time_ns) == new] for new in (0, 1)]
        (t0, v0), (t1, v1) = ((np.mean(times_ns[h] - begin_ns), values[h].mean()) for h in halves)
        assert got == pytest.approx((v1 - v0) / ((t1 - t0) / 60e9), abs=1e-4), i
    assert not hasattr(rate, "_recent"), "sums are carried along"


def test_no_upper_limit_is_said() -> None:
    band = TemperatureSettings(freezing_degc=-0.5).band()
    (note,) = BandDetector(band, EventType.TEMPERATURE, "temperature").notes()
    assert note == "temperature: no upper limit set; set [detect.temperature] high_degc", note
