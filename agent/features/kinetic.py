"""Mean kinetic temperature: the steady temperature that would have aged the cargo as much.

MKT = (ΔH/R) / −ln(Σ tᵢ·exp(−ΔH/(R·Tᵢ)) / Σ tᵢ), ΔH = 83.144 kJ/mol: J. D. Haynes, J. Pharm. Sci. 60 (1971)
927; USP ⟨1079.2⟩. Each second with a sample counts alike, however many there are in it. It says how much a
trip as a whole has aged the cargo; an excursion is an excursion, whatever the mean comes to.
"""

from __future__ import annotations

import numpy as np

from agent.features.moments import Columns, told
from agent.features.table import F64, Merge, Names, Part
from agent.features.windows import Windowed
from agent.streams import StreamSpec

ACTIVATION_K = 83_144.0 / 8.314462618  # ΔH/R; R: CODATA 2018
ZERO_DEGC_K = 273.15
REFERENCE_K = ZERO_DEGC_K + 25.0  # at which a second counts 1; any other gives the same
LEAST_DEGC, MOST_DEGC = -150.0, 500.0  # beyond, it is no temperature


class Kinetic:
    """Of one thermometer."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.names: Names = {"ageing": (Merge.SUM, 1), "aged": (Merge.SUM, 1)}

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up: the mean rate of ageing in each, and whether there is one."""
        degc = window.wide[0]
        good = (degc > LEAST_DEGC) & (degc < MOST_DEGC)
        counts = window.totals(good.astype(np.float64))
        totals = window.totals(np.where(good, ageing(np.where(good, degc, 0.0)), 0.0))
        known = counts > 0
        mean = np.where(known, totals / np.maximum(counts, 1.0), 0.0)
        return {"ageing": mean[:, None], "aged": known.astype(np.float64)[:, None]}

    def columns(self, part: Part) -> Columns:
        """Return the mean kinetic temperature of each row in °C."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = kinetic_degc(part["ageing"][:, 0] / part["aged"][:, 0])
        return {f"{self._spec.name}_kinetic_degc": told(found, 2)}


def ageing(degc: F64) -> F64:
    """Return how fast the cargo ages at a temperature, against 25 °C."""
    return np.exp(ACTIVATION_K * (1 / REFERENCE_K - 1 / (degc + ZERO_DEGC_K)))


def kinetic_degc(mean_ageing: F64) -> F64:
    """Return the steady temperature at which the cargo ages so fast."""
    return np.asarray(
        1 / (1 / REFERENCE_K - np.log(mean_ageing) / ACTIVATION_K) - ZERO_DEGC_K, dtype=np.float64
    )
