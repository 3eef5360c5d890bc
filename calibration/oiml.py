"""The limits of OIML R 60:2021 for load cells, in kilograms, at a chosen verification interval v.

R 60-1, 5.3.2 table 4 (maximum permissible error, apportioned by p_LC), 5.4 (repeatability), 5.5.1
(creep), 5.5.2 (minimum dead load output return); R 60-2 for how long and how often. A test in a van is no
type approval: what was not tested as the standard asks is *not judged*, and says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from calibration.errors import CalibrationRefused

ACCURACY_CLASSES = ("A", "B", "C", "D")
APPORTIONING = 0.7  # p_LC where nothing else is declared, R 60-1 5.3.2
CREEP_S = 1800.0  # 30 minutes, R 60-1 5.5.1
LATE_CREEP_S = 1200.0  # from 20 to 30 minutes, R 60-1 5.5.1
_STEPS_V = {  # up to how many v the error may be 0.5 v and 1.0 v; beyond it 1.5 v
    "A": (50_000, 200_000),
    "B": (5_000, 20_000),
    "C": (500, 2_000),
    "D": (50, 200),
}
_MOST_INTERVALS = {"A": math.inf, "B": 100_000, "C": 10_000, "D": 1_000}  # R 60-1 5.1.4
_REPETITIONS = {"A": 5, "B": 5, "C": 3, "D": 3}  # R 60-1 5.4
_ROUNDING = 1e-9  # so that a load of exactly 500 v is within 500 v

Verdict = Literal["kept", "exceeded", "not judged"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One property against its limit, both in kg; ``limit_kg`` is that of the worst load.

    ``verdict`` "not judged": nothing measured, or not as the standard asks; ``why`` says which.
    """

    name: str
    verdict: Verdict
    measured_kg: float | None
    limit_kg: float | None
    at_kg: float | None = None
    why: str = ""

    @property
    def words(self) -> str:
        """The finding as one line."""
        line = f"{self.name}: {self.verdict}"
        if self.measured_kg is not None and self.limit_kg is not None:
            line += f", {1e3 * self.measured_kg:+.1f} g where {1e3 * self.limit_kg:.1f} g are allowed"
            line += "" if self.at_kg is None else f" at {self.at_kg:g} kg"
        return f"{line} ({self.why})" if self.why else line


@dataclass(frozen=True, slots=True)
class LoadCellClass:
    """An accuracy class at a verification interval. Raises CalibrationRefused for what R 60 does not know."""

    accuracy_class: str
    verification_interval_kg: float
    apportioning: float = APPORTIONING

    def __post_init__(self) -> None:
        doing = "choosing the limits to judge the load cells by"
        if self.accuracy_class not in ACCURACY_CLASSES:
            raise CalibrationRefused(
                doing,
                got=f"accuracy class {self.accuracy_class!r}",
                expected="A, B, C or D",
                remedy="The class is printed on the load cell: C3 means class C.",
            )
        if not (math.isfinite(self.verification_interval_kg) and self.verification_interval_kg > 0):
            raise CalibrationRefused(
                doing,
                got=f"a verification interval of {self.verification_interval_kg} kg",
                expected="more than zero",
                remedy="Take the capacity divided by 3000 for a cell of class C3.",
            )
        if not 0.3 <= self.apportioning <= 0.8:
            raise CalibrationRefused(
                doing,
                got=f"an apportioning factor of {self.apportioning}",
                expected="0.3 to 0.8",
                remedy="Leave it at 0.7 unless the cell's certificate states another.",
            )

    @property
    def repetitions(self) -> int:
        """How often the same load is to be put on to judge repeatability."""
        return _REPETITIONS[self.accuracy_class]

    def intervals(self, capacity_kg: float) -> float:
        """How many verification intervals the capacity has."""
        return capacity_kg / self.verification_interval_kg

    def allows(self, capacity_kg: float) -> bool:
        """Whether the class may have as many intervals as this capacity has."""
        return self.intervals(capacity_kg) <= _MOST_INTERVALS[self.accuracy_class] * (1 + _ROUNDING)

    def mpe_kg(self, load_kg: float) -> float:
        """Maximum permissible error at a load, either way, in kg."""
        loads = abs(load_kg) / self.verification_interval_kg * (1 - _ROUNDING)
        small, middle = _STEPS_V[self.accuracy_class]
        steps = 0.5 if loads <= small else 1.0 if loads <= middle else 1.5
        return self.apportioning * steps * self.verification_interval_kg

    def creep_kg(self, load_kg: float) -> float:
        """How far the reading may creep under a load within 30 minutes, in kg."""
        return 0.7 * self.mpe_kg(load_kg)

    def late_creep_kg(self, load_kg: float) -> float:
        """How far the reading may creep from the 20th to the 30th minute, in kg."""
        return 0.15 * self.mpe_kg(load_kg)

    @property
    def zero_return_kg(self) -> float:
        """How far the reading without load may be off after 30 minutes of load, in kg."""
        return 0.5 * self.verification_interval_kg

    def judge_errors(self, errors: list[tuple[float, float]], *, name: str, why: str = "") -> Finding:
        """Judge errors, (load_kg, error_kg) each, by the one that takes most of its own limit."""
        if not errors:
            return Finding(name, "not judged", None, None, why=why or "nothing measured")
        load_kg, error_kg = max(errors, key=lambda pair: abs(pair[1]) / self.mpe_kg(pair[0]))
        limit_kg = self.mpe_kg(load_kg)
        verdict: Verdict = "kept" if abs(error_kg) <= limit_kg else "exceeded"
        return Finding(name, verdict, error_kg, limit_kg, load_kg, why)
