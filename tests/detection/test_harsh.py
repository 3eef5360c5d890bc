"""Harsh braking, acceleration and turning: what is said, of what, and what is not said."""

from __future__ import annotations

import numpy as np
import pytest

from agent.blocks import NS_PER_S
from agent.detection.finding import EventType, Finding
from agent.detection.harsh import HarshDetector, HarshSettings
from agent.records import Phase, Severity
from tests.detection.harsh_signals import Part, mounted, ride, said_of, starts
from tests.detection.signals import F64, GRAVITY_MPS2, rest, si_block

CRUISE = Part(6)
STAND = Part(4, road=False)
BRAKE = Part(2, ahead_g=-0.48)
SHORT_TRIPS = [STAND, *[Part(4, ahead_g=0.2), Part(4), Part(4, ahead_g=-0.2), STAND] * 3]


@pytest.mark.parametrize("seed", range(4))
def test_a_stop_of_half_a_g_is_one_event_in_any_mounting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    force, _ = ride(
        [CRUISE, BRAKE, CRUISE], seed=seed, rotation=mounted(seed), bias=rng.normal(0, 0.2, 3).tolist()
    )
    found = said_of(force)
    assert [(f.phase, f.severity) for f in found] == [
        (Phase.START, Severity.GENERAL),
        (Phase.END, Severity.GENERAL),
    ], found
    start, end = found
    assert start.type is end.type, found
    assert 6.0 < start.decided_ns / 1e9 < 6.7, start
    assert 5.6e9 < start.start_ns < start.decided_ns - 0.15e9, start
    assert end.end_ns is not None and 7.8 < end.end_ns / 1e9 < 8.8, end
    assert end.values["peak_mps2"] == pytest.approx(0.48 * GRAVITY_MPS2, rel=0.2), end.values
    assert end.values["delta_v_mps"] == pytest.approx(0.48 * GRAVITY_MPS2 * 2, rel=0.25), end.values
    assert (end.values["direction_known"], end.values["direction"]) == (False, "unknown"), end.values


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)])
@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (Part(2, ahead_g=-0.5), EventType.HARSH_BRAKE),
        (Part(2, ahead_g=0.5), EventType.HARSH_ACCELERATION),
        (Part(2, left_g=0.5), EventType.HARSH_TURN),
    ],
)
def test_until_forward_is_known_it_is_the_box_frames(
    part: Part, kind: EventType, up: tuple[float, float, float]
) -> None:
    ahead = np.array([0.0, 1.0, 0.0] if up[0] else [1.0, 0.0, 0.0])
    rotation = np.column_stack([ahead, np.cross(up, ahead), up])
    force, _ = ride([CRUISE, part, CRUISE], rotation=rotation)
    (start,) = starts(said_of(force))
    assert (start.type, start.values["direction_known"]) == (kind, False), start


@pytest.mark.parametrize("level_g", [0.44, 0.5, 0.6])
@pytest.mark.parametrize(
    ("event", "way", "sides"),
    [
        (EventType.HARSH_BRAKE, "backward", (-1, 0)),
        (EventType.HARSH_ACCELERATION, "forward", (1, 0)),
        (EventType.HARSH_TURN, "left", (0, 1)),
        (EventType.HARSH_TURN, "right", (0, -1)),
    ],
)
def test_what_kind_it_is_once_forward_is_learned(
    event: EventType, way: str, sides: tuple[int, int], level_g: float
) -> None:
    push = Part(2, ahead_g=sides[0] * level_g, left_g=sides[1] * level_g)
    force, _ = ride([*SHORT_TRIPS, Part(4, ahead_g=0.15), CRUISE, push, CRUISE], rotation=mounted(7))
    (start,) = starts(said_of(force))
    assert (start.type, start.values["direction"]) == (event, way), start
    assert start.values["direction_known"] is True, start


def test_one_start_makes_the_kind_likely_but_not_known() -> None:
    force, _ = ride([STAND, Part(4, ahead_g=0.15), CRUISE, Part(2, left_g=0.5), CRUISE], rotation=mounted(3))
    (start,) = starts(said_of(force))
    assert (start.type, start.values["direction_known"]) == (EventType.HARSH_TURN, False), start


def test_forward_can_be_told() -> None:
    force, _ = ride([CRUISE, Part(2, ahead_g=0.5), CRUISE])
    (start,) = starts(said_of(force, settings=HarshSettings(forward="x")))
    assert (start.type, start.values["direction"]) == (EventType.HARSH_ACCELERATION, "forward"), start
    (start,) = starts(said_of(force, settings=HarshSettings(forward="-x")))
    assert (start.type, start.values["direction"]) == (EventType.HARSH_BRAKE, "backward"), start


@pytest.mark.parametrize("side", [-1, 1])
def test_the_gyroscope_knows_a_turn(side: int) -> None:
    turn = Part(2.5, left_g=0.48 * side, yaw_radps=0.45 * side)
    force, turning = ride([CRUISE, turn, CRUISE], rotation=mounted(2))
    (start,) = starts(said_of(force, turning))
    assert start.type is EventType.HARSH_TURN, start
    assert start.values["direction"] == ("left" if side > 0 else "right"), start


def test_only_an_emergency_is_major() -> None:
    force, _ = ride([CRUISE, Part(1.5, ahead_g=-0.85), CRUISE])
    assert [f.severity for f in said_of(force)] == [Severity.GENERAL, Severity.MAJOR, Severity.MAJOR]
    brief, _ = ride([CRUISE, Part(0.5, ahead_g=-0.85), CRUISE])
    assert {f.severity for f in said_of(brief)} == {Severity.GENERAL}


def ramp(angle_deg: float) -> list[Part]:
    """Onto a slope and off it again within 2 s each, with a stop of 0.15 g on it."""
    steps = [Part(0.2, slope_deg=float(a)) for a in np.linspace(0, angle_deg, 10)]
    on_it = [Part(8, slope_deg=angle_deg), Part(3, ahead_g=-0.15, slope_deg=angle_deg)]
    return [CRUISE, *steps, *on_it, Part(10, slope_deg=angle_deg, road=False), *reversed(steps), CRUISE]


HARMLESS: dict[str, list[Part]] = {
    "a brisk start": [CRUISE, Part(5, ahead_g=0.3), CRUISE],
    "a brisk stop": [CRUISE, Part(5, ahead_g=-0.3), CRUISE],
    "a roundabout": [CRUISE, Part(12, left_g=0.3), CRUISE],
    "braking in a bend": [CRUISE, Part(3, ahead_g=-0.25, left_g=0.2), CRUISE],
    "a jolt": [CRUISE, Part(0.1, ahead_g=-0.6), CRUISE],
    "up a parking slope": ramp(12),
    "down a parking slope": ramp(-12),
    "the road alone": [Part(60)],
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_not_harsh(what: str) -> None:
    force, _ = ride(HARMLESS[what], rotation=mounted(11), bias=(0.3, -0.2, 0.3))
    assert not said_of(force), what


def test_a_long_brisk_push_is_harsh_only_forward() -> None:
    def said(ahead_g: float) -> list[EventType]:
        parts = [*SHORT_TRIPS, Part(4, ahead_g=0.15), CRUISE, Part(5, ahead_g=ahead_g), CRUISE]
        return [f.type for f in starts(said_of(ride(parts, rotation=mounted(5))[0]))]

    assert said(0.32) == [EventType.HARSH_ACCELERATION]
    assert said(-0.32) == []


def bump(height_g: float) -> F64:
    """Two axles over a speed bump: up and down at 2 Hz."""
    force, _ = ride([CRUISE, Part(6)])
    t = np.arange(len(force)) / 1000
    for at_s in (6.0, 6.5):
        on = (t >= at_s) & (t < at_s + 0.5)
        force[on, 2] += height_g * GRAVITY_MPS2 * np.sin(4 * np.pi * (t[on] - at_s))
    return force


def by_hand() -> F64:
    """Picked up, leaned to 35°, carried at 2 steps a second, and put down on its side."""
    t = np.arange(0, 20, 0.001)
    angle = np.radians(np.interp(t, [0, 5, 6, 12, 14, 20], [0, 0, 35, 20, 90, 90]))
    lift = np.where((t > 5) & (t < 6), 2.5 * np.sin(2 * np.pi * (t - 5)), 0.0)
    walk = np.where((t > 6) & (t < 13), 2.5 * np.sin(2 * np.pi * 2 * t), 0.0)
    size = GRAVITY_MPS2 + lift + walk
    force = np.stack([size * np.sin(angle), 0 * t, size * np.cos(angle)], axis=1)
    return force + np.random.default_rng(1).normal(0, 0.03, force.shape)


@pytest.mark.parametrize("watched", [True, False])
def test_bumps_and_hands_are_not_driving(watched: bool) -> None:
    assert not said_of(bump(0.8), watched=watched)
    assert not said_of(by_hand(), watched=watched)


def levelled(force: F64, follow_s: float = 1.5) -> F64:
    """Return the force as a telephone's "earth" axes give it: its up follows the force within seconds."""
    out, up = np.empty_like(force), np.array([0.0, 0.0, 1.0])
    gain = 1 / (follow_s * 50)
    for i, f in enumerate(force):
        up = up + gain * (f / np.linalg.norm(f) - up)
        up /= np.linalg.norm(up)
        ahead = np.array([1.0, 0.0, 0.0]) - up[0] * up
        ahead /= np.linalg.norm(ahead)
        out[i] = f @ ahead, f @ np.cross(up, ahead), f @ up
    return out


def test_a_bend_turns_the_force_in_axes_that_do_not_turn_with_the_vehicle() -> None:
    force, _ = ride([Part(16)])
    t = np.arange(len(force)) / 1000
    size_g = np.interp(t, [6, 8, 9, 9.5], [0, 0.5, 0.5, 0])
    way = np.radians(np.interp(t, [6, 9], [0, 90]))
    force[:, 0] += size_g * GRAVITY_MPS2 * np.cos(way)
    force[:, 1] += size_g * GRAVITY_MPS2 * np.sin(way)
    (start,) = starts(said_of(force))
    assert (start.type, start.values["direction_known"]) == (EventType.HARSH_TURN, False), start


def at_50_hz(force: F64) -> F64:
    count = len(force) // 20
    return np.asarray(force[: count * 20].reshape(count, 20, 3).mean(axis=1))


def test_a_long_push_that_the_axes_follow_is_seen_by_its_size() -> None:
    parts = [CRUISE, Part(6), Part(4.5, ahead_g=0.33), CRUISE, Part(3, ahead_g=-0.15), CRUISE]
    force = levelled(at_50_hz(ride(parts, bias=(0.0, 0.0, -0.2))[0]))
    shown_g = np.abs(force[650:800, 0]).max() / GRAVITY_MPS2
    found = said_of(force, rate_hz=50, block=50, watched=False)
    assert [f.type for f in starts(found)] == [EventType.HARSH_ACCELERATION], (shown_g, found)


def test_a_stop_that_the_axes_follow_is_one_event_without_its_echo() -> None:
    force = levelled(at_50_hz(ride([CRUISE, Part(6), Part(2, ahead_g=-0.55), Part(10)])[0]))
    echo_g = np.abs(force[710:760, 0]).max() / GRAVITY_MPS2
    assert echo_g > 0.3, "it shows no push the other way, so this proves nothing"
    found = said_of(force, rate_hz=50, block=50, watched=False)
    assert [f.type for f in starts(found)] == [EventType.HARSH_BRAKE], found
    end = found[-1]
    assert end.end_ns is not None and end.end_ns / 1e9 < 15.2, end


@pytest.mark.parametrize("block", [10, 137, 5000])
def test_the_cut_changes_nothing(block: int) -> None:
    force, turning = ride(
        [STAND, Part(4, ahead_g=0.2), CRUISE, Part(2, left_g=0.5, yaw_radps=0.4), CRUISE, BRAKE, CRUISE]
    )
    whole: list[Finding] = said_of(force, turning, block=len(force))
    assert len(whole) == 4, whole
    assert said_of(force, turning, block=block) == whole


def test_a_hole_ends_what_is_open_and_nothing_is_invented_behind_it() -> None:
    force, _ = ride([CRUISE, Part(6, ahead_g=-0.5), CRUISE])
    before, after = said_of(force[:8000]), force[9500:]
    assert [f.phase for f in before] == [Phase.START, Phase.END], before
    assert before[1].end_ns == 8 * NS_PER_S and before[1].decided_ns == 18 * NS_PER_S, before[1]
    assert not said_of(after[4000:])


def test_two_a_second_is_too_slow_and_is_said() -> None:
    detector = HarshDetector(HarshSettings())
    detector.feed(si_block("accel", rest(60, 2), 2))
    (note,) = detector.notes()
    assert "60 s of accel were sampled too slowly" in note, note


def test_it_keeps_no_more_of_a_gyroscope_than_some_seconds() -> None:
    detector = HarshDetector(HarshSettings(), gyro_stream="gyro")
    for second in range(60):
        detector.feed(si_block("gyro", np.zeros((100, 3)), 100, start_s=second))
        detector.advance((second + 1) * 1_000_000_000)
    assert detector._yaw is not None
    kept_s = len(detector._yaw._parts)
    assert kept_s <= 12, f"{kept_s} s of a gyroscope whose accelerometer is silent"
