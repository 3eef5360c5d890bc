"""How far a certified stream can be trusted: by its temperature, its date, and what it reads at rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from agent.blocks import Block, RegularClock
from agent.correction import Correction
from agent.drift import Second, ZeroWatch
from agent.pipeline import Pipeline
from agent.records import Head
from agent.reduction import UploadSettings
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark, TimeQuality
from agent.trust import Timeline, expiry_words, worst
from calibration.certificate import Certificate, TemperatureTerm, instant_ns
from calibration.thermal_tracking import Drift, Trust

G_MPS2 = 9.80665
RATE_HZ = 50
WALL_NS = instant_ns("2026-06-01T00:00:00Z") or 0
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
F64 = npt.NDArray[np.float64]


def certificate(**changes: Any) -> Certificate:
    base = Certificate(
        stream="accel",
        gain=IDENTITY,
        bias=(0.0, 0.0, 0.0),
        standard_uncertainty=0.01,
        method="m",
        made_at="2026-01-01T00:00:00Z",
    )
    return msgspec.structs.replace(base, **changes)


def block(name: str, values: F64, rate_hz: float = RATE_HZ) -> Block:
    return Block(name, 0, RegularClock.of_rate(rate_hz), values.astype(np.float32))


def states(
    blocks: Sequence[Block],
    certificates: Sequence[Certificate],
    *,
    marks: Sequence[TimeMark] = (),
) -> list[str | None]:
    """Return the trust of every second's features."""
    # samples wide enough to pay for a record each second
    specs = [msgspec.structs.replace(TABLE[b.stream], sample_bits=640) for b in blocks]
    pipeline = Pipeline(
        specs,
        head=Head("b", "0" * 16, "t"),
        fleet="f",
        certificates=certificates,
        upload=UploadSettings(budget=1.0, reserve=0.0, batch_s=1),
    )
    bodies = [json.loads(r.payload) for r in [*pipeline.push(*marks, *blocks), *pipeline.finish()]]
    return [body.get("trust") for body in bodies if "columns" in body for _ in range(body["n"])]


def at_rest(seconds: int, level_mps2: float = G_MPS2, noise_mps2: float = 0.02, seed: int = 0) -> F64:
    rng = np.random.default_rng(seed)
    return np.array([0.0, 0.6, 0.8]) * level_mps2 + rng.normal(0, noise_mps2, (seconds * RATE_HZ, 3))


def final(values: F64, given: Certificate) -> tuple[str, str]:
    """Return the state at the end of a recording."""
    correction = Correction([TABLE[given.stream]], [given])
    end = block(given.stream, values)
    correction.apply(end)
    return correction.trust(end.last_ns, TimeMark(0, WALL_NS, TimeQuality.SYNCED))[given.stream]


# -- the timeline ----------------------------------------------------------------------------------


def test_a_timeline_is_asked_for_what_was_before() -> None:
    line = Timeline()
    line.set(10, Trust.DEGRADED, "warm")
    line.set(20, Trust.DEGRADED, "warm")
    line.set(30, Trust.TRUSTED, "")
    assert [line.before(t) for t in (10, 11, 30, 31)] == [
        Trust.TRUSTED, Trust.DEGRADED, Trust.DEGRADED, Trust.TRUSTED,
    ]  # fmt: skip
    assert line.worst_within(0, 10) is Trust.TRUSTED
    assert line.worst_within(0, 11) is Trust.DEGRADED
    assert line.worst_within(29, 40) is Trust.DEGRADED
    assert line.worst_within(30, 40) is Trust.TRUSTED
    line.forget_before(31)
    assert (len(line), line.before(40), line.changes) == (1, Trust.TRUSTED, 2)
    assert worst([Trust.NOT_TRUSTED, Trust.DEGRADED]) is Trust.NOT_TRUSTED


# -- temperature and date --------------------------------------------------------------------------


def test_without_a_certificate_nothing_is_said() -> None:
    assert states([block("accel", at_rest(5))], []) == [None] * 5


def test_outside_of_its_temperatures() -> None:
    degc = np.array([20.0] * 10 + [41.0] * 10 + [39.8] * 10 + [20.0] * 5)[:, None]
    warm = block("temperature", degc, 1)
    found = states([block("accel", at_rest(35)), warm], [certificate(low_degc=0.0, high_degc=40.0)])
    # 39.8 is within, but too near to be sure again
    assert found == ["trusted"] * 10 + ["degraded"] * 20 + ["trusted"] * 5


def test_the_sensor_counts_and_not_the_air() -> None:
    term = TemperatureTerm(reference_degc=20.0, bias_per_degc=(0.0,) * 3, lag_s=10.0, high_degc=40.0)
    degc = np.array([20.0] * 5 + [50.0] * 30)[:, None]
    found = states(
        [block("accel", at_rest(35)), block("temperature", degc, 1)], [certificate(temperature=term)]
    )
    # 50 − 30·e^(−t/10 s) passes 40 after 11 s
    assert found == ["trusted"] * 16 + ["degraded"] * 19


def test_a_term_widens_the_range_of_its_certificate() -> None:
    term = TemperatureTerm(reference_degc=20.0, bias_per_degc=(0.0,) * 3, low_degc=-10.0, high_degc=40.0)
    given = certificate(temperature=term, low_degc=15.0, high_degc=25.0)
    degc = np.array([20.0] * 5 + [38.0] * 5 + [-8.0] * 5 + [-12.0] * 5)[:, None]
    found = states([block("accel", at_rest(20)), block("temperature", degc, 1)], [given])
    assert found == ["trusted"] * 15 + ["degraded"] * 5


def test_a_temperature_that_is_missing() -> None:
    silent = certificate(high_degc=40.0)
    found = states([block("accel", at_rest(70))], [silent])
    assert found == ["trusted"] * 61 + ["degraded"] * 9, "a minute is waited for it"
    assert set(states([block("accel", at_rest(70))], [certificate()])) == {"trusted"}, "it does not need one"
    stops = block("temperature", np.full((5, 1), 20.0), 1)
    found = states([block("accel", at_rest(70)), stops], [silent])
    assert found == ["trusted"] * 65 + ["degraded"] * 5, "the last is of 4 s"


def test_a_state_begins_with_the_sample_that_it_is_of() -> None:
    """Not with the second that the sample is in: what happened before it cannot know."""
    given = certificate(low_degc=0.0, high_degc=40.0)
    correction = Correction([TABLE["temperature"], TABLE["accel"]], [given])
    correction.apply(block("temperature", np.full((20, 1), 50.0), 1))
    late = Block(
        "accel", 0, RegularClock.of_rate(RATE_HZ, anchor_ns=10_500_000_000), at_rest(2).astype(np.float32)
    )
    correction.apply(late)
    mark = TimeMark(0, WALL_NS, TimeQuality.SYNCED)
    said = [correction.trust_of(("accel",), 0, end_ns, mark) for end_ns in (10_500_000_000, 10_500_000_001)]
    assert said == ["trusted", "degraded"]


def test_expired() -> None:
    given = certificate(valid_until="2026-06-01T00:00:10Z")
    ride = [block("accel", at_rest(20))]
    synced = TimeMark(0, WALL_NS, TimeQuality.SYNCED)
    assert states(ride, [given], marks=[synced]) == ["trusted"] * 9 + ["degraded"] * 11
    unset = TimeMark(0, WALL_NS, TimeQuality.UNSET)
    assert set(states(ride, [given], marks=[unset])) == {"trusted"}, (
        "a clock that was never set proves nothing"
    )


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("", ""),
        ("2026-07-05", ""),
        ("2026-06-30", "expires in 30 days, on 2026-06-30"),
        ("2026-06-01", "expires in 1 day, on 2026-06-01"),
        ("2026-05-31", "expires in 0 days"),
        ("2026-05-30", "expired: it was valid until 2026-05-30"),
    ],
)
def test_the_warning_before_it_expires(until: str, words: str) -> None:
    said = expiry_words(certificate(valid_until=until), WALL_NS)
    assert (words in said) and bool(words) == bool(said), said


# -- the accelerometer at rest ---------------------------------------------------------------------


def test_gravity_is_what_it_reads_at_rest() -> None:
    assert final(at_rest(300), certificate()) == ("trusted", "")


@pytest.mark.parametrize("seed", range(5))
def test_within_what_it_states_it_is_trusted(seed: int) -> None:
    off = np.random.default_rng(seed).normal(0, 0.018)  # its 0.01, and gravity's 0.015
    assert final(at_rest(200, G_MPS2 + off, seed=seed), certificate())[0] == "trusted", f"{off:.3f} m/s² off"


def test_off_by_more_than_it_states_it_is_doubted_and_then_not_trusted() -> None:
    near, far = 4 * 0.018, 10 * 0.018
    assert final(at_rest(200, G_MPS2 + near), certificate())[0] == "degraded"
    assert final(at_rest(30, G_MPS2 - far), certificate())[0] == "degraded", "not at once"
    state, why = final(at_rest(200, G_MPS2 - far), certificate())
    assert (state, "less than gravity" in why) == ("not trusted", True), why


def test_it_is_trusted_again_when_it_reads_gravity_again() -> None:
    values = np.concatenate((at_rest(100, G_MPS2 + 0.3), at_rest(100)))
    assert final(values, certificate())[0] == "trusted"


def test_a_sample_that_is_no_number_is_no_reason_to_doubt() -> None:
    values = at_rest(100)
    values[:: 7 * RATE_HZ + 3, 1] = np.nan
    correction = Correction([TABLE["accel"]], [certificate()])
    correction.apply(block("accel", values))
    assert correction.trust_changes == 0, correction.trust(0, TimeMark(0, 0, TimeQuality.UNSET))


def road(seconds: int, seed: int) -> F64:
    """A van: vibration of 0.7 m/s², bends, brakes and hills, that never stand still for ten seconds."""
    rng = np.random.default_rng(seed)
    n = seconds * RATE_HZ
    window = np.ones(3 * RATE_HZ) / (3 * RATE_HZ)
    manoeuvres = np.stack([np.convolve(rng.normal(0, 9, n), window, "same") for _ in range(3)], axis=1)
    return np.array([0.0, 0.0, G_MPS2]) + manoeuvres + rng.normal(0, 0.7, (n, 3))


@pytest.mark.parametrize("seed", range(3))
def test_a_ride_is_no_reason_to_doubt(seed: int) -> None:
    values = np.concatenate((at_rest(60), road(600, seed), at_rest(30)))
    correction = Correction([TABLE["accel"]], [certificate()])
    correction.apply(block("accel", values))
    assert correction.trust_changes == 0, correction.trust(0, TimeMark(0, 0, TimeQuality.UNSET))


def test_braking_again_and_again_is_no_rest() -> None:
    """0.3 g forward for 9 s, again and again, as steady as a machine."""
    brake, roll = np.array([3.0, 0.0, 0.0]), np.array([-1.0, 0.0, 0.0])
    turns = [np.concatenate((at_rest(9) + brake, at_rest(2) + roll)) for _ in range(20)]
    correction = Correction([TABLE["accel"]], [certificate()])
    correction.apply(block("accel", np.concatenate(turns)))
    assert correction.trust_changes == 0


def test_a_second_that_stood_still_does_not_blind_it() -> None:
    stuck = np.tile([[0.0, 0.6 * G_MPS2, 0.8 * G_MPS2]], (RATE_HZ, 1))
    values = np.concatenate((at_rest(20), stuck, at_rest(7000, G_MPS2 + 0.3)))
    assert final(values, certificate())[0] == "not trusted"


def test_where_nothing_is_stated_nothing_is_held_against_it() -> None:
    given = certificate(standard_uncertainty=None)
    assert final(at_rest(200, 12.0), given)[0] == "trusted"
    notes = Correction([TABLE["accel"]], [given]).notes()
    assert any("states no uncertainty" in note for note in notes), notes


# -- the scale -------------------------------------------------------------------------------------

D_KG, CAPACITY_KG = 0.1, 200.0
LOAD_HZ = 10
SCALE: StreamSpec = msgspec.structs.replace(TABLE["load"], rate_hz=LOAD_HZ)


def scale_certificate(**changes: Any) -> Certificate:
    base = certificate(
        stream="load",
        gain=tuple(tuple(float(i == j) for j in range(4)) for i in range(4)),
        bias=(0.0,) * 4,
        standard_uncertainty=0.03,
        capacity=CAPACITY_KG,
        verification_interval=D_KG,
    )
    return msgspec.structs.replace(base, **changes)


def weighed(total_kg: F64, given: Certificate, seed: int = 0) -> tuple[F64, tuple[str, str]]:
    """Put a total (n,), one a second, on all cells alike; return what is shown each second, and the state."""
    rng = np.random.default_rng(seed)
    cells = np.repeat(total_kg, LOAD_HZ)[:, None] / 4 + rng.normal(0, 0.004, (len(total_kg) * LOAD_HZ, 4))
    correction = Correction([SCALE], [given])
    raw = block("load", cells, LOAD_HZ)
    out = correction.apply(raw).values.astype(np.float64).sum(axis=1)
    return out.reshape(-1, LOAD_HZ).mean(axis=1), correction.trust(0, TimeMark(0, 0, TimeQuality.UNSET))[
        "load"
    ]


def test_an_empty_scale_keeps_its_zero() -> None:
    """It drifts by an interval an hour, four in all."""
    drift = np.linspace(0, 4 * D_KG, 4 * 3600)
    shown, (state, why) = weighed(drift, scale_certificate())
    assert np.abs(shown).max() < 0.25 * D_KG, f"it shows {np.abs(shown).max():.3f} kg at most"
    assert state == "trusted", why


def test_a_load_is_never_taken_for_drift() -> None:
    put_on = np.concatenate((np.zeros(60), np.full(3600, 12.0)))
    shown, (state, _) = weighed(put_on, scale_certificate())
    assert np.abs(shown[100:] - 12.0).max() < 0.05, f"{shown[-1]:.3f} kg of 12"
    assert state == "trusted"


def test_a_small_load_and_one_that_trickles_are_not_taken_either() -> None:
    for total in (
        np.concatenate((np.zeros(60), np.full(1800, 0.6 * D_KG))),
        np.concatenate((np.zeros(60), np.linspace(0, 2.0, 600), np.full(1800, 2.0))),
    ):
        shown, _ = weighed(total, scale_certificate())
        lost = total[-1] - shown[-600:].mean()
        assert lost < 0.25 * D_KG, f"{lost:.3f} kg of {total[-1]} were taken for drift"


def test_a_zero_that_was_off_from_the_start_is_only_watched() -> None:
    shown, _ = weighed(np.full(600, 3 * D_KG), scale_certificate())
    assert shown[-1] == pytest.approx(3 * D_KG, abs=0.02), "whether it is a load nobody can tell"


def test_less_than_nothing_is_doubted_and_then_not_trusted() -> None:
    state, why = weighed(np.full(60, -1.0), scale_certificate())[1]
    assert (state, "less than nothing" in why) == ("degraded", True), why
    assert weighed(np.full(900, -1.0), scale_certificate())[1][0] == "not trusted"
    back = np.concatenate((np.full(900, -1.0), np.full(60, 20.0)))
    assert weighed(back, scale_certificate())[1][0] == "trusted"


@pytest.mark.parametrize(("dead_kg", "dead_load"), [(20.0, 20.0), (4.0, None)])
def test_a_van_that_parks_on_a_slope_is_not_doubted(dead_kg: float, dead_load: float | None) -> None:
    """14°, 25 %: the bare plate weighs less, and the empty scale reads less than nothing for hours."""
    given = scale_certificate(dead_load=dead_load)
    slope_kg = dead_kg * (1 - np.cos(np.radians(14.0)))
    parked = np.concatenate((np.zeros(60), np.full(1800, -slope_kg), np.full(60, 0.0)))
    assert weighed(parked[:1800], given)[1] == ("trusted", ""), f"{-slope_kg:.2f} kg"
    assert weighed(parked, given)[1] == ("trusted", "")
    state, why = weighed(np.full(900, -slope_kg - 0.45), given)[1]
    assert state == "not trusted", f"beyond what a slope takes it is: {why}"


def test_noise_of_stable_equilibrium_is_no_drift_and_a_trickle_is_taken_slowly() -> None:
    """Of 0.2 d that lie there for a minute, less than a third may be taken for drift (400 s)."""
    shown, (state, _) = weighed(np.repeat([0.0, 0.2 * D_KG], [3600, 60]), scale_certificate())
    assert shown[-5:].mean() > 0.7 * 0.2 * D_KG, f"{shown[-5:].mean():.4f} kg left of {0.2 * D_KG}"
    assert state == "trusted"


def test_it_follows_no_faster_than_half_an_interval_a_second_and_no_further_than_four_per_cent() -> None:
    small = scale_certificate(capacity=20.0)
    shown, (state, why) = weighed(np.linspace(0, 1.2, 6 * 3600), small)
    assert state == "not trusted", why
    assert shown[-1] > 1.2 - 0.04 * 20.0 - D_KG, f"it shows {shown[-1]:.2f} kg of 1.2"


class Eager:
    """A tracker that is sure at once."""

    def step(self, time_s: float, values: Sequence[float], *, at_rest: bool) -> Drift:
        return Drift((0.8,) * 4, (0.0,) * 4, (0.0,) * 4, Trust.TRUSTED, frozen=not at_rest)


def test_whatever_the_tracker_says_it_is_half_an_interval_a_second() -> None:
    watch = ZeroWatch(SCALE, scale_certificate())
    watch._tracker = Eager()  # type: ignore[assignment]
    empty = [Second(k * 10**9, LOAD_HZ, (0.0,) * 4, (0.0,) * 4) for k in range(1, 9)]
    totals = [sum(watch.step(second).bias) for second in empty]
    steps = np.diff(totals)
    assert totals[:4] == [0.0] * 4, "not before it is stable"
    assert steps.max() == pytest.approx(D_KG / 2), f"{steps} kg a second"


def test_a_month_without_having_been_empty() -> None:
    """The hops of a loaded scale, a few seconds of each hour."""
    given = scale_certificate()
    correction = Correction([SCALE], [given])
    times = (np.arange(45 * 24)[:, None] * 3600 + np.arange(8)[None, :]).ravel()
    seconds = []
    for k in times:
        values = np.full((LOAD_HZ, 4), 0.0 if k < 60 else 30.0, np.float32)
        one = Block("load", int(k) * LOAD_HZ, RegularClock.of_rate(LOAD_HZ), values)
        correction.apply(one)
        seconds.append((k / 86_400, correction.trust(0, TimeMark(0, 0, TimeQuality.UNSET))["load"][0]))
    first = next(day for day, state in seconds if state != "trusted")
    assert 20 < first < 40, f"degraded after {first:.1f} days"


def test_without_capacity_and_interval_it_is_not_followed() -> None:
    given = scale_certificate(capacity=None)
    shown, _ = weighed(np.linspace(0, 5 * D_KG, 1000), given)
    assert shown[-1] == pytest.approx(5 * D_KG, abs=0.02)
    assert any("not followed" in note for note in Correction([SCALE], [given]).notes())
