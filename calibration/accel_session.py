"""A calibration of the accelerometer while it goes on: samples in, poses and a verdict out.

The method is that of :mod:`calibration.accelerometer`; when the sensor is still, :mod:`calibration.stillness`
tells; which pose helps most, :mod:`calibration.poses`. Nothing here knows a clock, a file or a terminal:
time comes with the samples, so a session that was written down gives the same result again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.accel_model import PARAMETERS, rms
from calibration.accelerometer import (
    CROSS_AXIS_RAD,
    AccelFit,
    fit_accelerometer,
)
from calibration.certificate import Certificate, Residuals
from calibration.errors import CalibrationRefused
from calibration.fitted import certificate_of
from calibration.gravity import ANYWHERE_STANDARD_MPS2, STANDARD_GRAVITY_MPS2, Gravity
from calibration.poses import (
    ENOUGH_POSES,
    HOLD_S,
    MissingPose,
    Pose,
    distinct,
    find_poses,
    missing_poses,
    nearest,
    pose_of,
    well_spread,
)
from calibration.stillness import (
    BLOCK_S,
    BlockOfRest,
    StillnessDetector,
    StillnessMeter,
    Stretch,
    feels_gravity,
    whole_parts,
)

__all__ = ["AccelSession", "Moved", "PoseTaken", "TooNear", "Withdrawn", "find_poses", "fit_recording"]

F64 = npt.NDArray[np.float64]

METHOD = "nine parameters from poses at rest (Tedaldi, Pretto, Menegatti, ICRA 2014)"
# A pose grows no longer than this: beyond it a chip wanders, and the mean gets no better [Allan deviation].
LONGEST_S = 60.0
# Good enough: what a reading of gravity says of tilt is known to this, with 95 %.
GOAL_TILT_DEG = 0.1


@dataclass(frozen=True, slots=True)
class PoseTaken:
    """Pose `number` (from 1) was taken; its mean so far (3,). It grows while the sensor lies still.

    `begin`, `end`: the whole rest so far, in samples of the session. Fed again, they give the same pose.
    """

    number: int
    mean_mps2: F64
    begin: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class TooNear:
    """The sensor lies still, but nearly as in pose `number`: that tells nothing new."""

    number: int


@dataclass(frozen=True, slots=True)
class Moved:
    """It lies still no longer."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Pose `number` was taken back: since then the sensor has shown how still it can be."""

    number: int


Happening = PoseTaken | TooNear | Moved | Withdrawn


@dataclass(frozen=True, slots=True)
class RecordingFit:
    """A recording's fit: from `used` poses; `unseen_mps2`: what it is wrong by in all of the others."""

    fit: AccelFit
    used: tuple[Pose, ...]
    others: tuple[Pose, ...]
    unseen_mps2: F64

    @property
    def unseen_rms_mps2(self) -> float | None:
        """Root mean square over the rests that the fit did not see, if there are any."""
        return rms(self.unseen_mps2) if len(self.unseen_mps2) else None


class AccelSession:
    """Takes samples as they come; finds the poses, judges them, and says what is missing.

    ``rate_hz``: of the samples; ``hold_s``: how long each pose has to be still.
    """

    def __init__(
        self,
        rate_hz: float,
        *,
        gravity_mps2: float = STANDARD_GRAVITY_MPS2,
        gravity_standard_mps2: float = ANYWHERE_STANDARD_MPS2,
        hold_s: float = HOLD_S,
    ) -> None:
        self.gravity = Gravity(gravity_mps2, gravity_standard_mps2)
        self.hold_s = hold_s
        self.samples = 0
        self._rate_hz = rate_hz
        self._detector = StillnessDetector(rate_hz)
        self._poses: list[tuple[Pose, float]] = []
        self._open: Stretch | None = None  # the rest that has had its verdict
        self._growing = False
        self._next_s = math.nan
        self._last: AccelFit | CalibrationRefused | None = None

    @property
    def poses(self) -> tuple[Pose, ...]:
        """The poses so far."""
        return tuple(pose for pose, _ in self._poses)

    @property
    def meter(self) -> StillnessMeter:
        """How still it is now."""
        detector = self._detector
        return StillnessMeter(
            deviation_mps2=detector.deviation_mps2,
            limit_mps2=math.sqrt(detector.limit_variance),
            still_s=detector.still_s,
            hold_s=self.hold_s,
        )

    def feed(self, values_mps2: F64, t_s: float) -> list[Happening]:
        """Take samples (n, 3) of which the first is from `t_s`; return what happened, in order.

        A hole in time, or a row that is not finite, ends a rest: what was before may have moved since.
        """
        values = np.asarray(values_mps2, dtype=np.float64).reshape(-1, 3)
        out: list[Happening] = []
        if abs(t_s - self._next_s) > BLOCK_S:
            out += self._ended(self._detector.interrupt())
        self._next_s = t_s + len(values) / self._rate_hz
        self.samples += len(values)
        parts = whole_parts(values)
        for i, part in enumerate(parts):
            if i > 0 or part.start > 0:
                out += self._ended(self._detector.interrupt())
            for block in self._detector.blocks(values[part]):
                out += self._step(block)
        if len(values) and (not parts or parts[-1].stop < len(values)):
            out += self._ended(self._detector.interrupt())
        return out

    def restore(self, values_mps2: F64) -> Pose:
        """Take a pose from the samples (n, 3) by which a journal has kept it, asking nothing of it again.

        Raises CalibrationRefused where they are too few to be one.
        """
        self._ended(self._detector.interrupt())
        blocks = self._detector.blocks(np.asarray(values_mps2, dtype=np.float64).reshape(-1, 3))
        self._detector.interrupt()
        self._next_s = math.nan
        self.samples += len(values_mps2)
        if not blocks or not feels_gravity(Stretch(blocks).mean):
            raise CalibrationRefused(
                "taking a pose from a journal",
                got=f"{len(values_mps2)} samples" + (" that show no gravity" if blocks else ""),
                expected=f"at least {self._detector.block_samples}, of about 9.8 m/s²",
                remedy="Take the original file of the session.",
            )
        stretch = Stretch(blocks)
        pose = pose_of(stretch, self._detector.resolution)
        self._poses.append((pose, stretch.variance))
        self._last = None
        return pose

    def undo(self) -> Pose | None:
        """Take back the last pose; returns it. It has to move before another is taken."""
        if not self._poses:
            return None
        pose, _ = self._poses.pop()
        self._growing = False
        self._last = None
        return pose

    def missing(self) -> list[MissingPose]:
        """Return the positions that would help most, best first; none when it is good enough."""
        if len(self._poses) < ENOUGH_POSES:
            return missing_poses(self.poses)
        return [] if self.good_enough else missing_poses(self.poses, least=1)

    def fit(self) -> AccelFit:
        """Fit the poses so far. Raises CalibrationRefused, in words, where they are not enough."""
        if self._last is None:
            try:
                self._last = fit_poses(self.poses, self.gravity)
            except CalibrationRefused as error:
                self._last = error
        if isinstance(self._last, CalibrationRefused):
            raise self._last
        return self._last

    @property
    def good_enough(self) -> bool:
        """Whether more poses would only add decimals: tilt by it, and poses left out, are within 0.1°."""
        if len(self._poses) < ENOUGH_POSES:
            return False
        try:
            return is_good(self.fit())
        except CalibrationRefused:
            return False

    def certificate(
        self, *, made_at: str, low_degc: float | None = None, high_degc: float | None = None
    ) -> Certificate:
        """Return the certificate of the fit. Raises CalibrationRefused as `fit` does."""
        fit = self.fit()
        common = certificate_of(
            fit,
            stream="accel",
            unit="mps2",
            method=METHOD,
            uncertainty=fit.budget,
            standard_uncertainty=fit.standard_uncertainty_mps2,
            made_at=made_at,
            low_degc=low_degc,
            high_degc=high_degc,
        )
        return msgspec.structs.replace(
            common,
            residuals=Residuals(
                rms=fit.residual_rms_mps2,
                worst=fit.worst_mps2,
                points=fit.poses,
                held_out_rms=fit.held_out_rms_mps2,
            ),
            gravity_mps2=self.gravity.told_mps2,
            findings=findings(fit, self.gravity),
        )

    def _step(self, block: BlockOfRest) -> list[Happening]:
        ended, now = self._detector.step(block)
        out = self._ended(ended)
        out += self._withdraw()
        if now is None:
            return out
        if now is self._open:
            self._grow(now)
        elif now.end - now.begin >= self.hold_s * self._rate_hz:
            self._open = now
            out.append(self._verdict(now))
        return out

    def _verdict(self, stretch: Stretch) -> Happening:
        pose = pose_of(stretch, self._detector.resolution)
        near = nearest(pose.mean, self.poses)
        if near is not None:
            return TooNear(near + 1)
        self._poses.append((pose, stretch.variance))
        self._growing = True
        self._last = None
        return PoseTaken(len(self._poses), pose.mean, stretch.begin, stretch.end)

    def _grow(self, stretch: Stretch) -> None:
        if self._growing and stretch.end - stretch.begin <= LONGEST_S * self._rate_hz:
            self._poses[-1] = (pose_of(stretch, self._detector.resolution), stretch.variance)
            self._last = None

    def _ended(self, stretch: Stretch | None) -> list[Happening]:
        if stretch is None or stretch is not self._open:
            return []
        self._open, self._growing = None, False
        return [Moved()]

    def _withdraw(self) -> list[Happening]:
        limit = self._detector.limit_variance
        loud = [i for i, (_, variance) in enumerate(self._poses) if variance > limit]
        for i in reversed(loud):
            self._growing = self._growing and i != len(self._poses) - 1
            del self._poses[i]
            self._last = None
        return [Withdrawn(i + 1) for i in reversed(loud)]


def fit_poses(poses: Sequence[Pose], gravity: Gravity | None = None) -> AccelFit:
    """Fit poses by themselves, and by what data sheets say of an angle that they do not show.

    Raises CalibrationRefused as `fit_accelerometer` does.
    """
    gravity = gravity or Gravity()
    means = np.array([pose.mean for pose in poses]).reshape(-1, 3)
    errors = np.array([pose.standard_error for pose in poses]).reshape(-1, 3)

    def fit(cross_axis_rad: float) -> AccelFit:
        return fit_accelerometer(
            means,
            standard_errors_mps2=errors,
            gravity_mps2=gravity.mps2,
            gravity_standard_mps2=gravity.standard_mps2,
            cross_axis_rad=cross_axis_rad,
        )

    try:
        alone = fit(math.inf)
    except CalibrationRefused:
        if len(poses) < PARAMETERS:
            raise
        return fit(CROSS_AXIS_RAD)
    return replace(fit(CROSS_AXIS_RAD), alone=alone) if alone.undetermined else alone


def fit_recording(
    values_mps2: F64,
    rate_hz: float,
    *,
    gravity: Gravity | None = None,
    hold_s: float = HOLD_S,
    count: int = ENOUGH_POSES,
) -> RecordingFit:
    """Find the rests of a recording (n, 3), fit the `count` that tell most, try the fit on all others.

    Raises CalibrationRefused where there are too few, or where they are too much alike.
    """
    found = find_poses(values_mps2, rate_hz, hold_s=hold_s)
    different = distinct(found)
    used = tuple(different[i] for i in well_spread(different, count))
    gravity = gravity or Gravity()
    fit = fit_poses(used, gravity)
    others = tuple(pose for pose in found if not any(pose is one for one in used))
    means = np.array([pose.mean for pose in others]).reshape(-1, 3)
    lengths = np.sqrt((fit.correct(means) ** 2).sum(axis=1))
    return RecordingFit(fit, used, others, lengths - gravity.mps2)


def goal_mps2(gravity_mps2: float = STANDARD_GRAVITY_MPS2) -> float:
    """Return what the goal in tilt is as acceleration: g·sin 0.1°."""
    return gravity_mps2 * math.sin(math.radians(GOAL_TILT_DEG))


def is_good(fit: AccelFit) -> bool:
    """Whether a fit keeps the goal: its uncertainty (k = 2; gravity does not tilt) and what was held out."""
    held_out = math.inf if fit.held_out_rms_mps2 is None else fit.held_out_rms_mps2
    goal = goal_mps2()
    return not fit.undetermined and 2 * fit.fit_standard_mps2 <= goal and held_out <= goal


def findings(fit: AccelFit, gravity: Gravity) -> tuple[str, ...]:
    """Say in words what else a certificate has to tell."""
    out = [
        f"no pose shows the angle between {name}: held to what data sheets allow, ±{CROSS_AXIS_RAD:g} rad"
        for name in fit.undetermined
    ]
    if fit.alone is not None and fit.alone.held_out_rms_mps2 is not None:
        open_rad = math.sqrt(float(np.diag(fit.alone.covariance)[:3].max()))
        left_mg = fit.alone.held_out_rms_mps2 / STANDARD_GRAVITY_MPS2 * 1000
        out.append(
            f"left free, it would be known to ±{open_rad:.2g} rad only; "
            f"poses left out, each in turn, would then be met to {left_mg:.2f} mg RMS"
        )
    out.append(f"gravity {gravity.mps2:.5f} ± {gravity.standard_mps2:.5f} m/s²: {gravity.source}")
    verdict = "known" if is_good(fit) else "not known"
    out.append(f"tilt is {verdict} to {GOAL_TILT_DEG:g}° with 95 %")
    return tuple(out)
