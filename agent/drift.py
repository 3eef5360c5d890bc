"""In service: how far a certified sensor has drifted, told only where the truth is known: at rest.

* An accelerometer at rest reads the length of gravity, whichever way it lies. That is watched, and nothing is
  corrected by it: one number cannot tell which of three axes is wrong.
* An empty platform reads zero. Its cells follow it as OIML R 76-1 (2006), 4.5.7 allows: from zero, at stable
  equilibrium, by at most 0.5 d a second, within 4 % of the capacity. A loaded one is only watched: nothing
  tells a load that settles from a cell that drifts; but less than nothing cannot lie on it.

What is learnt, and when it is doubted, is `calibration.thermal_tracking`'s; here stands what rest is. Values
come as sums over whole seconds of box time, so how samples are cut changes nothing. Pure.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.streams import StreamClass, StreamSpec, Unit
from calibration.certificate import Certificate
from calibration.gravity import STANDARD_GRAVITY_MPS2
from calibration.load_steps import MOST_ZERO
from calibration.thermal_tracking import Drift, DriftSettings, DriftTracker, Trust

# From 9.780 at the equator to 9.832 at the poles (WGS 84), anywhere in between: a rectangle's σ is its half
# width over √3.
GRAVITY_SIGMA_MPS2 = (9.832 - 9.780) / 2 / math.sqrt(3)
REST_S = 10
# No MEMS accelerometer is louder at rest: ADXL345 at 3200 Hz [datasheet, table 1: 1.5 LSB at 100 Hz, × √32]
LOUDEST_MPS2 = 0.4
QUIETEST_MPS2 = 1e-3  # ADXL355, 22.5 µg/√Hz over 20 Hz: below it a variance is a matter of rounding
LOUDEST_VARIANCE = 3 * LOUDEST_MPS2**2
QUIET_GROWTH = 1.001
VARIANCE_FACTOR = 4.0  # rest against the quietest second so far (Tedaldi et al., ICRA 2014, IV-A)
STEADY_MPS2 = 0.02  # 2 mg: seconds at rest differ by less; those of a van that brakes do not
FAR_SIGMAS = 6.0  # beyond it, it is not trusted; doubted is it at 3
ACCEL_DOUBT_S = 60.0  # of rest

EQUILIBRIUM_S = 5  # R 76-1 (2006), 4.4.2: stable is what stays the same for 5 s after
TRACKING_D_PER_S = 0.5  # R 76-1, 4.5.7
TRACKING_PART = 0.04  # of the capacity: R 76-1, 4.5.7
AT_ZERO_D = 0.5
ZERO_NOISE_D = 0.25  # of a second's mean, as stable equilibrium allows
# In a month without being seen empty, a zero becomes uncertain by 1 d. It makes the tracking slow, too: by
# the ratio to the noise it takes 400 s, in which a load that is put on gently is no longer at zero.
ZERO_WANDER_D_PER_SQRT_S = 6e-4
LOAD_DOUBT_S = 600.0
# A van parks on slopes: what stands on the cells at zero weighs less there. Streets go up to 25 %.
SLOPE_PART = 1.0 - 1.0 / math.hypot(1.0, 0.25)
IDLE_NS = 60_000_000_000  # how often a loaded scale is asked how long it was not empty


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a stream, corrected: how many samples, mean and variance an axis."""

    end_ns: int
    count: int
    mean: Sequence[float]
    variance: Sequence[float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a watch says after a second. ``bias``: to be subtracted from what the certificate gives."""

    bias: tuple[float, ...]
    state: Trust
    reason: str


class DriftWatch(Protocol):
    """Watches one stream; fed every second that holds samples."""

    def step(self, second: Second) -> Verdict:
        """Take the next second, `bias` of the last verdict already taken from it."""
        ...

    def note(self) -> str:
        """Say what is not watched, and why; empty where all is."""
        ...


def make_watch(spec: StreamSpec, certificate: Certificate) -> DriftWatch | None:
    """Return what watches a stream of this kind; None where nobody knows the truth."""
    if spec.kind is StreamClass.MOTION and spec.unit is Unit.MPS2 and len(spec.axes) == 3:
        return GravityWatch(spec, certificate)
    if spec.kind is StreamClass.LOAD:
        return ZeroWatch(spec, certificate)
    return None


class _Rest:
    """Whether seconds follow each other without a change: the last `seconds`, each near the mean of all."""

    def __init__(self, seconds: int) -> None:
        self._last: deque[Second] = deque(maxlen=seconds)

    def steady(self, second: Second, limits: Sequence[float]) -> bool:
        """Take a second that is quiet in itself; return whether all since then are the same by `limits`."""
        last = self._last
        if last and second.end_ns - last[-1].end_ns != 1_000_000_000:
            last.clear()
        last.append(second)
        if len(last) < (last.maxlen or 0):
            return False
        for i, limit in enumerate(limits):
            values = [one.mean[i] for one in last]
            if max(values) - min(values) > 2 * limit:
                return False
        return True

    def interrupt(self) -> None:
        """It is not quiet."""
        self._last.clear()


class GravityWatch:
    """Holds the length of what an accelerometer reads at rest against gravity; corrects nothing."""

    def __init__(self, spec: StreamSpec, certificate: Certificate) -> None:
        self._name = spec.name
        self._none = (0.0,) * len(spec.axes)
        self._rest = _Rest(REST_S)
        self._quietest = LOUDEST_VARIANCE / VARIANCE_FACTOR
        # of an axis that flickers between two counts; a scale of 1 says nothing of counts
        count = spec.scale if spec.scale < 1.0 else 0.0
        self._floor = 3 * max(QUIETEST_MPS2, count / math.sqrt(12)) ** 2
        self._rested_s = 0.0
        self._verdict = Verdict(self._none, Trust.TRUSTED, "")
        stated = certificate.standard_uncertainty
        self._sigma = None if stated is None else math.hypot(stated, GRAVITY_SIGMA_MPS2)
        self._tracker = DriftTracker(
            DriftSettings(
                noise=self._sigma or 1.0,
                wander_per_sqrt_s=0.0,
                limit=3.0 * (self._sigma or 1.0),
                reference=STANDARD_GRAVITY_MPS2,
                doubt_s=ACCEL_DOUBT_S,
            )
        )

    def note(self) -> str:
        """Say where the certificate gives nothing to hold it against."""
        if self._sigma is not None:
            return ""
        return f"{self._name}: its drift is not watched: its certificate states no uncertainty"

    def step(self, second: Second) -> Verdict:
        """Take the next second."""
        if self._sigma is None or not self._at_rest(second):
            return self._verdict
        length = math.hypot(*second.mean)
        # by a clock that goes while it rests: doubt that a braking van leaves does not grow until it parks
        self._rested_s += 1.0
        drift = self._tracker.step(self._rested_s, (length,), at_rest=True)
        self._verdict = self._judged(length, drift, self._sigma)
        return self._verdict

    def _judged(self, length: float, drift: Drift, sigma: float) -> Verdict:
        off = length - STANDARD_GRAVITY_MPS2
        state = drift.state
        if state is Trust.TRUSTED:
            return Verdict(self._none, state, "")
        if state is Trust.NOT_TRUSTED and abs(off) <= FAR_SIGMAS * sigma:
            state = Trust.DEGRADED
        reason = (
            f"at rest it reads {length:.3f} m/s², {abs(off) / sigma:.1f} times its standard uncertainty "
            f"{'more' if off > 0 else 'less'} than gravity"
        )
        return Verdict(self._none, state, reason)

    def _at_rest(self, second: Second) -> bool:
        variance = math.fsum(second.variance)
        if second.count < 3 or not all(map(math.isfinite, (*second.mean, variance))):
            self._rest.interrupt()
            return False
        # it forgets within some ten minutes: one second of a value that stood still is no measure for ever
        quietest = min(self._quietest * QUIET_GROWTH, LOUDEST_VARIANCE / VARIANCE_FACTOR)
        self._quietest = max(min(quietest, variance), self._floor)
        if variance > VARIANCE_FACTOR * self._quietest:
            self._rest.interrupt()
            return False
        errors = [math.sqrt(max(0.0, v) / second.count) for v in second.variance]
        return self._rest.steady(second, [max(STEADY_MPS2, 4 * error) for error in errors])


class ZeroWatch:
    """Follows the zero of a platform's cells while it is empty, and watches it while it is not."""

    def __init__(self, spec: StreamSpec, certificate: Certificate) -> None:
        self._name = spec.name
        self._axes = len(spec.axes)
        self._applied = [0.0] * self._axes
        self._d = certificate.verification_interval
        self._capacity = certificate.capacity
        # of the sum of the cells; no scale is judged more finely than by half its interval
        self._sigma = max(certificate.standard_uncertainty or 0.0, (self._d or 0.0) / 2) or None
        # untold, the bare plate is lighter than what a session takes without asking for it
        untold_kg = MOST_ZERO * (self._capacity or 0.0)
        dead_kg = untold_kg if certificate.dead_load is None else certificate.dead_load
        self._slope_kg = SLOPE_PART * dead_kg
        self._rest = _Rest(EQUILIBRIUM_S)
        self._negative_since_ns: int | None = None
        self._below: tuple[Trust, str] = (Trust.TRUSTED, "")
        self._followed_last: tuple[Trust, str] = (Trust.TRUSTED, "")
        self._asked_ns = -IDLE_NS
        self._tracker: DriftTracker | None = None
        if self._d is not None and self._capacity is not None:
            self._tracker = DriftTracker(
                DriftSettings(
                    noise=ZERO_NOISE_D * self._d,
                    wander_per_sqrt_s=ZERO_WANDER_D_PER_SQRT_S * self._d,
                    # the limit is the platform's; no cell of it may use up more
                    limit=TRACKING_PART * self._capacity / self._axes,
                    degraded_sigma=self._d,
                    reference=0.0,
                    doubt_s=LOAD_DOUBT_S,
                ),
                self._axes,
            )

    def note(self) -> str:
        """Say what is not done for want of figures in the certificate."""
        if self._sigma is None:
            return f"{self._name}: its drift is not watched: its certificate states no uncertainty"
        if self._tracker is None:
            return (
                f"{self._name}: its zero is watched and not followed: its certificate states no "
                "capacity and verification_interval"
            )
        return ""

    def step(self, second: Second) -> Verdict:
        """Take the next second."""
        if self._sigma is None:
            return self._said(Trust.TRUSTED, "")
        step_kg = self._d if self._d is not None else 2 * self._sigma
        finite = all(math.isfinite(value) for value in second.mean)
        quiet = finite and second.count >= 1 and all(v <= step_kg**2 for v in second.variance)
        stable = quiet and self._rest.steady(second, [AT_ZERO_D * step_kg] * self._axes)
        if not quiet:
            self._rest.interrupt()
        total = math.fsum(second.mean) if finite else math.nan
        state, reason = self._followed(second, stable=stable, total=total)
        if stable:
            self._below_zero(second.end_ns, total, self._sigma)
        below, why = self._below
        return self._said(below, why) if below is not Trust.TRUSTED else self._said(state, reason)

    def _said(self, state: Trust, reason: str) -> Verdict:
        return Verdict(tuple(self._applied), state, reason)

    def _followed(self, second: Second, *, stable: bool, total: float) -> tuple[Trust, str]:
        if self._tracker is None or self._d is None:
            return Trust.TRUSTED, ""
        near = AT_ZERO_D * self._d
        empty = stable and abs(total) <= near and all(abs(value) <= near for value in second.mean)
        idle_ns = second.end_ns - self._asked_ns
        if not empty and 0 <= idle_ns < IDLE_NS:
            return self._followed_last  # doubt and ignorance grow slowly
        self._asked_ns = second.end_ns
        # before what was subtracted already: it is what the certificate alone would give
        values = [value + bias for value, bias in zip(second.mean, self._applied, strict=True)]
        drift = self._tracker.step(second.end_ns / 1e9, values, at_rest=empty)
        if empty and drift.state is not Trust.NOT_TRUSTED:
            most = TRACKING_D_PER_S * self._d / self._axes
            for i, bias in enumerate(drift.bias):
                self._applied[i] += min(most, max(-most, bias - self._applied[i]))
        self._followed_last = drift.state, drift.reason
        return self._followed_last

    def _below_zero(self, end_ns: int, total: float, sigma: float) -> None:
        """Judge a stable total; what was found last holds until it is stable again."""
        less = total + self._slope_kg
        if less >= -3.0 * sigma:
            self._negative_since_ns = None
            self._below = (Trust.TRUSTED, "")
            return
        if self._negative_since_ns is None:
            self._negative_since_ns = end_ns
        long = end_ns - self._negative_since_ns > LOAD_DOUBT_S * 1e9
        state = Trust.NOT_TRUSTED if long and less < -FAR_SIGMAS * sigma else Trust.DEGRADED
        self._below = (state, f"it reads {total:.3g} kg in all, less than nothing")
