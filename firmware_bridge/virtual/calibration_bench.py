"""The bench on which somebody calibrates a virtual box: its sensors lie, and a hand turns and loads it.

``VirtualBox(CalibrationBench(seed), ...)`` runs the real firmware on it; ``bench.hand`` moves what is on
it, from another process, and is felt about a second later. ``bench.samples`` and ``Rehearsal`` give
the same counts with no box and no waiting, for what is to be tested in less time than it takes.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.calibration_hand import (
    Hand,
    Heat,
    Move,
    MovesReader,
    Put,
    Timed,
    Turn,
    checked,
    read_felt,
    tell_felt,
)
from firmware_bridge.virtual.calibration_truth import Truth, draw_truth
from firmware_bridge.virtual.calibration_world import World
from firmware_bridge.virtual.streams import GRAVITY_MPS2, STREAMS, VirtualStream

_START_TAG = 0x57A7
_MEMORY = 8  # seconds that can be asked for again at no cost
LATEST_START_S = 0.2  # into the second in which a move begins: nobody's hand keeps to whole seconds


class CalibrationBench:
    """A trip that goes nowhere: the box lies level, with nothing on its platform, until the hand moves it.

    `truth`: what is wrong with the sensors; drawn from `seed` unless given. `haste`: how many times
    faster than that things warm up, cool down and creep; it is in `bench.truth`. `folder`: where the
    hand's moves are written; a temporary one that goes with the bench unless given. Raises ValueError for
    a seed below zero and a haste that is not above zero.
    """

    ahead_s = 0.15  # so late is a second made up that the hand can still change it: see playback.py

    def __init__(
        self,
        seed: int = 1,
        *,
        truth: Truth | None = None,
        gravity_mps2: float = GRAVITY_MPS2,
        haste: float = 1.0,
        folder: Path | None = None,
    ) -> None:
        if not haste > 0:
            raise ValueError(f"setting up the bench: haste {haste}, expected more than 0")
        self.seed = seed
        self._natural = truth if truth is not None else draw_truth(seed)
        self.truth = self._natural.hastened(haste)
        self.gravity_mps2 = gravity_mps2
        self.haste = haste
        self.streams: tuple[VirtualStream, ...] = STREAMS
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="cargobox-bench-"))
            weakref.finalize(self, _remove, folder, os.getpid())
        self._felt_path = folder / "felt"
        self._folder = folder
        self.hand = Hand(folder / "moves", self._felt_path)
        self._reader = MovesReader(folder / "moves")
        self._world = self._new_world()
        self._timed: list[Timed] = []
        self._made: dict[int, dict[str, NDArray[np.int32]]] = {}

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _bench, (self.seed, self._natural, self.gravity_mps2, self.haste, self._folder)

    @property
    def felt(self) -> tuple[Timed, ...]:
        """What the box has felt of the hand so far, and when: seconds since it was started."""
        return read_felt(self._felt_path)

    def second(self, k: int) -> dict[str, NDArray[np.int32]]:
        """Counts of every sample in [k, k + 1) s: for each stream (rate_hz, axes) int32.

        What the hand has done since begins in the first second that was not asked for before. Raises
        ValueError before the start.
        """
        if k < 0:
            raise ValueError(f"playing second {k} of the bench, expected a whole number from 0 up")
        if k < self._world.next_second and k not in self._made:
            self._world = self._new_world(self._timed)
            self._made.clear()
        else:
            self._feel(max(k, self._world.next_second))
        while self._world.next_second <= k:
            made = self._world.next_second
            self._made[made] = self._world.step()
            self._made.pop(made - _MEMORY, None)
        return self._made[k]

    def samples(
        self, stream: str, begin_s: float, end_s: float, moves: Iterable[tuple[float, Move]] = ()
    ) -> NDArray[np.int32]:
        """Counts of `stream` in [begin_s, end_s) of a bench that lives through `moves`: (n, axes) int32.

        `moves`: at what time each begins, and the move, in order. The hand is not asked, nothing waits.
        Raises ValueError for a stream that there is not, and times before the start.
        """
        wanted = tuple(s for s in STREAMS if s.name == stream)
        if not wanted or not 0 <= begin_s <= end_s:
            raise ValueError(
                f"playing {stream!r} from {begin_s} to {end_s} s, expected one of "
                f"{[s.name for s in STREAMS]} from 0 s on"
            )
        world = self._new_world([Timed(float(at_s), checked(move)) for at_s, move in moves])
        rate_hz = wanted[0].rate_hz
        first, end = math.ceil(begin_s * rate_hz), math.ceil(end_s * rate_hz)
        made = [np.empty((0, len(wanted[0].axes)), dtype=np.int32)]
        while world.next_second * rate_hz < end:
            second = world.next_second
            # load cells remember what was on them, the others only how warm it was
            needed = wanted if stream == "load" or (second + 1) * rate_hz > first else ()
            counts = world.step(needed)
            if (second + 1) * rate_hz > first:
                made.append(counts[stream][max(0, first - second * rate_hz) : end - second * rate_hz])
        return np.concatenate(made)

    def _feel(self, second: int) -> None:
        """Take what the hand did since, as from `second` on."""
        felt = []
        for move in self._reader.newer():
            rng = np.random.default_rng((self.seed, _START_TAG, len(self._timed)))
            begin_s = second + float(rng.uniform(0, LATEST_START_S))
            begin_s = max(begin_s, self._timed[-1].begin_s if self._timed else 0.0)
            timed = Timed(begin_s, move)
            self._timed.append(timed)
            self._world.add(timed)
            felt.append(timed)
        tell_felt(self._felt_path, felt)

    def _new_world(self, moves: Iterable[Timed] = ()) -> World:
        world = World(self.seed, self.truth, gravity_mps2=self.gravity_mps2, haste=self.haste)
        for timed in moves:
            world.add(timed)
        return world


class Rehearsal:
    """The bench on a clock of its own: what the hand does is felt at once, and no time is waited for."""

    def __init__(self, bench: CalibrationBench, streams: tuple[str, ...] = ("accel", "load")) -> None:
        """Begin at 0 s; only `streams` are made up."""
        self._world = World(bench.seed, bench.truth, gravity_mps2=bench.gravity_mps2, haste=bench.haste)
        self._wanted = tuple(s for s in STREAMS if s.name in streams)

    @property
    def now_s(self) -> int:
        """How much time has passed."""
        return self._world.next_second

    def turn(self, up: tuple[float, float, float]) -> None:
        """As `Hand.turn`, now."""
        self._do(Turn((float(up[0]), float(up[1]), float(up[2]))))

    def put(self, mass_kg: float, place: str = "centre") -> None:
        """As `Hand.put`, now."""
        self._do(Put(float(mass_kg), place))

    def take_off(self) -> None:
        """As `Hand.take_off`, now."""
        self._do(Put(0.0))

    def heat(self, degc: float) -> None:
        """As `Hand.heat`, now."""
        self._do(Heat(float(degc)))

    def run(self, seconds: int) -> dict[str, NDArray[np.int32]]:
        """Let `seconds` pass, one at least; return their counts: for each stream (n, axes) int32."""
        made = [self._world.step(self._wanted) for _ in range(seconds)]
        return {s.name: np.concatenate([second[s.name] for second in made]) for s in self._wanted}

    def _do(self, move: Move) -> None:
        self._world.add(Timed(float(self._world.next_second), checked(move)))


def _bench(seed: int, truth: Truth, gravity_mps2: float, haste: float, folder: Path) -> CalibrationBench:
    return CalibrationBench(seed, truth=truth, gravity_mps2=gravity_mps2, haste=haste, folder=folder)


def _remove(folder: Path, owner: int) -> None:
    """Remove the hand's files, unless we are a fork of the process that made them."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
