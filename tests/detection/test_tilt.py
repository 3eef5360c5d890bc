"""Tilt by levels, with and without a gyroscope, and all that only looks like it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.detection.finding import Finding
from agent.detection.tilt import TiltDetector, TiltSettings
from agent.mounting import Vector
from agent.records import Phase, Severity
from tests.detection.cutting import Streams, heard, same_however_cut, worst
from tests.detection.signals import F64, GRAVITY_MPS2, rest, tilted

RATE_HZ = 100.0
UP = (0.0, 0.0, 1.0)


def told(*parts: F64, up: Vector | None = UP, gyro: F64 | None = None) -> list[Finding]:
    streams: dict[str, tuple[F64, float]] = {"accel": (np.concatenate(parts), RATE_HZ)}
    if gyro is not None:
        streams["gyro"] = gyro, RATE_HZ
    return heard(TiltDetector(TiltSettings(), up, gyro_stream="gyro" if gyro is not None else None), streams)


def brief(findings: list[Finding]) -> list[tuple[Phase, int, float]]:
    return [(f.phase, int(f.severity), round(f.decided_ns / 1e9, 1)) for f in findings]


def test_levels_are_one_event_that_grows() -> None:
    said = told(rest(5, RATE_HZ), tilted(70, RATE_HZ, 20), tilted(20, RATE_HZ, 40), tilted(9, RATE_HZ, 80))
    assert [(p, s) for p, s, _ in brief(said)] == [
        (Phase.START, Severity.GENERAL),
        (Phase.UPDATE, Severity.MAJOR),
        (Phase.UPDATE, Severity.CRITICAL),
        (Phase.END, Severity.CRITICAL),
    ], brief(said)
    assert {f.number for f in said} == {1}
    start_s, major_s, critical_s = (f.decided_ns / 1e9 for f in said[:3])
    # 17° for 30 s, 30° for 5 s, 60° for 1 s, and the low-pass of 0.4 s on the way to each
    assert 35 < start_s < 36.5 and 80 < major_s < 81.5 and 96 < critical_s < 97.5, brief(said)


def test_a_slight_lean_of_a_minute_is_minor_and_ends() -> None:
    said = told(rest(5, RATE_HZ), tilted(70, RATE_HZ, 16), rest(5, RATE_HZ))
    assert [(p, s) for p, s, _ in brief(said)] == [(Phase.START, 1), (Phase.END, 1)], brief(said)


def circling(seconds: float, lateral_g: float, speed_mps: float) -> tuple[F64, F64]:
    """Return force and rate of turn of a box in a long bend: leaned force, turned about the upright."""
    force = rest(seconds, RATE_HZ, (0.0, lateral_g, 1.0))
    gyro = np.zeros_like(force)
    gyro[:, 2] = lateral_g * GRAVITY_MPS2 / speed_mps
    return force, gyro


def noisy(values: F64, sigma: float, seed: int = 4) -> F64:
    return values + np.random.default_rng(seed).normal(0, sigma, values.shape)


def test_a_gyroscope_tells_a_long_bend_from_a_lean() -> None:
    bend, turning = circling(70, 0.36, 12.0)  # 19.8° of lean in the force, on a spiral ramp
    force = noisy(np.concatenate([rest(6, RATE_HZ), bend, rest(5, RATE_HZ)]), 0.05)
    still, after = np.zeros((600, 3)), np.zeros((500, 3))
    offset = np.array([0.02, -0.03, 0.015])
    gyro = noisy(np.concatenate([still, turning, after]) + offset, 0.003)
    assert worst(told(force)) == 2, "without a gyroscope the durations alone decide"
    assert worst(told(force, gyro=gyro)) == 0
    # the same force, and the box did turn to it, by its own axis
    rolled = np.concatenate([still, np.zeros_like(turning), after])
    rolled[600:650, 0] = -math.radians(19.8) / 0.5
    assert worst(told(force, gyro=noisy(rolled + offset, 0.003))) == 2


def test_a_tilt_is_told_with_a_gyroscope_that_sees_nothing_of_it() -> None:
    """A dead gyroscope may delay, but not hide: no brake lasts that long."""
    force = noisy(np.concatenate([rest(6, RATE_HZ), tilted(20, RATE_HZ, 40)]), 0.05)
    said = told(force, gyro=noisy(np.zeros_like(force), 0.003))
    assert worst(said) == 3 and said[0].decided_ns < 12.5e9, brief(said)


def pushed(g_forward: float, seconds: float) -> F64:
    return rest(seconds, RATE_HZ, (g_forward, 0.0, 1.0))


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("a brake of 0.5 g for 4 s", [rest(6, RATE_HZ), pushed(-0.5, 4), rest(9, RATE_HZ)]),
        (
            "two of them",
            [rest(6, RATE_HZ), pushed(-0.5, 4), rest(1, RATE_HZ), pushed(-0.5, 4), rest(5, RATE_HZ)],
        ),
        ("an emergency stop of 0.8 g", [rest(6, RATE_HZ), pushed(-0.8, 3.3), rest(9, RATE_HZ)]),
        ("a roundabout", [rest(6, RATE_HZ), circling(12, 0.35, 8)[0], rest(5, RATE_HZ)]),
        ("a slope of 12° for ten minutes", [rest(6, RATE_HZ), tilted(600, RATE_HZ, 12)]),
        ("tipped to 50° to look under it", [rest(6, RATE_HZ), tilted(2, RATE_HZ, 50), rest(9, RATE_HZ)]),
        ("zeros", [rest(6, RATE_HZ), rest(20, RATE_HZ) * 0, rest(9, RATE_HZ)]),
        ("an axis at its end", [rest(6, RATE_HZ), rest(8, RATE_HZ, (4, 0, 1)), rest(9, RATE_HZ)]),
    ],
)
def test_what_is_no_alarm(what: str, parts: list[F64]) -> None:
    rng = np.random.default_rng(1)
    bias = 0.08 * GRAVITY_MPS2 * rng.choice([-1, 1], 3)
    for up in (UP, None):
        said = told(noisy(np.concatenate(parts), 0.1) + bias, up=up)
        assert worst(said) < 3, (what, up, brief(said))
    assert not told(*parts), what


def test_a_bias_of_80_mg_hides_no_tilt() -> None:
    bias = 0.08 * GRAVITY_MPS2 * np.array([-1.0, 1.0, 1.0])
    said = told(noisy(np.concatenate([rest(6, RATE_HZ), tilted(9, RATE_HZ, 33)]), 0.1) + bias)
    assert worst(said) == 3, "the first rest has shown where upright is"


def test_a_box_that_is_carried_in_leaning_invents_nothing() -> None:
    said = told(tilted(5, RATE_HZ, 25), rest(60, RATE_HZ), tilted(5, RATE_HZ, 25), rest(60, RATE_HZ), up=None)
    assert not said, brief(said)


def test_a_box_turned_over_before_its_first_rest() -> None:
    """Half a minute on the road has shown how it stands, though it never rested."""
    t = np.arange(0, 45, 1 / RATE_HZ)
    shaken = rest(45, RATE_HZ) + 1.2 * np.sin(2 * np.pi * np.outer(t, (1.3, 1.7, 2.3)))
    assert worst(told(shaken, up=None)) == 0
    assert worst(told(shaken, -rest(9, RATE_HZ), up=None)) == 4


def test_a_told_vector_is_taken_at_its_word() -> None:
    up = (math.sin(math.radians(6)), 0.0, math.cos(math.radians(6)))
    said = told(rest(5, RATE_HZ), tilted(8, RATE_HZ, 34), up=up)
    assert worst(said) == 0, "28° from where it was told"
    assert worst(told(rest(5, RATE_HZ), tilted(8, RATE_HZ, 38), up=up)) == 3


def test_where_blocks_are_cut_changes_nothing() -> None:
    force = noisy(np.concatenate([rest(6, RATE_HZ), tilted(40, RATE_HZ, 21), tilted(9, RATE_HZ, 45)]), 0.1)
    streams: Streams = {"accel": (force, RATE_HZ), "gyro": (noisy(np.zeros((2750, 3)), 0.01), 50.0)}
    said = same_however_cut(lambda: TiltDetector(TiltSettings(), None, gyro_stream="gyro"), streams)
    assert worst(said) == 3, brief(said)
