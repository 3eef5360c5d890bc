"""What is left of a bias in service: tracked slowly, only at rest, frozen on doubt, and never in silence.

A Kalman filter an axis, which is recursive least squares with a forgetting that has units (Simon, *Optimal
State Estimation*, 2006, sections 3.4 and 7.4). Its states are a slow bias, which wanders, and what the
certificate's slope and lag term are still wrong by, so that a warm noon does not have to be learnt anew every
day::

    value = level + b + c1·(T_c − T_0) + c2·(T − T_c) + noise

`value` has been corrected by the certificate. `level` is what the sensor would rightly give: known (zero of
an empty platform, standard gravity), or whatever lies on it. Two rules keep a load from being taken for
drift. What leaves the gate of 3 σ is not learnt from; and where the level is not known beforehand, what
stays outside of it for some hops, steadily, is a new load, and moves the level and not the bias. As OIML
R 76-1 (2006), 4.5.7 asks of zero-tracking, it works at stable equilibrium only and within limits: past
``limit`` the sensor is not trusted.

Pure: time arrives with the data, states are Python floats, and the same hops give the same answers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from calibration.thermal_lag import LaggedTemperature

SLOPE_FORGET_DAYS = 10.0  # a slope may become another one, by its own uncertainty, within so many days
DOUBTFUL_HOPS = 2  # in a row are told: by chance one hop in 370 is outside of 3 σ, two in 140,000
SCATTER_SHARE = 0.005  # of each hop in the running scatter of innovations: a memory of 200 hops
DAY_S = 86400.0


class Trust(StrEnum):
    """How far a corrected value may be relied on."""

    TRUSTED = "trusted"
    DEGRADED = "degraded"
    NOT_TRUSTED = "not trusted"


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """What a tracker may believe. All in the stream's unit.

    ``noise``: standard deviation of one hop's mean at rest. ``wander_per_sqrt_s``: of the slow bias, which
    grows by this times the square root of the time. ``limit``: a correction that no healthy sensor needs;
    past it the state is "not trusted". ``degraded_sigma``: uncertainty of the correction from which on the
    state is "degraded"; 0 stands for a third of the limit.
    ``slope_per_degc``, ``gap_per_degc``: standard uncertainty of the certificate's slope and lag term, which
    are tracked too where not 0. ``lag_s``: of the certificate's temperature term.
    ``reference``: the true value at rest where it is known; None: what lies on the sensor is not known.
    ``relax_s``: where the level itself may change slowly (a hive, a leaking tank), the time within which what
    has stayed is taken for the level after all; None: never, what changes slowly at rest is drift.
    ``confirm_hops``: so many hops at rest, within the gate of each other, make a new level; it is as well
    known as their median.
    ``doubt_s``: doubt that lasts longer than this ends trust.
    """

    noise: float
    wander_per_sqrt_s: float
    limit: float
    degraded_sigma: float = 0.0
    slope_per_degc: float = 0.0
    gap_per_degc: float = 0.0
    lag_s: float = 0.0
    reference: float | None = None
    relax_s: float | None = None
    gate_sigmas: float = 3.0
    confirm_hops: int = 10
    doubt_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Drift:
    """What a tracker says after a hop; one figure an axis.

    ``bias``: to be subtracted from what the certificate gives, of this hop and until the next one.
    ``sigma``: its standard uncertainty. ``level``: what the sensor is held to measure, None before the first
    hop at rest. ``frozen``: nothing was learnt from this hop. ``reason``: why the state is not "trusted".
    """

    bias: tuple[float, ...]
    sigma: tuple[float, ...]
    level: tuple[float | None, ...]
    state: Trust
    frozen: bool
    reason: str = ""


class DriftTracker:
    """Tracks the slow bias of one stream, hop by hop. Feed it every hop; it learns from those at rest."""

    def __init__(self, settings: DriftSettings, axes: int = 1) -> None:
        self._settings = settings
        self._axes = [_Axis(settings) for _ in range(axes)]
        self._lagged = LaggedTemperature(settings.lag_s)
        self._last_s: float | None = None
        self._origin_degc: float | None = None
        self._since_s: float | None = None

    def step(
        self,
        time_s: float,
        values: Sequence[float],
        *,
        at_rest: bool,
        temperature_degc: float | None = None,
    ) -> Drift:
        """Take one hop: its end, the mean of each axis as the certificate corrects it, and its temperature.

        `time_s` in seconds of any clock that does not jump. A hop that does not come after the last one, or
        that holds a value that is no number, teaches nothing. `temperature_degc` None: not known, the last
        one is held.
        """
        dt_s = 0.0 if self._last_s is None else time_s - self._last_s
        late = self._last_s is not None and dt_s <= 0.0
        if not late:
            self._last_s = time_s
            warm, gap = self._temperatures(dt_s, temperature_degc)
            for axis in self._axes:
                axis.predict(dt_s, warm, gap)
        broken = not all(math.isfinite(value) for value in values)
        usable = at_rest and not broken and not late
        if usable:
            for axis, value in zip(self._axes, values, strict=True):
                axis.learn(value)
        doubtful = any(axis.doubtful for axis in self._axes)
        told = any(axis.doubts >= DOUBTFUL_HOPS for axis in self._axes)
        if not (told or broken):
            self._since_s = None
        elif self._since_s is None:
            self._since_s = time_s
        state, reason = self._judge(time_s, broken)
        return Drift(
            tuple(axis.bias for axis in self._axes),
            tuple(axis.sigma for axis in self._axes),
            tuple(axis.level for axis in self._axes),
            state,
            frozen=doubtful or not usable,
            reason=reason,
        )

    def _temperatures(self, dt_s: float, temperature_degc: float | None) -> tuple[float, float]:
        if temperature_degc is None or not math.isfinite(temperature_degc):
            held = self._lagged.input_degc
            if held is None:
                return 0.0, 0.0
            temperature_degc = held
        lagged_degc, _ = self._lagged.step(dt_s, temperature_degc)
        if self._origin_degc is None:
            self._origin_degc = lagged_degc
        return lagged_degc - self._origin_degc, temperature_degc - lagged_degc

    def _judge(self, time_s: float, broken: bool) -> tuple[Trust, str]:
        s = self._settings
        worst = max(abs(axis.bias) for axis in self._axes)
        if worst > s.limit:
            return (
                Trust.NOT_TRUSTED,
                f"the correction has grown to {worst:.4g}, past its limit of {s.limit:.4g}",
            )
        sigma = max(axis.sigma for axis in self._axes)
        if sigma > s.limit:
            return Trust.NOT_TRUSTED, f"the correction is unknown by {sigma:.4g}: too long without rest"
        if self._since_s is not None:
            lasted_s = time_s - self._since_s
            what = "values are missing" if broken else "the value does not fit what is known of its drift"
            state = Trust.NOT_TRUSTED if lasted_s > s.doubt_s else Trust.DEGRADED
            return state, f"{what}, for {lasted_s:.0f} s"
        if sigma > (s.degraded_sigma or s.limit / 3.0):
            return Trust.DEGRADED, f"the correction is unknown by {sigma:.4g}: long without rest"
        return Trust.TRUSTED, ""


class _Axis:
    """The filter of one axis: states (b, c1, c2), of which those with no uncertainty stay 0."""

    def __init__(self, settings: DriftSettings) -> None:
        self._s = settings
        start = (settings.noise**2, settings.slope_per_degc**2, settings.gap_per_degc**2)
        self._grow = tuple(v / (SLOPE_FORGET_DAYS * DAY_S) for v in start[1:])
        self._x = [0.0, 0.0, 0.0]
        self._p = [[start[i] if i == j else 0.0 for j in range(3)] for i in range(3)]
        self._a = (1.0, 0.0, 0.0)
        self._scatter = settings.noise**2
        self._outside: deque[float] = deque(maxlen=settings.confirm_hops)
        self.level = settings.reference
        self.doubts = 0

    @property
    def doubtful(self) -> bool:
        """Whether the last hop at rest was outside of the gate."""
        return self.doubts > 0

    @property
    def bias(self) -> float:
        """What to subtract."""
        return sum(a * x for a, x in zip(self._a, self._x, strict=True))

    @property
    def sigma(self) -> float:
        """Standard uncertainty of `bias`."""
        return math.sqrt(max(0.0, self._spread(self._carried())))

    def predict(self, dt_s: float, warm_degc: float, gap_degc: float) -> None:
        self._a = (1.0, warm_degc, gap_degc)
        self._p[0][0] += self._s.wander_per_sqrt_s**2 * dt_s
        for i, grow in enumerate(self._grow, start=1):
            self._p[i][i] += grow * dt_s
        if self._s.relax_s is not None and self.level is not None:
            # the whole correction, or a season's warmth would stay in it by way of the slope
            stays = self.bias * -math.expm1(-dt_s / self._s.relax_s)
            self._x[0] -= stays
            self.level += stays

    def learn(self, value: float) -> None:
        if self.level is None:
            self.level = value - self.bias
        carried = self._carried()
        variance = self._spread(carried) + self._s.noise**2
        innovation = value - self.level - self.bias
        gate = self._s.gate_sigmas * math.sqrt(max(variance, self._scatter))
        if abs(innovation) > gate:
            self._doubt(innovation, gate)
            return
        self.doubts = 0
        self._outside.clear()
        self._scatter += SCATTER_SHARE * (innovation**2 - self._scatter)
        for i in range(3):
            self._x[i] += carried[i] / variance * innovation
            for j in range(3):
                self._p[i][j] -= carried[i] * carried[j] / variance

    def _doubt(self, innovation: float, gate: float) -> None:
        self.doubts += 1
        if self._s.reference is not None or self.level is None:
            return
        self._outside.append(innovation)
        steady = max(self._outside) - min(self._outside) <= gate
        if len(self._outside) == self._s.confirm_hops and steady:
            self.level += median(self._outside)
            self._outside.clear()
            self.doubts = 0

    def _carried(self) -> list[float]:
        return [sum(row[j] * self._a[j] for j in range(3)) for row in self._p]

    def _spread(self, carried: Sequence[float]) -> float:
        return sum(a * c for a, c in zip(self._a, carried, strict=True))
