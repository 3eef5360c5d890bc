"""What a load session found beside the matrix: linearity, hysteresis, creep, repeatability, return to zero.

Each is judged against OIML R 60:2021 (`oiml`) as far as the session tested it, and each is a line of the
uncertainty budget (JCGM 100:2008, 4.3.7 for bounds: half width / √3). What was not measured enters as large
as the class allows, never as zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from calibration.certificate import UncertaintyTerm
from calibration.load_cell import MatrixFit
from calibration.load_plate import CENTRE, F64
from calibration.load_steps import LoadStep
from calibration.oiml import CREEP_S, LATE_CREEP_S, Finding, LoadCellClass, Verdict

_SQRT3 = math.sqrt(3.0)
_SAME_MASS = 0.005  # masses that differ by less are the same
_NEARLY = 0.98  # of a time that was asked for
_FIRST_CREEP_S = 10.0  # creep grows about with log(1 + t / this): a short test is scaled up by that


@dataclass(frozen=True, slots=True, eq=False)
class Creep:
    """How the sum moved under a load: ``time_s`` and ``change_kg`` (k,) since its beginning."""

    mass_kg: float
    time_s: F64
    change_kg: F64
    lasted_s: float

    @property
    def worst_kg(self) -> float:
        """The largest change, with its sign."""
        return float(self.change_kg[np.abs(self.change_kg).argmax()])

    @property
    def after_30_min_kg(self) -> float:
        """The largest change, scaled to 30 minutes when the test was shorter."""
        longer = max(self.lasted_s, 1.0)
        if longer >= CREEP_S:
            return self.worst_kg
        return self.worst_kg * math.log1p(CREEP_S / _FIRST_CREEP_S) / math.log1p(longer / _FIRST_CREEP_S)


@dataclass(frozen=True, slots=True, eq=False)
class LoadChecks:
    """What was found; None or empty where the session did not test it. Pairs are (load_kg, error_kg).

    ``hysteresis_kg``: reading on the way down less that on the way up. ``repeated``: (load_kg, spread_kg,
    times). ``zero_returns``: change of the zero over each load, with how long it lay there.
    """

    up: list[tuple[float, float]]
    down: list[tuple[float, float]]
    corners: list[tuple[float, float]]
    corners_before: list[tuple[float, float]]
    hysteresis: list[tuple[float, float]]
    repeated: list[tuple[float, float, int]]
    creep: Creep | None
    zero_returns: list[tuple[float, float]]
    noise_kg: float
    resolution_kg: float


def check_steps(steps: Sequence[LoadStep], fit: MatrixFit) -> LoadChecks:
    """Find linearity, hysteresis, creep, repeatability and return to zero in the steps of a session."""
    errors = dict(zip(fit.loaded, fit.errors_kg, strict=True))
    sums = fit.gain.sum(axis=0)
    loaded = [(step, float(errors[i])) for i, step in enumerate(steps) if i in errors]
    up = [(s.mass_kg, e) for s, e in loaded if s.kind == "span up"]
    down = [(s.mass_kg, e) for s, e in loaded if s.kind == "span down"]
    fresh = [
        (s.mass_kg, e) for s, e in loaded if s.place == CENTRE and s.kind in {"span up", "repeat", "creep"}
    ]
    hysteresis = [
        (mass, error - float(np.mean(same)))
        for mass, error in down
        if (same := [e for m, e in up if _same(m, mass)])
    ]
    groups = _groups(fresh)
    zeros = [(i, s) for i, s in enumerate(steps) if s.kind == "zero"]
    returns = []
    for (i, before), (k, after) in pairwise(zeros):
        if k > i + 1:
            lay_s = steps[k - 1].end_s - steps[i + 1].begin_s
            returns.append((lay_s, float(sums @ (after.mean_kg - before.mean_kg))))
    return LoadChecks(
        up=up,
        down=down,
        corners=[(s.mass_kg, e) for s, e in loaded if s.kind == "corner"],
        corners_before=_before(steps, fit),
        hysteresis=hysteresis,
        repeated=[(mass, max(group) - min(group), len(group)) for mass, group in groups if len(group) > 1],
        creep=_creep(steps, float(sums.mean())),
        zero_returns=returns,
        noise_kg=float(np.sqrt(np.mean([((s.noise_kg * sums) ** 2).sum() for s in steps]))),
        resolution_kg=max(s.resolution_kg for s in steps),
    )


def judge(checks: LoadChecks, limits: LoadCellClass, *, largest_kg: float) -> tuple[Finding, ...]:
    """Judge what was found against OIML R 60."""
    masses = {round(m, 6) for m, _ in checks.up}
    linear = limits.judge_errors(checks.up, name="linearity (load going up)")
    if len(masses) < 2 and linear.verdict == "kept":
        linear = Finding(
            linear.name, "not judged", linear.measured_kg, linear.limit_kg, linear.at_kg,
            "one mass makes no line: use two or more",
        )  # fmt: skip
    back = limits.judge_errors(
        checks.down, name="error on the way down", why="" if checks.down else "no load on the way down"
    )
    hysteresis = limits.judge_errors(
        checks.hysteresis, name="hysteresis (down less up)",
        why="" if checks.hysteresis else "no load both up and down",
    )  # fmt: skip
    corners = limits.judge_errors(
        checks.corners,
        name="corners",
        why="by the matrix that was made of them" if checks.corners else "no mass at the corners",
    )
    found = [linear, back, hysteresis, corners, _repeatability(checks, limits)]
    return (*found, *_creep_findings(checks, limits), _zero_return(checks, limits, largest_kg))


def budget(
    checks: LoadChecks, fit: MatrixFit, limits: LoadCellClass, *, load_kg: float, mass_standard: float,
    rate_hz: float,
) -> tuple[UncertaintyTerm, ...]:  # fmt: skip
    """Return the standard uncertainties of a corrected sum at a load, in kg, each with its source."""
    allowed = limits.mpe_kg(load_kg) / _SQRT3
    matrix = math.sqrt(max(0.0, fit.sum_standard**2 - mass_standard**2)) * load_kg
    repeats = max((n for _, _, n in checks.repeated), default=1)

    def bound(values: Sequence[float], words: str) -> tuple[float, str]:
        if not values:
            return allowed, "not measured: as large as the class allows, / √3"
        return max(abs(v) for v in values) / _SQRT3, words

    masses = {round(m, 6) for m, _ in checks.up}
    linearity, linearity_words = bound(
        [e for _, e in checks.up] if len(masses) > 1 else [], "largest error on the way up, / √3"
    )
    hysteresis, hysteresis_words = bound(
        [e / 2 for _, e in checks.hysteresis], "half the largest difference between down and up, / √3"
    )
    creep, creep_words = allowed * 0.7, "not measured: as large as the class allows, / √3"
    if checks.creep is not None:
        creep = abs(checks.creep.after_30_min_kg) / _SQRT3
        creep_words = f"largest change in {checks.creep.lasted_s:.0f} s, scaled to 30 min, / √3"
    returned, returned_words = bound(
        [e for _, e in checks.zero_returns], "largest change of the zero over a load, / √3"
    )
    return (
        UncertaintyTerm(name="reference mass", kind="B", standard=mass_standard * load_kg,
                        source="tolerance of the masses, / √3"),
        UncertaintyTerm(name="repeatability", kind="A", standard=fit.repeatability_kg,
                        source=f"scatter of the sums, {fit.freedom:.1f} degrees of freedom, {repeats} alike"),
        UncertaintyTerm(name="matrix", kind="A", standard=matrix,
                        source="the fit's own, at the worst place on the plate"),
        UncertaintyTerm(name="linearity", kind="B", standard=linearity, source=linearity_words),
        UncertaintyTerm(name="hysteresis", kind="B", standard=hysteresis, source=hysteresis_words),
        UncertaintyTerm(name="creep", kind="B", standard=creep, source=creep_words),
        UncertaintyTerm(name="zero return", kind="B", standard=returned, source=returned_words),
        UncertaintyTerm(name="noise", kind="A", standard=checks.noise_kg / math.sqrt(max(1.0, rate_hz)),
                        source="of the mean over 1 s"),
        UncertaintyTerm(name="resolution", kind="B", standard=checks.resolution_kg / math.sqrt(12.0),
                        source="smallest change of the readings, / √12"),
    )  # fmt: skip


def combined_kg(terms: Sequence[UncertaintyTerm]) -> float:
    """Root of the sum of squares (JCGM 100:2008, 5.1.2, no correlation)."""
    return math.sqrt(sum(term.standard**2 for term in terms))


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= _SAME_MASS * max(a, b)


def _groups(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, list[float]]]:
    out: list[tuple[float, list[float]]] = []
    for mass, error in pairs:
        for known, group in out:
            if _same(known, mass):
                group.append(error)
                break
        else:
            out.append((mass, [error]))
    return out


def _before(steps: Sequence[LoadStep], fit: MatrixFit) -> list[tuple[float, float]]:
    """Return what the corners would be off with one scale for all cells: the worth of the matrix."""
    zero = fit.bias_kg.sum()
    centre = [(s.mass_kg, s.mean_kg.sum() - zero) for s in steps if s.place == CENTRE and s.kind != "zero"]
    corners = [(s.mass_kg, s.mean_kg.sum() - zero) for s in steps if s.kind == "corner"]
    against = centre or corners
    rise = sum(r * r for _, r in against)
    scale = sum(m * r for m, r in against) / rise if rise else 1.0
    return [(mass, float(scale * r - mass)) for mass, r in corners]


def _creep(steps: Sequence[LoadStep], scale: float) -> Creep | None:
    longest = max((s for s in steps if s.kind == "creep"), key=lambda s: s.end_s - s.begin_s, default=None)
    if longest is None:
        return None
    return Creep(
        longest.mass_kg, longest.creep_s, (longest.creep_kg - longest.creep_kg[0]) * scale,
        longest.end_s - longest.begin_s,
    )  # fmt: skip


def _repeatability(checks: LoadChecks, limits: LoadCellClass) -> Finding:
    name = "repeatability"
    finding = limits.judge_errors([(m, spread) for m, spread, _ in checks.repeated], name=name)
    times = max((n for _, _, n in checks.repeated), default=1)
    if finding.verdict == "exceeded" or times >= limits.repetitions:
        return finding
    why = f"the same mass {times} times, {limits.repetitions} are asked for"
    return Finding(name, "not judged", finding.measured_kg, finding.limit_kg, finding.at_kg, why)


def _creep_findings(checks: LoadChecks, limits: LoadCellClass) -> tuple[Finding, Finding]:
    name, late_name = "creep in 30 minutes", "creep from 20 to 30 minutes"
    creep = checks.creep
    if creep is None:
        nothing = "no load was left on"
        return (Finding(name, "not judged", None, None, why=nothing),
                Finding(late_name, "not judged", None, None, why=nothing))  # fmt: skip
    limit, late_limit = limits.creep_kg(creep.mass_kg), limits.late_creep_kg(creep.mass_kg)
    whole = creep.lasted_s >= _NEARLY * CREEP_S
    short = "" if whole else f"only {creep.lasted_s / 60:.1f} minutes"
    worst = creep.worst_kg
    over: Verdict = "exceeded" if abs(worst) > limit else "kept" if whole else "not judged"
    first = Finding(name, over, worst, limit, creep.mass_kg, short)
    if not whole:
        return first, Finding(late_name, "not judged", None, None, why=short)
    late = float(np.interp(CREEP_S, creep.time_s, creep.change_kg))
    late -= float(np.interp(LATE_CREEP_S, creep.time_s, creep.change_kg))
    kept = abs(late) <= late_limit
    return first, Finding(late_name, "kept" if kept else "exceeded", late, late_limit, creep.mass_kg)


def _zero_return(checks: LoadChecks, limits: LoadCellClass, largest_kg: float) -> Finding:
    name = "return to zero"
    if not checks.zero_returns:
        return Finding(name, "not judged", None, None, why="no zero after a load")
    _, change = max(checks.zero_returns, key=lambda pair: abs(pair[1]))
    longest_s = max(lay for lay, _ in checks.zero_returns)
    limit = limits.zero_return_kg
    if abs(change) > limit:
        return Finding(name, "exceeded", change, limit, largest_kg)
    if longest_s >= _NEARLY * CREEP_S:
        return Finding(name, "kept", change, limit, largest_kg)
    return Finding(
        name, "not judged", change, limit, largest_kg, f"after {longest_s / 60:.1f} minutes, not 30"
    )
