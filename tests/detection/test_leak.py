"""Leak: a wet rope, damp air, a pack that loses its pressure; and what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest

from agent.detection.context import ContextWatch
from agent.detection.damp import dew_point_degc
from agent.detection.finding import Finding
from agent.detection.leak import LeakDetector
from agent.detection.leak_settings import LeakSettings
from agent.streams import TABLE
from tests.detection.cutting import heard, same_however_cut, worst
from tests.detection.signals import F64, si_block

RATES_HZ = {"leak": 10.0, "humidity": 1.0, "temperature": 1.0, "pressure": 10.0, "air_pressure": 1.0}
DRY_V = 3.3


def told(settings: LeakSettings | None = None, **streams: F64) -> list[Finding]:
    detector = LeakDetector(settings or LeakSettings(), list(streams))
    return heard(detector, {name: (values, RATES_HZ[name]) for name, values in streams.items()})


def noisy(values: F64, sigma: float, seed: int = 1) -> F64:
    return values + np.random.default_rng(seed).normal(0, sigma, len(values))


def rope(seconds: float = 300) -> tuple[F64, F64]:
    t = np.arange(0, seconds, 0.1)
    return t, noisy(np.full(len(t), DRY_V), 0.02)


@pytest.mark.parametrize("change_v", [-2.5, -0.8, 0.8])
def test_a_rope_that_gets_wet_is_an_alarm_in_seconds(change_v: float) -> None:
    t, volts = rope()
    said = told(leak=volts + change_v * np.clip((t - 100) / 2, 0, 1))
    assert worst(said) == 3 and said[0].values["rope"] == "wet", said
    assert 102 < said[0].decided_ns / 1e9 < 105, said[0]


def test_a_rope_dries_and_the_event_ends() -> None:
    t, volts = rope()
    said = told(leak=volts - 2.0 * ((t > 100) & (t < 150)))
    assert [f.phase.value for f in said] == ["start", "end"], said
    assert said[1].end_ns is not None and 150 < said[1].end_ns / 1e9 < 154, said[1]


def test_a_broken_wire_and_a_short_are_said_as_what_they_are() -> None:
    t, volts = rope()
    limits = LeakSettings(rope_wet_below_v=2.0, rope_broken_above_v=3.6, rope_short_below_v=0.3)
    for level_v, state, severity in ((4.9, "broken", 2), (0.05, "short", 2), (1.2, "wet", 3)):
        said = told(limits, leak=np.where(t > 100, level_v, volts))
        assert (said[0].values["rope"], worst(said)) == (state, severity), said


def test_what_leaves_a_rope_dry() -> None:
    t, volts = rope(1200)
    for what, values in {
        "a wet boot": volts - 2.0 * ((t > 100) & (t < 101)),
        "age": volts - 0.45 * t / 1200,
        "hum": volts + 0.4 * np.sin(2 * np.pi * 3.3 * t),
        "no number": np.where((t > 100) & (t < 130), np.nan, volts),
    }.items():
        assert not told(leak=values), what


T = np.arange(0, 2400.0)
RAMP = np.clip((T - 600) / 300, 0, 1)


def saturation_hpa(degc: F64) -> F64:
    return np.asarray(6.112 * np.exp(17.62 * degc / (243.12 + degc)))


def relative(vapour_hpa: F64, degc: F64) -> F64:
    return np.minimum(100.0, 100 * vapour_hpa / saturation_hpa(degc))


STEADY = 20 + 0.4 * np.sin(T / 300)


def test_a_puddle_is_general_and_then_major() -> None:
    said = told(temperature=STEADY, humidity=noisy(relative(10 + 7 * RAMP, STEADY), 0.3))
    assert [int(f.severity) for f in said[:2]] == [2, 3], said
    assert said[0].decided_ns < 920e9 and said[1].decided_ns < 1100e9, said


def test_cold_alone_makes_no_water() -> None:
    degc = STEADY - 1.8 * RAMP
    touchy = LeakSettings(damp_percent=4.0, damp_dew_degc=1.0)
    assert not told(touchy, temperature=degc, humidity=relative(np.full(len(T), 14.0), degc))
    assert told(touchy, temperature=degc, humidity=relative(14 + 2 * RAMP, degc))


def passing(size: float, lasts_s: float, fades_s: float) -> F64:
    up = np.clip((T - 600) / lasts_s, 0, 1)
    return np.asarray(size * up * np.exp(-np.clip(T - 600 - lasts_s, 0, None) / fades_s))


@pytest.mark.parametrize(
    ("what", "degc", "percent"),
    [
        ("a door", STEADY, relative(10 + passing(6, 60, 90), STEADY)),
        ("a door for three minutes", STEADY, relative(10 + passing(6, 180, 150), STEADY)),
        ("warm damp air", STEADY + passing(5, 60, 600), relative(10 + passing(9, 60, 900), STEADY)),
        ("a cold night", STEADY - 9 * RAMP, relative(np.full(len(T), 10.0), STEADY - 9 * RAMP)),
        ("cartons in the sun", STEADY + 15 * RAMP, 50 + 5 * RAMP),
        ("the weather", STEADY, relative(10 + 3 * T / 2400, STEADY)),
        ("a failed hygrometer", STEADY, np.where(T > 600, 100.0, 40.0)),
        ("a failed thermometer", np.where(T > 600, -127.0, STEADY), relative(10 + 7 * RAMP, STEADY)),
    ],
)
def test_what_is_no_puddle(what: str, degc: F64, percent: F64) -> None:
    said = told(temperature=degc, humidity=np.where(percent < 99.9, noisy(percent, 0.2), percent))
    assert worst(said) < 3, (what, said)


def test_a_door_that_is_known_to_be_open_is_none() -> None:
    watch = ContextWatch([TABLE["lid"]])
    lid = np.where((T > 600) & (T < 900), 0.0, 1.0)
    watch.feed(si_block("lid", lid, 1.0))
    watch.advance(1 << 62)
    streams = {"temperature": (STEADY, 1.0), "humidity": (relative(10 + passing(6, 280, 9999), STEADY), 1.0)}
    assert heard(LeakDetector(LeakSettings(), list(streams)), streams), "it would be one"
    assert not heard(LeakDetector(LeakSettings(), [*streams, "lid"], watch), streams)


def test_dew_point() -> None:
    """WMO-No. 8, annex 4.B; 20 °C and 50 % is 9.3 °C in every table."""
    assert dew_point_degc(20, 50) == pytest.approx(9.3, abs=0.05)
    assert dew_point_degc(12.3, 100) == pytest.approx(12.3, abs=1e-9)


AIR_PA = np.full(len(T), 101_325.0)
FINE = np.arange(0, 2400, 0.1)


def fine(values: F64) -> F64:
    return np.asarray(np.interp(FINE, T, values), dtype=np.float64)


def test_a_pack_that_loses_its_gas() -> None:
    for absolute in (0.0, 101_325.0):
        pressure = noisy(absolute + 20_000 - 9_000 * fine(RAMP), 20)
        said = told(pressure=pressure, air_pressure=AIR_PA, temperature=STEADY)
        assert [int(f.severity) for f in said[:2]] == [2, 3], said
        assert float(said[0].values["lost_part"]) == pytest.approx(0.17, abs=0.02)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "gauge_pa", "air_pa", "degc"),
    [
        ("a pass", 20_000 + 9_000 * RAMP, AIR_PA - 9_000 * RAMP, STEADY),
        ("a pass with 48 kPa", 48_000 + 9_000 * RAMP, AIR_PA - 9_000 * RAMP, STEADY),
        ("the valley", 20_000 - 9_000 * RAMP, AIR_PA + 9_000 * RAMP, STEADY),
        ("a cold night", 20_000 - 121_325 * 15 / 293 * RAMP, AIR_PA, STEADY - 15 * RAMP),
        ("a vented tank that is emptied", 2_500 - 2_500 * RAMP, AIR_PA, STEADY),
    ],
)
def test_a_tight_pack(what: str, gauge_pa: F64, air_pa: F64, degc: F64) -> None:
    said = told(pressure=noisy(fine(gauge_pa), 20), air_pressure=air_pa, temperature=degc)
    assert not said, (what, said)


@pytest.mark.parametrize("shows", [85.0, -127.0, np.nan])
def test_a_thermometer_that_fails_is_no_leak_of_a_pack(shows: float) -> None:
    """Taken at its word, 85 °C would ask for 22 kPa more than there are."""
    degc = np.where(T > 600, shows, STEADY)
    streams = {
        "pressure": (noisy(np.full(len(FINE), 20_000.0), 20), 10.0),
        "air_pressure": (AIR_PA, 1.0),
        "temperature": (degc, 1.0),
    }
    watch = LeakDetector(LeakSettings(), list(streams))
    said = heard(watch, streams)
    assert not said, said
    assert any("no temperature that could be believed" in note for note in watch.notes()), watch.notes()


def test_air_that_is_no_number_at_first_does_not_end_the_watch() -> None:
    air_pa = np.where((T > 4) & (T < 30), np.nan, AIR_PA)
    said = told(pressure=noisy(20_000 - 9_000 * fine(RAMP), 20), air_pressure=air_pa, temperature=STEADY)
    assert worst(said) == 3, said


def test_a_barometer_that_says_nothing_is_not_believed_for_ever() -> None:
    """It falls silent at 550 s, before a descent of 300 m; when it is back, a leak is told again."""
    loses = np.clip((T - 1700) / 300, 0, 1)
    gauge_pa = fine(20_000 - 3_600 * RAMP - 12_000 * loses)
    noise = np.random.default_rng(2).normal(0, 20, len(gauge_pa))
    watch = LeakDetector(LeakSettings(), ["pressure", "air_pressure"])
    said: list[Finding] = []
    for s in range(len(T)):
        tens = slice(10 * s, 10 * s + 10)
        watch.feed(si_block("pressure", (gauge_pa + noise)[tens], 10.0, start_s=s))
        if not 550 <= s < 1400:
            watch.feed(si_block("air_pressure", np.array([101_325.0 + 3_600 * RAMP[s]]), 1.0, start_s=s))
        said += watch.advance((s + 1) * 10**9)
    assert said and said[0].decided_ns > 1700e9 and worst(said) == 3, said
    assert "no air_pressure that could be believed" in watch.notes()[0], watch.notes()


def test_it_says_when_the_air_was_not_judged() -> None:
    streams = {"temperature": (STEADY + 5 * (T > 900), 1.0), "humidity": (np.full(len(T), 40.0), 1.0)}
    watch = LeakDetector(LeakSettings(), list(streams))
    assert not watch.notes()
    heard(watch, streams)
    assert "after 2 °C of warming or cooling" in watch.notes()[0], watch.notes()


def test_two_that_agree_are_critical_and_where_blocks_are_cut_changes_nothing() -> None:
    streams = {
        "leak": (fine(np.where(T > 1000, DRY_V - 2.0, DRY_V)), 10.0),
        "temperature": (STEADY, 1.0),
        "humidity": (relative(10 + 7 * RAMP, STEADY), 1.0),
    }
    said = same_however_cut(lambda: LeakDetector(LeakSettings(), list(streams)), streams)
    assert worst(said) == 4 and said[-1].values["by"] == "rope+humidity", said
