"""Load shift: a load that has moved and stays, in whatever the vehicle does; and all that comes back."""

from __future__ import annotations

import numpy as np
import pytest

from agent.detection.context import Context, ContextWatch
from agent.detection.finding import Finding
from agent.detection.load_shift import LoadShiftDetector, LoadShiftSettings
from agent.streams import TABLE
from tests.detection.cutting import heard, same_however_cut, worst
from tests.detection.signals import F64, GRAVITY_MPS2, si_block

RATE_HZ = 80.0
T = np.arange(0, 90, 1 / RATE_HZ)
HEIGHT = 0.3  # of the load's centre over the cells, in halves of the platform: what a g does


def plateau(start_s: float, rise_s: float, hold_s: float) -> F64:
    return np.clip((T - start_s) / rise_s, 0, 1) - np.clip((T - start_s - rise_s - hold_s) / rise_s, 0, 1)


def stays(start_s: float, lasts_s: float = 0.5) -> F64:
    return np.clip((T - start_s) / lasts_s, 0, 1)


def weighed(
    right: F64 | float = 0.0,
    front: F64 | float = 0.0,
    kg: F64 | float = 60.0,
    forward_g: F64 | float = 0.0,
    left_g: F64 | float = 0.0,
) -> dict[str, tuple[F64, float]]:
    """Return cells and force of a load whose centre is there, pushed so; the accelerometer is on its side."""
    rng = np.random.default_rng(8)
    zero = np.zeros(len(T))
    right = right + zero + HEIGHT * left_g
    front = front + zero - HEIGHT * forward_g
    quarter = (kg + zero) / 4
    cells = np.stack([
        quarter * (1 - right) * (1 + front), quarter * (1 + right) * (1 + front),
        quarter * (1 - right) * (1 - front), quarter * (1 + right) * (1 - front),
    ], axis=1)  # fmt: skip
    force = GRAVITY_MPS2 * np.stack([left_g + zero, zero + 1.0, forward_g + zero], axis=1)
    return {
        "accel": (force + rng.normal(0, 0.5, force.shape), RATE_HZ),
        "load": (cells + rng.normal(0, 0.15, cells.shape), RATE_HZ),
    }


def told(streams: dict[str, tuple[F64, float]], context: ContextWatch | None = None) -> list[Finding]:
    return heard(LoadShiftDetector(LoadShiftSettings(), context=context), streams)


BRAKES = -0.35 * plateau(20, 0.5, 3) + 0.2 * plateau(32, 0.8, 4) - 0.45 * plateau(50, 0.4, 3)
BENDS = 0.3 * plateau(10, 1, 5) - 0.3 * plateau(40, 1, 5)


@pytest.mark.parametrize(
    ("what", "streams"),
    [
        ("at rest", weighed(right=0.25 * stays(50))),
        ("while driving", weighed(front=0.25 * stays(58), forward_g=BRAKES, left_g=BENDS)),
        ("in a brake", weighed(front=0.25 * stays(50.5), forward_g=BRAKES, left_g=BENDS)),
        ("in the first brake of all", weighed(front=0.25 * stays(20.6), forward_g=BRAKES)),
    ],
)
def test_a_load_that_slides_and_stays(what: str, streams: dict[str, tuple[F64, float]]) -> None:
    said = told(streams)
    assert [int(f.severity) for f in said] == [3, 3], (what, said)
    assert float(said[0].values["moved"]) == pytest.approx(0.25, abs=0.04)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "streams"),
    [
        ("braking and bends", weighed(forward_g=BRAKES, left_g=BENDS)),
        ("a slope of 12°", weighed(left_g=0.21 * plateau(15, 3, 40), forward_g=-0.05 * plateau(15, 3, 40))),
        ("a tall load, leaned", weighed(right=0.35 * plateau(30, 3, 30), left_g=0.21 * plateau(30, 3, 30))),
        ("a tall load in its first brake", weighed(
            front=0.14 * plateau(20, 0.5, 3), forward_g=-0.35 * plateau(20, 0.5, 3))),
        ("leaned on for 1.5 s", weighed(right=0.3 * plateau(30, 0.2, 1.1))),
        ("somebody steps on and walks", weighed(
            right=0.5 * np.sin(T / 2.5) * plateau(30, 0.5, 14), kg=60 + 80 * plateau(30, 0.5, 14))),
        ("loading", weighed(right=0.3 * stays(30), kg=60 + 15 * stays(30))),
        ("a cell that drifts by 1 %", weighed(right=0.01 * T / 90)),
        ("a slow creep", weighed(right=0.06 * T / 90)),
    ],
)  # fmt: skip
def test_what_is_no_shift(what: str, streams: dict[str, tuple[F64, float]]) -> None:
    assert not told(streams), (what, told(streams))


def test_a_box_that_was_tipped_was_not_loaded() -> None:
    """Its cells show m·cos θ meanwhile; what slides soon after is told."""
    streams = weighed(right=0.25 * stays(50))
    cosine = np.cos(np.radians(34) * plateau(20, 1, 12))
    force, cells = streams["accel"][0], streams["load"][0]
    force[:, 0] += GRAVITY_MPS2 * np.sqrt(1 - cosine**2)
    force[:, 1] += GRAVITY_MPS2 * (cosine - 1)
    cells *= cosine[:, None]
    said = told(streams)
    assert worst(said) == 3 and 50e9 < said[0].decided_ns < 54e9, said


@pytest.mark.parametrize("which", ["load", "accel"])
def test_a_second_of_no_numbers_blinds_nothing(which: str) -> None:
    streams = weighed(right=0.25 * stays(50))
    streams[which][0][(T > 30) & (T < 31), 0] = np.nan
    assert worst(told(streams)) == 3


def test_a_force_that_is_old_is_not_believed() -> None:
    """The accelerometer dies; two minutes later the box is leaned, which moves its centre, and stays."""
    streams = weighed(left_g=0.6 * plateau(10, 1, 5), right=0.2 * stays(85))
    force, cells = streams["accel"][0][: 20 * 80], streams["load"][0]
    cells = np.concatenate(
        [cells[: 80 * 80], cells[40 * 80 : 80 * 80], cells[40 * 80 : 80 * 80], cells[80 * 80 :]]
    )
    streams = {"accel": (force, RATE_HZ), "load": (cells, RATE_HZ)}
    detector = LoadShiftDetector(LoadShiftSettings())
    assert not heard(detector, streams)
    assert "accel said nothing for more than 60 s" in detector.notes()[0]


@pytest.mark.parametrize("shows", [0.0, -40.0, 400.0, np.nan])
def test_a_cell_that_breaks(shows: float) -> None:
    streams = weighed()
    streams["load"][0][T > 40, 1] = shows
    assert not told(streams)


def test_what_is_done_with_the_door_open_is_done_by_somebody() -> None:
    streams = weighed(right=0.25 * stays(50))
    watch = ContextWatch([TABLE["lid"]])
    watch.feed(si_block("lid", np.where((np.arange(90) > 45) & (np.arange(90) < 60), 0.0, 1.0), 1.0))
    watch.advance(1 << 62)
    assert watch.at(50 * 10**9) is Context.DOOR_OPEN
    assert not told(streams, watch)


def test_where_blocks_are_cut_changes_nothing() -> None:
    streams = weighed(front=0.25 * stays(58), forward_g=BRAKES, left_g=BENDS)
    said = same_however_cut(lambda: LoadShiftDetector(LoadShiftSettings()), streams)
    assert worst(said) == 3
