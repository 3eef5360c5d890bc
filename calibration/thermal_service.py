"""From a record of ordinary days to the settings of a tracker, and the tracker over a whole record.

What a tracker may believe is taken from the record itself: how much the reading scatters from day to day, and
how far temperature could explain that. Then the tracker is run over that record as it would run in service,
knowing only what came before, and judged on the part that its settings were not taken from. Where it does not
help there, it is refused, as a temperature term is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.certificate import TemperatureTerm
from calibration.thermal import thermal_bias
from calibration.thermal_lag import lagged_temperature
from calibration.thermal_regression import HeldOut
from calibration.thermal_series import DAY_S, F64, Series, clean_series, robust_sigma, running_median
from calibration.thermal_tracking import DriftSettings, DriftTracker, Trust

MEMORY_S = (
    7200.0  # the bias follows within it: slower than anything that is put on, faster than a morning warms
)
HIVE_LAG_S = 10800.0  # of the tracked slopes where no term says another: steel and timber outdoors
RELAX_S = DAY_S / 2.0  # what has stayed half a day is mass: a bee's day is drift, a week of nectar is not
SLOPE_SHARE = 0.5  # of the scatter that the temperature may be to blame for
LIMIT_SIGMAS = 20.0
DOUBT_S = DAY_S / 4.0
CONFIRM_ROWS = 3  # hours, of a logger that writes hourly
MUST_HELP = 0.95
PARTS = 4


@dataclass(frozen=True, slots=True)
class Tracked:
    """A record as a tracker corrects it: ``values``, the ``bias`` subtracted (n, axes), each row's state."""

    t_s: F64
    values: F64
    bias: F64
    states: tuple[Trust, ...]


@dataclass(frozen=True, slots=True)
class TrackingPlan:
    """``settings`` is None where tracking does not help; ``reason`` says why, or what was gained.

    ``before``, ``after``: scatter within a day, of the part of the record that was judged.
    """

    settings: DriftSettings | None
    before: float
    after: float
    reason: str


def plan_tracking(
    t_s: npt.ArrayLike,
    temperature_degc: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    term: TemperatureTerm | None = None,
    relax_s: float | None = RELAX_S,
) -> TrackingPlan:
    """Plan the tracking of one axis from a record of days, (n,) each, any order, repeated or irregular.

    `term`: what the certificate subtracts already. `relax_s`: as in DriftSettings; None for a load that
    cannot change slowly by itself.
    """
    series = clean_series(t_s, temperature_degc, values)
    if series.span_s < 2.0 * DAY_S or len(series) < 2 * PARTS:
        return TrackingPlan(None, 0.0, 0.0, "less than two days tell nothing of a day's drift")
    half = len(series) // 2
    trial = _settings(_part(series, slice(0, half)), term, relax_s)
    if trial.noise <= 0.0:
        return TrackingPlan(None, 0.0, 0.0, "the reading does not scatter: there is nothing to track")
    tracked = track_series(series.t_s, series.temperature_degc, series.values, trial, term=term)
    judged = slice(half, None)
    around = [within_day(series.t_s[judged], column[judged, 0]) for column in (series.values, tracked.values)]
    number = np.floor(np.linspace(0.0, PARTS, len(around[0]), endpoint=False))
    compared = HeldOut(around[0], around[1], number)
    before, after = robust_sigma(around[0]), robust_sigma(around[1])
    ratios = compared.block_ratios()
    if compared.ratio() > MUST_HELP or max(ratios) > 1.0:
        reason = f"tracking leaves {compared.ratio():.0%} of the scatter, {max(ratios):.0%} in the worst part"
        return TrackingPlan(None, before, before, reason)
    settings = _settings(series, term, relax_s)
    return TrackingPlan(settings, before, after, f"scatter within a day: {before:.4g} to {after:.4g}")


def track_series(
    t_s: npt.ArrayLike,
    temperature_degc: npt.ArrayLike,
    values: npt.ArrayLike,
    settings: DriftSettings,
    *,
    term: TemperatureTerm | None = None,
    still: npt.ArrayLike | None = None,
) -> Tracked:
    """Run a tracker over a record, row by row, each knowing only the rows before it and itself."""
    series = clean_series(t_s, temperature_degc, values, still=still)
    readings = series.values
    if term is not None:
        readings = readings - thermal_bias(term, series.t_s, series.temperature_degc)
    tracker = DriftTracker(settings, readings.shape[1])
    bias = np.empty_like(readings)
    states = []
    rows = zip(series.t_s.tolist(), series.temperature_degc.tolist(), series.still.tolist(), strict=True)
    for i, (time_s, degc, at_rest) in enumerate(rows):
        drift = tracker.step(time_s, readings[i].tolist(), at_rest=at_rest, temperature_degc=degc)
        bias[i] = drift.bias
        states.append(drift.state)
    return Tracked(series.t_s, readings - bias, series.values - readings + bias, tuple(states))


def within_day(t_s: F64, values: F64) -> F64:
    """Return what a reading does within a day: (n,) less the running median of 24 h, which keeps steps."""
    return values - running_median(t_s, values, DAY_S)


def _part(series: Series, rows: slice) -> Series:
    return Series(series.t_s[rows], series.temperature_degc[rows], series.values[rows], series.still[rows])


def _settings(series: Series, term: TemperatureTerm | None, relax_s: float | None) -> DriftSettings:
    lag_s = term.lag_s if term is not None and term.lag_s > 0.0 else HIVE_LAG_S
    readings = series.values[:, 0]
    if term is not None:
        readings = readings - thermal_bias(term, series.t_s, series.temperature_degc)[:, 0]
    scatter = robust_sigma(within_day(series.t_s, readings))
    lagged_degc, _ = lagged_temperature(series.t_s, series.temperature_degc, lag_s)
    gap_degc = series.temperature_degc - lagged_degc
    return DriftSettings(
        noise=scatter,
        wander_per_sqrt_s=scatter * (series.interval_s**0.5) / MEMORY_S,
        limit=LIMIT_SIGMAS * scatter,
        slope_per_degc=SLOPE_SHARE * scatter / max(float(np.std(lagged_degc)), 1e-9),
        gap_per_degc=SLOPE_SHARE * scatter / max(float(np.std(gap_degc)), 1e-9),
        lag_s=lag_s,
        relax_s=relax_s,
        confirm_hops=CONFIRM_ROWS,
        doubt_s=DOUBT_S,
    )
