"""Outdoor scales over weeks: σ of the second half before and after, fitted on the first half alone.

    scripts/bench thermal
    python -m scripts.benches.thermal FOLDER    the table, of any folder of such files

What σ means decides, since the true mass moves, too: bees fly out, nectar comes in, supers are put on. The
headline is σ WITHIN A DAY: the reading less its running median of 24 h, which takes away seasons and keeps
steps out, as a robust standard deviation (1.4826 × median absolute deviation), computed in the same way
before and after. The others are beside it, so that nobody has to believe in one.

Two compensations are judged. *Static*: a temperature term from the first half, as a certificate holds it;
refused where it did not help on blocks of the first half that it had not seen. *Tracked*: what the agent does
in service, the static term if there is one, and a DriftTracker that goes on through the second half, learning
only from rows that have come; its settings are from the first half. It counts as drift what follows the
temperature or wanders within half a day, and keeps what steps: how much of a mass that is put on it hands on
is measured, too. A scale cannot tell a bee's day from a strain gauge's by its readings alone.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.thermal import ThermalFit, fit_thermal, thermal_bias
from calibration.thermal_series import DAY_S, F64, clean_series, robust_sigma
from calibration.thermal_service import TrackingPlan, plan_tracking, track_series, within_day
from scripts.benches.figures import Figure

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "hive-scales"
PUT_ON_LB = 5.0  # some frames of honey; the trial of what the tracker keeps of a true change,
PUT_ON_SIGMAS = 8.0  # where a scale's own day is not larger: less cannot be told from drift by anybody
PUT_ON_AT = (0.15, 0.35, 0.55, 0.75)  # of the second half


@dataclass(frozen=True, slots=True)
class Scale:
    """One file's rows as they are: ``cells_lb`` (n, 2) is None where the file does not tell them apart."""

    name: str
    t_s: F64
    temperature_degc: F64
    mass_lb: F64
    cells_lb: F64 | None


@dataclass(frozen=True, slots=True)
class Judged:
    """The second half of one scale: each σ before, with the static term, and tracked."""

    scale: Scale
    fit: ThermalFit
    plan: TrackingPlan | None
    before: dict[str, float]
    static: dict[str, float]
    tracked: dict[str, float]
    kept: float
    trusted: float


def read_scale(path: Path) -> Scale:
    """Read one export of a BroodMinder scale.

    The temperature is in °F whatever the firmware. Mass is in pounds in ``Weight`` or, where that is empty,
    in the sum of its cells. Early firmware wrote a cell's pounds into the columns of raw counts and 0 into
    its own; others leave the raw columns empty. So a cell is taken from whichever pair adds up to the mass.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    t_s, fahrenheit = _column(rows, "Unix_Time"), _column(rows, "Temperature")
    own = np.stack([_column(rows, "WeightL"), _column(rows, "WeightR")], axis=1)
    raw = np.stack([_column(rows, "WeightLRaw"), _column(rows, "WeightRRaw")], axis=1)
    mass = _column(rows, "Weight")
    mass = np.where(np.isfinite(mass), mass, own.sum(axis=1))
    adds_up = np.abs(own.sum(axis=1) - mass) < 0.05
    raw_adds_up = np.abs(raw.sum(axis=1) - mass) < 0.05
    cells = np.where(adds_up[:, None], own, np.where(raw_adds_up[:, None], raw, np.nan))
    whole = bool(np.isfinite(cells).all())
    return Scale(path.stem, t_s, (fahrenheit - 32.0) / 1.8, mass, cells if whole else None)


def _column(rows: list[dict[str, str]], name: str) -> F64:
    def number(text: str | None) -> float:
        try:
            return float(text or "nan")
        except ValueError:
            return float("nan")

    return np.array([number(row.get(name)) for row in rows], np.float64)


def _less_line(t_s: F64, values: F64) -> F64:
    days = (t_s - t_s[0]) / DAY_S
    return np.asarray(values - np.polyval(np.polyfit(days, values, 1), days))


def _less_day_means(t_s: F64, values: F64) -> F64:
    _, day = np.unique(np.floor(t_s / DAY_S), return_inverse=True)
    return np.asarray(values - (np.bincount(day, values) / np.bincount(day))[day])


def _std(values: npt.NDArray[np.float64]) -> float:
    return float(np.std(values))


SIGMAS: dict[str, Callable[[F64, F64], float]] = {
    "within a day, robust": lambda t, x: robust_sigma(within_day(t, x)),
    "within a day": lambda t, x: _std(within_day(t, x)),
    "less day's mean, robust": lambda t, x: robust_sigma(_less_day_means(t, x)),
    "less day's mean": lambda t, x: _std(_less_day_means(t, x)),
    "row to row": lambda _, x: _std(np.diff(x)),
    "less a line": lambda t, x: _std(_less_line(t, x)),
    "plain": lambda _, x: _std(x),
}
HEADLINE = "within a day, robust"


def judge(scale: Scale) -> Judged:
    """Fit on the first half of the rows, judge on the second."""
    series = clean_series(scale.t_s, scale.temperature_degc, scale.mass_lb)
    half = len(series) // 2
    middle_s = series.t_s[half]
    first = scale.t_s < middle_s
    t_s, degc, mass = series.t_s, series.temperature_degc, series.values[:, 0]
    cells = None if scale.cells_lb is None else scale.cells_lb[first]
    fit = fit_thermal(scale.t_s[first], scale.temperature_degc[first], scale.mass_lb[first], cells=cells)
    before = _sigmas(t_s[half:], mass[half:])
    if fit.faulty:
        return Judged(scale, fit, None, before, before, before, 1.0, 0.0)
    static = mass if fit.term is None else mass - thermal_bias(fit.term, t_s, degc)[:, 0]
    plan = plan_tracking(t_s[:half], degc[:half], mass[:half], term=fit.term)
    after, kept, trusted = static, 1.0, 0.0
    if plan.settings is not None:
        tracked = track_series(t_s, degc, mass, plan.settings, term=fit.term)
        after = tracked.values[:, 0]
        trusted = float(np.mean([state == "trusted" for state in tracked.states[half:]]))
        kept = _kept(scale, fit, plan, half, after)
    return Judged(
        scale,
        fit,
        plan,
        before,
        _sigmas(t_s[half:], static[half:]),
        _sigmas(t_s[half:], after[half:]),
        kept,
        trusted,
    )


def _sigmas(t_s: F64, values: F64) -> dict[str, float]:
    return {name: sigma(t_s, values) for name, sigma in SIGMAS.items()}


def _kept(scale: Scale, fit: ThermalFit, plan: TrackingPlan, half: int, without: F64) -> float:
    """Put a mass on at several times of the second half: the least share handed on over the next day."""
    series = clean_series(scale.t_s, scale.temperature_degc, scale.mass_lb)
    assert plan.settings is not None
    put_on_lb = max(PUT_ON_LB, PUT_ON_SIGMAS * plan.settings.noise)
    shares = []
    for at in PUT_ON_AT:
        row = half + int(at * (len(series) - half))
        mass = series.values[:, 0].copy()
        mass[row:] += put_on_lb
        tracked = track_series(series.t_s, series.temperature_degc, mass, plan.settings, term=fit.term)
        after = series.t_s - series.t_s[row]
        day = (after > 0.0) & (after <= DAY_S)
        shares.append(float(np.median((tracked.values[:, 0] - without)[day])) / put_on_lb)
    return min(shares)


def judge_folder(folder: Path) -> list[Judged]:
    """Judge every file of a folder, in the order of their names."""
    return [judge(read_scale(path)) for path in sorted(folder.glob("*.csv"))]


def bench(_: argparse.Namespace) -> list[Figure]:
    """Return the medians and the worst over all sound scales; and whether the faulty one was flagged."""
    if not FOLDER.is_dir():
        print(f"  no {FOLDER}: nothing measured", file=sys.stderr)
        return []
    judged = judge_folder(FOLDER)
    print(table(judged), file=sys.stderr)
    sound = [one for one in judged if not one.fit.faulty]
    figures = [Figure("scales flagged as faulty, not fitted", len(judged) - len(sound), "scales", at_least=1)]
    for way in ("static", "tracked"):
        for name in SIGMAS:
            ratios = [getattr(one, way)[name] / one.before[name] for one in sound]
            promised = way == "tracked" and name == HEADLINE
            figures += [
                Figure(
                    f"{way}: σ {name}, median better by",
                    100.0 * (1.0 - statistics.median(ratios)),
                    "%",
                    at_least=30.0 if promised else None,
                ),
                Figure(f"{way}: σ {name}, worst", 100.0 * max(ratios), "% of before", at_most=101.0),
            ]
    kept = min((one.kept for one in sound), default=1.0)
    figures.append(Figure("tracked: of a mass put on, handed on", 100.0 * kept, "%", at_least=90.0))
    return figures


def table(judged: list[Judged]) -> str:
    """Return all of it for people to read."""
    lines = []
    for one in judged:
        fit = one.fit
        days = (one.scale.t_s.max() - one.scale.t_s.min()) / DAY_S
        lines.append(
            f"{one.scale.name}: {days:.0f} days; first half: {fit.rows} rows every {fit.interval_s:.0f} s "
            f"({fit.repeated} repeated, {fit.missing} without a number)"
        )
        if fit.faulty:
            lines.append(f"  FAULTY, not fitted: {fit.reason}")
            continue
        lines.append(f"  static:  {'fitted' if fit.term else 'refused'}: {fit.reason}")
        if one.plan is not None:
            how = "tracked" if one.plan.settings else "refused"
            lines.append(f"  tracked: {how}: {one.plan.reason}; trusted {one.trusted:.0%} of the second half")
            lines.append(f"           hands on {one.kept:.0%} of a mass put on")
        for name in SIGMAS:
            before, static, tracked = one.before[name], one.static[name], one.tracked[name]
            lines.append(
                f"    σ {name:24} {before:8.3f} lb   static {static:8.3f} ({static / before:4.0%})"
                f"   tracked {tracked:8.3f} ({tracked / before:4.0%})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(judge_folder(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)))
