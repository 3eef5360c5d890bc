"""How a hand turns a box and sets masses down: the force that the accelerometer feels, the load on the cells.

Both follow from the moves alone, at any time. A turn takes about a second: the direction of gravity
sweeps along a great circle, smoothly, while the hand lifts the box, trembles (physiological tremor,
8 to 12 Hz) and sets it down with a knock. No pose is exact: it ends a few degrees from where it should.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.calibration_hand import Put, Turn
from firmware_bridge.virtual.calibration_truth import CELLS, Floats, LoadTruth
from firmware_bridge.virtual.physics_load import CELL_SIGNS, Cradle

_HAND_TAG = 0x4A9D  # keeps these random numbers apart from the bench's others
AIM_DEG = 2.5  # σ about each of two axes
TREMOR_MPS2 = 0.25
LIFT_MPS2 = 1.5
KNOCK_MPS2 = 2.0
KNOCK_HZ = 28.0
KNOCK_S = 0.05
TREMOR_S = 0.3  # the hand still touches the box for so long after it lies

_CRADLE = Cradle()
AIM_M = 0.004  # σ of where a mass is set down, each way
LIFT_S = 0.5
PUT_OVER = 2.5  # times that long for off, over and down again
RING_HZ = 9.0
RING_S = 0.12
RING_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class _Turned:
    """One turn of the box, begun at `begin_s`, from and to unit vectors `start` and `end` (3,)."""

    begin_s: float
    duration_s: float
    start: Floats
    end: Floats
    lift: Floats  # (3,) m/s²
    knock: Floats  # (3,) m/s²
    tremor: Floats  # (3 axes, 4 waves, amplitude and frequency and phase)

    @property
    def end_s(self) -> float:
        """When it lies."""
        return self.begin_s + self.duration_s


@dataclass(frozen=True, slots=True)
class _Moved:
    """One change of the load, from and to loads on the four cells (4,) kg.

    `over`: taken off and set down elsewhere, so that nothing stands there in between.
    """

    begin_s: float
    start: Floats
    end: Floats
    over: bool

    @property
    def end_s(self) -> float:
        """When it stands."""
        return self.begin_s + (PUT_OVER if self.over else 1.0) * LIFT_S


class HandMotion:
    """What the moves so far come to; they are added in the order of their times."""

    def __init__(self, seed: int, truth: LoadTruth, gravity_mps2: float) -> None:
        self._seed = seed
        self._truth = truth
        self._gravity_mps2 = gravity_mps2
        self._number = 0
        level = np.array([0.0, 0.0, 1.0])
        nothing = np.zeros(3)
        self._turns = [_Turned(-math.inf, 1.0, level, level, nothing, nothing, np.zeros((3, 4, 3)))]
        empty = np.zeros(len(CELLS))
        self._loads = [_Moved(-math.inf, empty, empty, False)]
        self._place = ""
        self._shares = empty
        self._stands = False

    def add(self, begin_s: float, move: Turn | Put) -> None:
        """Let `move` begin at `begin_s`, not before the one before it.

        A hand that is busy ends that first.
        """
        rng = np.random.default_rng((self._seed, _HAND_TAG, self._number))
        self._number += 1
        if isinstance(move, Turn):
            self._turns.append(self._turn(max(begin_s, self._turns[-1].end_s), np.array(move.up), rng))
        else:
            self._loads.append(self._put(max(begin_s, self._loads[-1].end_s), move, rng))

    def _turn(self, begin_s: float, up: Floats, rng: np.random.Generator) -> _Turned:
        aim = np.deg2rad(AIM_DEG) * rng.standard_normal(3)
        end = up + aim - (aim @ up) * up
        end /= np.linalg.norm(end)
        tremor = np.stack(
            [
                TREMOR_MPS2 * rng.standard_normal((3, 4)),
                rng.uniform(7.5, 12.5, (3, 4)),
                rng.uniform(0, 2 * math.pi, (3, 4)),
            ],
            axis=-1,
        )
        return _Turned(
            begin_s,
            float(rng.uniform(0.8, 1.3)),
            self.up(np.array([begin_s]))[0],
            end,
            LIFT_MPS2 * rng.standard_normal(3),
            KNOCK_MPS2 * rng.standard_normal(3),
            tremor,
        )

    def _put(self, begin_s: float, move: Put, rng: np.random.Generator) -> _Moved:
        start = self.load_kg(np.array([begin_s]))[0]
        again = move.place == self._place and abs(start.sum() - move.mass_kg) < 1e-6
        over = self._stands and move.mass_kg > 0 and (again or move.place != self._place)
        if move.mass_kg > 0 and (over or not self._stands):
            self._place = move.place
            self._shares = self._truth.shares(*_aimed(move.place, rng))
        # else it is put on top of what stands there, or taken from it
        self._stands = move.mass_kg > 0
        return _Moved(begin_s, start, move.mass_kg * self._shares, over)

    def up(self, time_s: Floats) -> Floats:
        """Which way is up in the box's axes, at each of (n,) times: (n, 3) unit vectors."""
        up = np.empty((time_s.size, 3))
        for turn, within in _parts(self._turns, time_s):
            up[within] = _great_circle(turn, time_s[within])
        return up

    def force_mps2(self, time_s: Floats) -> Floats:
        """Specific force in the box's axes at each of (n,) times: (n, 3)."""
        force = np.empty((time_s.size, 3))
        for turn, within in _parts(self._turns, time_s):
            t = time_s[within]
            force[within] = self._gravity_mps2 * _great_circle(turn, t) + _shaken(turn, t)
        return force

    def load_kg(self, time_s: Floats) -> Floats:
        """Load on each cell at each of (n,) times: (n, 4) kg."""
        load = np.empty((time_s.size, len(CELLS)))
        for moved, within in _parts(self._loads, time_s):
            load[within] = _carried(moved, time_s[within] - moved.begin_s)
        return load


_Change = TypeVar("_Change", _Turned, _Moved)


def _parts(moves: list[_Change], time_s: Floats) -> list[tuple[_Change, NDArray[np.bool_]]]:
    """Which of the moves is the latest at each time; only those that are so at any."""
    begins = np.array([move.begin_s for move in moves])
    latest = np.searchsorted(begins, time_s, side="right") - 1
    return [(moves[i], latest == i) for i in np.unique(latest)]


def _smooth(share: Floats) -> Floats:
    """From 0 to 1 with no jerk at the ends."""
    s = np.clip(share, 0.0, 1.0)
    smooth: Floats = s**3 * (10 + s * (6 * s - 15))
    return smooth


def _great_circle(turn: _Turned, time_s: Floats) -> Floats:
    if math.isinf(turn.begin_s):
        return np.broadcast_to(turn.end, (time_s.size, 3))
    cosine = float(np.clip(turn.start @ turn.end, -1.0, 1.0))
    angle = math.acos(cosine)
    across = turn.end - cosine * turn.start
    length = float(np.linalg.norm(across))
    if length < 1e-6:  # the same way, or straight over: any way round will do
        other = np.eye(3)[int(np.argmin(np.abs(turn.start)))]
        across = other - (other @ turn.start) * turn.start
        length = float(np.linalg.norm(across))
    along = angle * _smooth((time_s - turn.begin_s) / turn.duration_s)[:, None]
    swept: Floats = np.cos(along) * turn.start + np.sin(along) * (across / length)
    return swept


def _shaken(turn: _Turned, time_s: Floats) -> Floats:
    """What the hand adds to gravity: (n, 3)."""
    shaken = np.zeros((time_s.size, 3))
    if math.isinf(turn.begin_s):
        return shaken
    into_s = time_s - turn.begin_s
    lying_s = into_s - turn.duration_s
    touched = (into_s >= 0) & (lying_s < TREMOR_S)
    if touched.any():
        t = into_s[touched]
        firm = np.sin(math.pi * np.clip(t / (turn.duration_s + TREMOR_S), 0, 1))
        waves = turn.tremor[..., 0] * np.sin(
            2 * math.pi * turn.tremor[..., 1] * t[:, None, None] + turn.tremor[..., 2]
        )
        shaken[touched] += firm[:, None] * waves.sum(axis=-1)
        rise = np.sin(2 * math.pi * np.clip(t / turn.duration_s, 0, 1))
        shaken[touched] += rise[:, None] * turn.lift
    knocked = (lying_s >= 0) & (lying_s < 20 * KNOCK_S)
    if knocked.any():
        t = lying_s[knocked]
        shaken[knocked] += (np.exp(-t / KNOCK_S) * np.sin(2 * math.pi * KNOCK_HZ * t))[:, None] * turn.knock
    return shaken


def _aimed(place: str, rng: np.random.Generator) -> Floats:
    """Where a mass at `place` really stands, set down as well as a hand can: (2,) half distances."""
    half = np.array([_CRADLE.half_length_m, _CRADLE.half_width_m])
    where = (0, 0) if place == "centre" else CELL_SIGNS[CELLS.index(place)]
    aimed: Floats = np.array(where) + AIM_M * rng.standard_normal(2) / half
    return aimed


def _carried(moved: _Moved, into_s: Floats) -> Floats:
    into = into_s[:, None]
    if math.isinf(moved.begin_s):
        return np.broadcast_to(moved.end, (into_s.size, moved.end.size))
    if moved.over:
        load = moved.start * (1 - _smooth(into / LIFT_S)) + moved.end * _smooth(
            into / LIFT_S - (PUT_OVER - 1)
        )
    else:
        load = moved.start + (moved.end - moved.start) * _smooth(into / LIFT_S)
    set_s = into - (PUT_OVER if moved.over else 1.0) * LIFT_S
    rung_s = np.clip(set_s, 0.0, 30 * RING_S)
    ring = np.exp(-rung_s / RING_S) * np.sin(2 * math.pi * RING_HZ * rung_s)
    carried: Floats = load + RING_SHARE * ring * (moved.end - (0 if moved.over else moved.start))
    return carried
