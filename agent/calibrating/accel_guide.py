"""The guided session of an accelerometer: lay the box on its sides and edges, and let it lie.

Poses are found by themselves; what is shown is how still it is, how it lies, and how it should lie next.
Each pose is in the journal before it is told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agent.calibrating.feed import Chunk
from agent.calibrating.guide import END, UNDO, Guided
from agent.calibrating.sketch import AXES, SIDES, Sketch, box_rows, side_words
from agent.calibrating.terminal import ENTER
from agent.calibrating.view import Gauge, View, counted
from calibration.accel_model import PARAMETERS
from calibration.accel_session import AccelSession, Moved, PoseTaken, TooNear, Withdrawn, goal_mps2
from calibration.errors import CalibrationRefused
from calibration.journal import Journal
from calibration.poses import ENOUGH_POSES
from calibration.session import SessionStep

POSE = "pose"
SMOOTH_S = 0.3  # the sketch of how it lies follows within this
TURN_S = 4.0  # a hand that was asked to turn the box has felt it and laid it down by then
SETTLE_S = 2.0  # until a box that was just switched on has shown how it lies
PART_S = 0.1  # shorter than what decides of a pose: so one thing happens at a time
KEEP_S = 10.0  # of samples; a pose is taken after two seconds
MG = 9.80665e-3  # m/s² in a thousandth of standard gravity
F64 = npt.NDArray[np.float64]
Vector = tuple[float, float, float]


class TurningHand(Protocol):
    """What turns a virtual box."""

    def turn(self, up: Vector) -> None:
        """Turn the box until `up`, in its axes, points up."""
        ...


def restore(session: AccelSession, steps: Iterable[tuple[SessionStep, F64]]) -> list[SessionStep]:
    """Give `session` the poses of a journal, each step with its samples in m/s²; return those not taken.

    The same samples give the same poses: who fits a session again gets the same result.
    """
    refused = []
    for step, values in steps:
        try:
            session.restore(values)
        except CalibrationRefused:
            refused.append(step)
    return refused


class AccelGuide(Guided[AccelSession, TurningHand]):
    """A session with the person, the journal and, on a virtual box, the `hand` that Enter moves.

    ``now``: the wall time for the journal, RFC 3339. ``level``: whether the sensor's axes are the box's.
    """

    def __init__(
        self,
        session: AccelSession,
        journal: Journal,
        *,
        now: Callable[[], str],
        device: str,
        hand: TurningHand | None = None,
        level: bool = True,
        unicode: bool = True,
    ) -> None:
        super().__init__(session, journal, now=now, device=device, hand=hand, unicode=unicode)
        self._sides: Mapping[str, Vector] = SIDES if level else AXES
        self._kept: deque[tuple[int, Chunk]] = deque()
        """The newest samples, each piece with the number of its first as the session counts them."""
        self._gravity: npt.NDArray[np.float64] | None = None
        self._ups: list[Vector] = []
        self._busy_until_s: float | None = None
        self._t_s = 0.0
        self._heard = False
        self._fit_words = ""
        self._fit_good: bool | None = None
        self._restore()

    # --- what comes in ---

    def take(self, chunk: Chunk, temperature_degc: float | None) -> list[str]:
        """Take samples; return what happened."""
        lines = []
        for part in chunk.parts(self._rate_hz, PART_S):
            if not self._heard:
                self._heard = True
                self._busy_until_s = part.t_s + self.session.hold_s + SETTLE_S  # as it lies is a pose, too
            self._t_s = part.t_s + len(part.raw) / self._rate_hz
            self._keep(part)
            self._look(part)
            for happening in self.session.feed(part.values, part.t_s):
                lines += self._happened(happening, temperature_degc)
        return lines

    def press(self, key: str) -> list[str]:
        """Enter: the next thing, or the end when it is good enough; u: take the last pose back; e: end."""
        self.keys_pressed += 1
        if key == UNDO:
            return self._undo()
        if key == END:
            self._over = True
            return []
        if key != ENTER:
            return []
        if self.session.good_enough:
            self._over = True
            return []
        if self._hand is None:
            self._say("Poses are taken by themselves: turn the box, and let it lie.", "")
            return []
        missing = self.session.missing()
        if not missing:
            return []
        self._busy_until_s = self._t_s + TURN_S + self.session.hold_s
        self._hand.turn(missing[0].up)
        return [f"the hand turns it: {self._words(missing[0].up)}"]

    @property
    def listening(self) -> bool:
        """Whether only a key leads on: with a virtual hand, or when it is good enough."""
        if self.session.good_enough:
            return True
        busy = self._busy_until_s is not None and self._t_s < self._busy_until_s
        return self._hand is not None and self._heard and not busy

    def alone(self) -> bool:
        """Without keys a real box may still be turned; and when it is good enough, that is the end."""
        if self.session.good_enough:
            self._over = True
            return True
        return self._hand is None

    # --- what comes out ---

    def view(self, trouble: str = "") -> View:
        """Return the screen as it is now."""
        session = self.session
        poses = len(session.poses)
        missing = session.missing()
        meter = session.meter
        moving = 0.0 if math.isnan(meter.deviation_mps2) else meter.deviation_mps2
        still = moving <= meter.limit_mps2
        gauges = [
            Gauge(
                "moving",
                moving / (2 * meter.limit_mps2),
                f"{moving / MG:.1f} mg, at rest below {meter.limit_mps2 / MG:.1f} mg",
                still,
            ),
            Gauge(
                "held",
                meter.still_s / meter.hold_s,
                f"{min(meter.still_s, meter.hold_s):.1f} of {meter.hold_s:.1f} s",
            ),
        ]
        if self._fit_words:
            gauges.append(Gauge("fit", 1.0 if self._fit_good else 0.5, self._fit_words, self._fit_good))
        sketches = [Sketch("as it lies now", self._drawn(self._gravity))] if self._gravity is not None else []
        steps = [(f"{i}  {self._words(up)}", "done") for i, up in enumerate(self._ups, 1)]
        if session.good_enough:
            ask = "Good enough. Enter: write the certificate. Or turn it on, for a still better one."
        elif missing:
            words = self._words(missing[0].up)
            ask = f"Lay it down with {words}, and take your hands off."
            if self._hand is not None:
                ask = (
                    f"Enter: the virtual hand lays it down with {words}."
                    if self.listening
                    else "Wait: two seconds of rest make a pose."
                )
            sketches.append(Sketch(f"{words}", self._drawn(missing[0].up), strong=True))
            steps += [
                (f"{len(steps) + i}  {self._words(m.up)}", "now" if i == 1 else "later")
                for i, m in enumerate(missing, 1)
            ]
        else:
            ask = "Lay it down in any way that it has not lain yet: on an edge, or leaning on something."
        return View(
            title="cargobox calibrate accel",
            device=self._device,
            now=f"{poses} poses taken"
            if session.good_enough
            else f"pose {poses + 1} of {max(ENOUGH_POSES, poses + 1)}",
            ask=ask,
            keys=f"{self._enter()}u take the last one back   e end here   q stop, go on later",
            sketches=tuple(sketches),
            gauges=tuple(gauges),
            steps=tuple(steps),
            said=self._said,
            said_style=self._said_style,
            trouble=trouble,
        )

    # --- within ---

    def _enter(self) -> str:
        """Say what Enter does now; on a real box the poses are taken without it."""
        if self.session.good_enough:
            return "Enter finish   "
        return "" if self._hand is None else "Enter next   "

    def _restore(self) -> None:
        """Give the session what the journal holds already."""
        steps = self._journal.steps
        for step in restore(self.session, ((step, self._journal.head.values(step)) for step in steps)):
            self._journal.undo(step.number)
        self._ups = [_unit(pose.mean) for pose in self.session.poses]
        if self._ups:
            self._refit()
            self._say(f"Goes on with {counted(len(self._ups), 'pose')} taken before.", "good")

    def _happened(self, happening: object, temperature_degc: float | None) -> list[str]:
        match happening:
            case PoseTaken():
                return [self._taken(happening, temperature_degc)]
            case TooNear():
                words = f"This is nearly pose {happening.number} again: turn it further."
                self._busy_until_s = None
                self._say(words, "warn")
                return [words]
            case Withdrawn():
                words = f"Pose {happening.number} is taken back: the sensor can be stiller than it was there."
                self._journal.undo(self._journal.steps[happening.number - 1].number)
                del self._ups[happening.number - 1]
                self._refit()
                self._say(words, "warn")
                return [words]
            case Moved():
                self._say("It moved: let it lie.", "")
        return []

    def _taken(self, pose: PoseTaken, temperature_degc: float | None) -> str:
        raw, t_s = self._samples_of(pose)
        self._journal.append(POSE, raw, at=self._now(), t_s=t_s, temperature_degc=temperature_degc)
        up = _unit(np.asarray(pose.mean_mps2))
        self._ups.append(up)
        self._busy_until_s = None
        self._refit()
        words = f"Pose {pose.number} is taken and kept: {self._words(up)}."
        self._say(words, "good")
        return words + (f" {self._fit_words.capitalize()}." if self._fit_words else "")

    def _undo(self) -> list[str]:
        if not self.session.poses:
            self._say("There is no pose to take back.", "")
            return []
        self.session.undo()
        self._journal.undo()
        up = self._ups.pop()
        self._refit()
        words = f"Pose {len(self._ups) + 1} is taken back: {self._words(up)}."
        self._say(words, "warn")
        return [words]

    def _refit(self) -> None:
        """See how good it is by now."""
        self._fit_words, self._fit_good = "", None
        try:
            fit = self.session.fit()
        except CalibrationRefused:
            return  # too few yet; what is missing stands above
        held_out = fit.held_out_rms_mps2
        if held_out is None or len(self.session.poses) <= PARAMETERS:
            return  # as many poses as parameters are met by any fit
        self._fit_good = self.session.good_enough
        self._fit_words = (
            f"poses left out are met within {held_out / MG:.2f} mg, allowed {goal_mps2() / MG:.2f} mg"
        )

    def _keep(self, chunk: Chunk) -> None:
        """Hold the newest samples: that they are a pose is known only when it is over."""
        self._kept.append((self.session.samples, chunk))
        while self._kept[0][0] < self.session.samples - KEEP_S * self._rate_hz:
            self._kept.popleft()

    def _samples_of(self, pose: PoseTaken) -> tuple[npt.NDArray[Any], float]:
        """Return the raw samples of the pose just taken, and the time of the first."""
        first = self._kept[0][0]
        raw = np.concatenate([chunk.raw for _, chunk in self._kept])
        begin = pose.begin - first
        return raw[begin : pose.end - first], self._kept[0][1].t_s + begin / self._rate_hz

    def _look(self, chunk: Chunk) -> None:
        mean = chunk.values.mean(axis=0)
        gain = min(1.0, len(chunk.values) / self._rate_hz / SMOOTH_S)
        self._gravity = mean if self._gravity is None else self._gravity + gain * (mean - self._gravity)

    def _drawn(self, up: Any) -> tuple[str, ...]:
        return box_rows(up, sides=self._sides, unicode=self._unicode)

    def _words(self, up: Any) -> str:
        return side_words(up, self._sides)


def _unit(vector: npt.NDArray[np.float64]) -> Vector:
    x, y, z = (float(v) for v in vector / max(float(np.linalg.norm(vector)), 1e-12))
    return (x, y, z)
