"""A guided calibration of the load cells under a plate: which step comes next, and what came out.

The state is nothing but the steps that counted: who feeds the same steps again has the same session, so
that one may take back the last step, or go on tomorrow from the journal. No clock, no file.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from calibration.certificate import Certificate, Residuals, UncertaintyTerm
from calibration.errors import CalibrationRefused
from calibration.fitted import certificate_of
from calibration.load_cell import LoadObservations, MatrixFit, fit_load_cells, held_out_errors_kg
from calibration.load_checks import LoadChecks, budget, check_steps, combined_kg, judge
from calibration.load_plan import WantedStep, still_wanted
from calibration.load_plate import CENTRE, F64, make_plate
from calibration.load_steps import (
    STEADY_V,
    Judgement,
    Limits,
    LoadStep,
    Steadiness,
    check_load,
    check_readings,
    check_zero,
    measure_steadiness,
    read_step,
)
from calibration.oiml import Finding, LoadCellClass

MASS_TOLERANCE = 5e-4  # of OIML R 111 class M3, cast iron
CREEP_IN_THE_VAN_S = 120.0
METHOD = "load cells: matrix from masses at the corners and the centre, generalised least squares"
_EXPECTED_REPEATABILITY_V = 0.1
_LEFT_ON = 0.2  # of the smallest mass that lay there: an "empty" plate that shows so much is not empty


@dataclass(frozen=True, slots=True, eq=False)
class LoadFit:
    """What a session comes to. ``gain`` (n, n), ``bias`` (n,) as in the certificate: forces in kg.

    ``standard_uncertainty_kg``: of a corrected sum up to ``load_kg``, k = 1, from ``budget``.
    """

    gain: F64
    bias: F64
    matrix: MatrixFit
    checks: LoadChecks
    findings: tuple[Finding, ...]
    budget: tuple[UncertaintyTerm, ...]
    standard_uncertainty_kg: float
    residuals: Residuals
    load_kg: float

    @property
    def within_class(self) -> bool:
        """Whether no limit that could be judged was exceeded."""
        return all(finding.verdict != "exceeded" for finding in self.findings)

    @property
    def words(self) -> str:
        """The plain verdict, in one or two sentences."""
        exceeded = [f.name for f in self.findings if f.verdict == "exceeded"]
        spread = f"Weighs to ±{2e3 * self.standard_uncertainty_kg:.0f} g (k = 2) up to {self.load_kg:g} kg. "
        if not self.matrix.separated:
            return spread + "The cells are not told apart: weigh a mass over each of them, too."
        if exceeded:
            return spread + f"Outside its class: {', '.join(exceeded)}."
        return spread + "Within its class as far as it was tested."


class LoadSession:
    """Steps in, a certificate out.

    ``capacity_kg``: of one cell (E_max on its label). ``verification_interval_kg``: v, by which the sum is
    judged. ``full_scale_kg``: where a cell's converter ends, its capacity where not given. ``masses_kg``:
    those at hand; else the plan goes by the first that is put on. ``mass_tolerance``: relative.
    ``dead_load_kg``: what the bare plate weighs. ``positions``: (right, front) of each cell, any unit.
    ``corner_at``, ``placement``: see `load_plate.Plate`. Raises CalibrationRefused for impossible ones.
    """

    def __init__(
        self,
        cells: Sequence[str] = ("fl", "fr", "rl", "rr"),
        *,
        rate_hz: float,
        capacity_kg: float,
        verification_interval_kg: float,
        accuracy_class: str = "C",
        full_scale_kg: float | None = None,
        dead_load_kg: float = 0.0,
        masses_kg: Sequence[float] = (),
        mass_tolerance: float = MASS_TOLERANCE,
        positions: Sequence[tuple[float, float]] | None = None,
        corner_at: float = 1.0,
        placement: float = 0.03,
        creep_s: float = CREEP_IN_THE_VAN_S,
    ) -> None:
        for name, value in (("rate_hz", rate_hz), ("capacity_kg", capacity_kg)):
            if not (math.isfinite(value) and value > 0):
                raise CalibrationRefused(
                    "beginning with the load cells", got=f"{name} of {value}", expected="more than zero",
                    remedy="The capacity of a cell is printed on its label.",
                )  # fmt: skip
        self.plate = make_plate(
            tuple(cells), None if positions is None else tuple(positions), corner_at=corner_at,
            placement=placement,
        )  # fmt: skip
        self.limits = LoadCellClass(accuracy_class, verification_interval_kg)
        self.rate_hz = rate_hz
        self.capacity_kg = capacity_kg
        self._step_limits = Limits(
            capacity_kg=capacity_kg,
            full_scale_kg=capacity_kg if full_scale_kg is None else full_scale_kg,
            steady_kg=STEADY_V * verification_interval_kg,
            dead_load_kg=dead_load_kg,
        )
        self._masses_kg = tuple(sorted(set(masses_kg)))
        self._mass_standard = mass_tolerance / math.sqrt(3.0)
        self._creep_s = creep_s
        self._steps: list[LoadStep] = []

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells, in the order of the readings."""
        return self.plate.cells

    @property
    def steps(self) -> tuple[LoadStep, ...]:
        """The steps that count."""
        return tuple(self._steps)

    def steadiness(self, readings_kg: F64) -> Steadiness:
        """For a live meter: how steady the last readings (n, cells) are, against what a step asks."""
        return measure_steadiness(np.asarray(readings_kg, float), self._step_limits.steady_kg)

    def step(
        self, kind: str, readings_kg: F64, *, mass_kg: float = 0.0, place: str = CENTRE, t_s: float
    ) -> Judgement:
        """Take a step: readings (n, cells) in kg by the nominal scale, the first at ``t_s``.

        ``kind``: zero, span up, span down, corner, repeat, creep; "span" finds its direction itself. The
        judgement says whether it counts; nothing is raised for a bad one, its ``refusal`` could be.
        """
        readings = np.asarray(readings_kg, float)
        if readings.ndim == 1 and self.plate.count == 1:
            readings = readings[:, None]
        mass_kg = 0.0 if kind == "zero" else mass_kg
        place = CENTRE if kind == "zero" else place
        known = self._direction(mass_kg) if kind == "span" else kind
        refusal = None
        step = None
        try:
            check_readings(
                known, readings, mass_kg, place, plate=self.plate, limits=self._step_limits,
                rate_hz=self.rate_hz,
            )  # fmt: skip
            step = read_step(known, readings, mass_kg=mass_kg, place=place, begin_s=t_s, rate_hz=self.rate_hz)
            self._check(step)
        except CalibrationRefused as error:
            refusal = error
        return self._judged(known, readings, mass_kg, place, step, refusal)

    def undo(self) -> LoadStep | None:
        """Take back the last step that counted; returns it, or None when there is none."""
        return self._steps.pop() if self._steps else None

    def plan(self) -> list[WantedStep]:
        """Return the steps that are still wanted, the next one first; empty when all is done."""
        return still_wanted(
            self._steps, self.plate, masses_kg=self._masses_kg, repetitions=self.limits.repetitions,
            creep_s=self._creep_s,
        )  # fmt: skip

    @property
    def good_enough(self) -> bool:
        """Whether nothing of the plan is left."""
        return not self.plan()

    def fit(self) -> LoadFit:
        """Fit what there is. Raises CalibrationRefused without a zero and a known mass."""
        seen = LoadObservations(
            readings_kg=np.array([s.mean_kg for s in self._steps]).reshape(-1, self.plate.count),
            standard_errors_kg=np.array([s.standard_error_kg for s in self._steps]).reshape(
                -1, self.plate.count
            ),
            masses_kg=np.array([s.mass_kg for s in self._steps], float),
            places=tuple(s.place for s in self._steps),
            times_s=np.array([(s.begin_s + s.end_s) / 2 if s.kind != "creep" else s.begin_s
                              for s in self._steps], float),
        )  # fmt: skip
        if (np.diff(seen.times_s) < 0).any():  # another clock since a pause: the order is what is left
            seen = dataclasses.replace(seen, times_s=np.arange(len(self._steps), dtype=float))
        expected_kg = _EXPECTED_REPEATABILITY_V * self.limits.verification_interval_kg
        matrix = fit_load_cells(
            seen, self.plate, mass_standard=self._mass_standard, expected_repeatability_kg=expected_kg
        )
        held_out = held_out_errors_kg(seen, self.plate, expected_repeatability_kg=expected_kg)
        load_kg = float(seen.masses_kg.max())
        checks = check_steps(self._steps, matrix)
        terms = budget(
            checks, matrix, self.limits, load_kg=load_kg, mass_standard=self._mass_standard,
            rate_hz=self.rate_hz,
        )  # fmt: skip
        return LoadFit(
            gain=matrix.gain,
            bias=matrix.bias_kg,
            matrix=matrix,
            checks=checks,
            findings=judge(checks, self.limits, largest_kg=load_kg),
            budget=terms,
            standard_uncertainty_kg=combined_kg(terms),
            residuals=Residuals(
                rms=float(np.sqrt(np.mean(matrix.errors_kg**2))),
                worst=float(np.abs(matrix.errors_kg).max()),
                points=len(matrix.errors_kg),
                held_out_rms=float(np.sqrt(np.mean(held_out**2))) if len(held_out) else None,
            ),
            load_kg=load_kg,
        )

    def certificate(
        self, *, made_at: str, low_degc: float | None = None, high_degc: float | None = None
    ) -> Certificate:
        """Make the certificate. Raises CalibrationRefused while the cells are not told apart."""
        fit = self.fit()
        if not fit.matrix.separated:
            missing = [c for c in self.cells if all(s.place != c for s in self._steps)]
            raise CalibrationRefused(
                "making the certificate of the load cells",
                got=f"no mass over {', '.join(missing)}",
                expected="a known mass over each cell once",
                remedy="Put the mass over each of the cells; only that tells them apart.",
            )
        common = certificate_of(
            fit,
            stream="load",
            unit="kg",
            method=METHOD,
            uncertainty=fit.budget,
            standard_uncertainty=fit.standard_uncertainty_kg,
            made_at=made_at,
            low_degc=low_degc,
            high_degc=high_degc,
        )
        return msgspec.structs.replace(
            common,
            residuals=fit.residuals,
            capacity=self.capacity_kg * self.plate.count,
            verification_interval=self.limits.verification_interval_kg,
            dead_load=self._step_limits.dead_load_kg or None,  # 0: nobody told
            findings=self._findings(fit),
        )

    def _findings(self, fit: LoadFit) -> tuple[str, ...]:
        head = (
            f"OIML R 60 class {self.limits.accuracy_class}, v = {self.limits.verification_interval_kg:g} kg, "
            f"judged for the sum of {self.plate.count} cell{'s' if self.plate.count > 1 else ''} "
            f"up to {fit.load_kg:g} kg"
        )
        out = [fit.words, head, *(finding.words for finding in fit.findings)]
        if not self.limits.allows(self.capacity_kg * self.plate.count):
            out.append(
                f"class {self.limits.accuracy_class} does not have so many intervals; choose a larger v"
            )
        if fit.checks.corners_before:
            before = max(abs(e) for _, e in fit.checks.corners_before)
            after = max(abs(e) for _, e in fit.checks.corners)
            out.append(
                f"corners with one scale for all cells: {1e3 * before:.0f} g off, now {1e3 * after:.1f} g"
            )
        if self.plate.count > 1:
            worst = float(fit.matrix.standard_errors.max() / np.abs(np.diag(fit.gain)).mean())
            out.append(
                f"one cell alone is known to {100 * worst:.1f} % (the placing of the mass), the sum to "
                f"{100 * fit.matrix.sum_standard:.3f} %"
            )
        return tuple(out)

    def _check(self, step: LoadStep) -> None:
        zeros = [s for s in self._steps if s.kind == "zero"]
        if step.kind == "zero":
            check_zero(step.mean_kg, self.plate, self._step_limits)
            rises = [float((s.mean_kg - zeros[0].mean_kg).sum()) for s in self._steps if s.mass_kg > 0]
            if rises:
                left_kg = float((step.mean_kg - zeros[0].mean_kg).sum())
                if abs(left_kg) > _LEFT_ON * min(abs(r) for r in rises):
                    raise CalibrationRefused(
                        "reading the empty plate",
                        got=f"{left_kg:+.2f} kg more than when it was empty before",
                        expected="the empty plate",
                        remedy="Take everything off, then take this step again.",
                    )
            return
        if not zeros:
            raise CalibrationRefused(
                "weighing a known mass", got="no reading of the empty plate yet",
                expected="the empty plate first", remedy="Take everything off and read the zero.",
            )  # fmt: skip
        check_load(step, zeros[-1].mean_kg, self._steps, self.plate, self._step_limits)

    def _direction(self, mass_kg: float) -> str:
        last = self._steps[-1] if self._steps else None
        down = last is not None and last.place == CENTRE and last.mass_kg > mass_kg
        return "span down" if down else "span up"

    def _judged(
        self, kind: str, readings: F64, mass_kg: float, place: str, step: LoadStep | None,
        refusal: CalibrationRefused | None,
    ) -> Judgement:  # fmt: skip
        mean: tuple[float, ...] = ()
        wander_kg = math.nan
        if readings.ndim == 2 and readings.size and np.isfinite(readings).all():
            first = (
                readings if step is None or step.kind != "creep" else readings[: int(5 * self.rate_hz) or 1]
            )
            mean = tuple(float(m) for m in first.mean(axis=0))
            wander_kg = self.steadiness(first).wander_kg
        if refusal is None and step is not None:
            self._steps.append(step)
        total = sum(mean)
        words = str(refusal) if refusal else f"Taken: the cells show {total:.3f} kg together, steady."
        return Judgement(
            accepted=refusal is None,
            words=words,
            number=len(self._steps),
            kind=kind,
            place=place,
            mass_kg=mass_kg,
            mean_kg=mean,
            wander_kg=wander_kg,
            limit_kg=self._step_limits.steady_kg,
            refusal=refusal,
        )
