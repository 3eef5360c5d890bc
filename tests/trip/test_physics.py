"""The trip obeys the laws that it claims: spectrum, springs, falls, weights, waves and damp air."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_bridge.virtual import physics_climate as climate
from firmware_bridge.virtual.physics_tank import MEMORY_S, Tank, TankGauge
from firmware_bridge.virtual.road import (
    ASTM_D4169_TRUCK_II_RMS_G,
    Isolator,
    RoadNoise,
    bump_mps2,
    truck_psd_g2_per_hz,
)
from firmware_bridge.virtual.script import RESTITUTION
from firmware_bridge.virtual.streams import GRAVITY_MPS2
from firmware_bridge.virtual.trip import Trip
from tests.trip.watch import played

ROAD_S = 600
Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def road() -> tuple[Values, Values]:
    """Vertical acceleration in g, of the truck bed and of the box, 10 minutes of level II."""
    noise = RoadNoise(11)
    platform = np.concatenate([noise.platform_mps2(k)[:, 2] for k in range(ROAD_S)])
    box = np.concatenate([noise.box_mps2(k)[:, 2] for k in range(ROAD_S)])
    return platform / GRAVITY_MPS2, box / GRAVITY_MPS2


def _density(values: Values) -> tuple[Values, Values]:
    """One-sided density by Welch's method: Hann windows of 8 s, half over each other."""
    samples = 8000
    window = np.hanning(samples)
    views = np.lib.stride_tricks.sliding_window_view(values, samples)[:: samples // 2]
    power = np.zeros(samples // 2 + 1)
    for view in views:
        power += np.abs(np.fft.rfft(view * window)) ** 2
    density = 2 * power / (len(views) * 1000 * np.sum(window**2))
    return np.arange(power.size) * 1000 / samples, density


def _third_octaves(hz: Values, density: Values) -> tuple[Values, Values]:
    centres_hz = 10 ** (np.arange(1, 23) / 10)  # 1.26 to 158 Hz
    means = [density[(hz >= centre * 10**-0.05) & (hz < centre * 10**0.05)].mean() for centre in centres_hz]
    return centres_hz, np.asarray(means)


def test_the_spectrum_has_the_standards_level() -> None:
    hz = np.linspace(0, 500, 500_001)
    for level, rms_g in (("I", 0.73), ("II", 0.52), ("III", 0.37)):
        got_g = math.sqrt(float(np.trapezoid(truck_psd_g2_per_hz(hz, level), hz)))
        assert got_g == pytest.approx(rms_g, abs=0.01), f"level {level}: {got_g:.4f} g rms"


def test_the_platform_follows_the_standards_breakpoints(road: tuple[Values, Values]) -> None:
    platform_g, _ = road
    rms_g = float(platform_g.std())
    assert rms_g == pytest.approx(ASTM_D4169_TRUCK_II_RMS_G, rel=0.03), f"{rms_g:.4f} g rms"
    hz, density = _density(platform_g)
    centres_hz, got = _third_octaves(hz, density)
    _, wanted = _third_octaves(hz, truck_psd_g2_per_hz(hz))
    off_db = 10 * np.log10(got / wanted)
    # ASTM D4728 lets a table be off by 3 dB; a synthesis must do better than a machine.
    for centre_hz, db in zip(centres_hz, off_db, strict=True):
        assert abs(db) < 1.0, f"{centre_hz:.1f} Hz: {db:+.2f} dB off the standard"
    outside = density[(hz > 205) | ((hz > 0.1) & (hz < 0.5))].max()
    assert outside < 1e-5, f"{outside:.2e} g²/Hz outside the standard's band"


def test_no_seam_can_be_heard(road: tuple[Values, Values]) -> None:
    """Gaussian, and as strong in the middle of a block as where two meet."""
    platform_g, _ = road
    by_place = platform_g.reshape(-1, 8, 250).std(axis=(0, 2))  # eighths of the hop of 2 s
    assert by_place.max() / by_place.min() < 1.08, f"g rms over a hop: {by_place.round(3)}"
    kurtosis = float(np.mean((platform_g / platform_g.std()) ** 4))
    assert kurtosis == pytest.approx(3.0, abs=0.15), f"kurtosis {kurtosis:.3f}, Gaussian is 3"
    jump = np.abs(np.diff(platform_g))
    at_seams = jump[1999::2000].mean()
    assert at_seams == pytest.approx(jump.mean(), rel=0.2), f"{at_seams:.4f} g at seams of {jump.mean():.4f}"


def test_the_box_rides_on_a_damped_spring(road: tuple[Values, Values]) -> None:
    platform_g, box_g = road
    hz, below = _density(platform_g)
    _, above = _density(box_g)
    spring = Isolator()
    for frequency_hz in (2.0, 3.0, 5.0, 8.0, 15.0, 40.0):
        near = (hz > frequency_hz * 0.9) & (hz < frequency_hz * 1.1)
        ratio = frequency_hz / spring.natural_hz
        # the textbook's transmissibility, Rao, Mechanical Vibrations, 3.66
        share = (1 + (2 * spring.damping * ratio) ** 2) / (
            (1 - ratio**2) ** 2 + (2 * spring.damping * ratio) ** 2
        )
        got = float(above[near].sum() / below[near].sum())
        assert got == pytest.approx(share, rel=0.15), f"{frequency_hz} Hz: power {got:.4f} of {share:.4f}"


def test_a_bump_leaves_the_box_where_it_was() -> None:
    accel = bump_mps2(Isolator(), crossing_s=0.35)
    speed = np.cumsum(accel) / 1000
    height = np.cumsum(speed) / 1000
    assert abs(speed[-1]) < 0.01, f"{speed[-1]:.4f} m/s left of a bump of 1 m"
    assert abs(height[-1]) < 0.02, f"{height[-1]:.4f} m left of a bump of 1 m"
    assert height.max() > 0.3, f"the box rose by {height.max():.3f} m of 1 m"


def test_an_impact_gives_back_the_speed_of_the_fall() -> None:
    for seed in (1, 2, 3):
        trip = Trip(seed)
        drop = next(h for h in trip.truth(60) if h.kind == "drop")
        vertical = played(seed, "demo", 60)["accel"][:, 2]
        speed = drop.values["impact_speed_mps"]
        begin = round(drop.due_s * 1000)
        contact = vertical[begin : begin + 50] - GRAVITY_MPS2
        gained = float(contact.sum()) / 1000
        assert gained == pytest.approx((1 + RESTITUTION) * speed, rel=0.03), f"{gained:.3f} m/s of {speed}"
        # and over the whole drop the speeds cancel
        whole = vertical[round(drop.start_s * 1000) : round(drop.end_s * 1000)] - GRAVITY_MPS2
        assert abs(float(whole.sum()) / 1000) < 0.1, f"{float(whole.sum()) / 1000:.3f} m/s left"


def test_the_cells_carry_mass_times_specific_force() -> None:
    values = played(1, "road", 120)
    for k in (5, 22, 30, 45):
        total_kg = values["load"][k * 80 : (k + 1) * 80].sum(axis=1)[2::2]
        # every other sample ends on a whole millisecond, 25 after the one before: two conversions
        pairs_kg = (values["load"][k * 80 : (k + 1) * 80].sum(axis=1)[1::2][: total_kg.size] + total_kg) / 2
        force = values["accel"][k * 1000 : (k + 1) * 1000, 2].reshape(-1, 25).mean(axis=1)[: total_kg.size]
        off_kg = np.abs(pairs_kg - 60.0 * force / GRAVITY_MPS2)
        assert off_kg.max() < 0.15, f"second {k}: sum of the cells off m·f by {off_kg.max():.3f} kg"


def test_weight_moves_forward_under_braking_and_back_uphill() -> None:
    trip = Trip(1)
    truth = {h.kind: h for h in trip.truth(60)}
    for kind, sign in (("brake", 1), ("slope", -1), ("tilt", -1)):
        k = int((truth[kind].start_s + truth[kind].end_s) / 2)
        load = trip.second(k)["load"].mean(axis=0)
        rest = trip.second(0)["load"].mean(axis=0)
        front, before = load[:2].sum() / load.sum(), rest[:2].sum() / rest.sum()
        assert sign * (front - before) > 0.004, f"{kind}: front share {before:.4f} to {front:.4f}"


def test_slosh_frequency_of_a_known_tank() -> None:
    assert Tank(length_m=0.4, depth_m=0.2).slosh_hz == pytest.approx(1.338, abs=0.001)  # figures of design


def test_the_wave_rings_at_the_tanks_frequency() -> None:
    gauge = TankGauge()
    lateral = np.zeros((MEMORY_S + 30) * 50)
    lateral[MEMORY_S * 50 : MEMORY_S * 50 + 10] = 1.0  # one short push
    ring = gauge.run_pa(lateral, np.full(lateral.size, GRAVITY_MPS2))[50:]
    ring = ring - ring[-1]
    spectrum = np.abs(np.fft.rfft(ring, 1 << 16))
    peak_hz = float(np.argmax(spectrum)) * 50 / (1 << 16)
    damped_hz = gauge.tank.slosh_hz * math.sqrt(1 - gauge.tank.damping**2)
    assert peak_hz == pytest.approx(damped_hz, abs=0.02), f"peak at {peak_hz:.3f} Hz, mode at {damped_hz:.3f}"
    # and in the trip itself, from the end of the slalom on to the rest of the leg
    trip = Trip(1)
    slosh = next(h for h in trip.truth(60) if h.kind == "slosh")
    pressure = played(1, "demo", 60)["pressure"][round(slosh.start_s * 50) :, 0]
    spectrum = np.abs(np.fft.rfft((pressure - pressure.mean()) * np.hanning(pressure.size), 1 << 16))
    peak_hz = float(np.argmax(spectrum)) * 50 / (1 << 16)
    assert peak_hz == pytest.approx(trip.tank.slosh_hz, abs=0.05), f"{peak_hz:.3f} Hz in the trip"


def test_a_steady_push_tilts_the_surface_as_statics_say() -> None:
    gauge = TankGauge()
    seconds = (MEMORY_S + 2) * 50
    still = gauge.run_pa(np.zeros(seconds), np.full(seconds, GRAVITY_MPS2))
    assert still == pytest.approx(1000 * GRAVITY_MPS2 * 0.2, abs=0.5), f"{still[0]:.1f} Pa of 0.2 m of water"
    pushed = gauge.run_pa(np.full(seconds, 1.0), np.full(seconds, GRAVITY_MPS2))
    # tan θ = a/g: at the wall the surface stands a/g · L/2 higher
    assert pushed - still == pytest.approx(500.0, abs=1.0), f"{pushed[0] - still[0]:.1f} Pa"
    assert gauge.run_pa(np.full(seconds, -9.0), np.full(seconds, GRAVITY_MPS2)).min() >= 0.0


def test_damp_air() -> None:
    # WMO-No. 8, annex 4.B, and its table: 0 °C 6.11 hPa, 20 °C 23.37, 30 °C 42.43
    for degc, hpa in ((0.0, 6.112), (20.0, 23.37), (30.0, 42.43)):
        assert climate.saturation_hpa(degc) == pytest.approx(hpa, rel=0.003)
    plan = climate.ClimatePlan(open_s=10, close_s=30, dry_s=44, yard_degc=30, yard_hpa=18.2)
    at_40 = climate.air_at(plan, climate.START_AIR, 40)
    by_hand_degc = 5 + (25 - 25 * math.exp(-20 / 80)) * math.exp(-10 / 18)
    assert at_40.temperature_degc == pytest.approx(by_hand_degc, abs=1e-9)
    assert climate.air_at(None, climate.START_AIR, 1e6) == climate.START_AIR


def test_the_air_has_no_step_between_legs() -> None:
    values = played(1, "demo", 180)
    for name, most in (("temperature", 0.5), ("humidity", 7.0)):
        steps = np.abs(np.diff(values[name][:, 0]))
        assert steps.max() < most, (
            f"{name}: {steps.max():.2f} from one second to the next at {steps.argmax()}"
        )
        assert steps[[59, 119]].max() < 1.0, f"{name}: {steps[[59, 119]]} at the legs' seams"
