"""The temperature record of a trip: what a customer's file needs of it.

Every sample holds until the next one; where the next one is late, the record has a gap, and nothing is made
up for it. Mean kinetic temperature as in ``agent.features.kinetic``: it says how much the trip as a whole has
aged the goods, and never clears a transport excursion (USP ⟨1079.2⟩).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.features.kinetic import LEAST_DEGC, MOST_DEGC, ageing, kinetic_degc
from agent.report.words import duration

F64 = npt.NDArray[np.float64]
LATE_PERIODS = 5.0
LEAST_GAP_S = 5.0


@dataclass(frozen=True, slots=True)
class TemperatureRecord:
    """One thermometer over a trip. Times in seconds since 1970, temperatures in °C."""

    stream: str
    times_s: F64
    degc: F64
    low_degc: float | None
    high_degc: float | None
    least_degc: float
    most_degc: float
    mean_degc: float
    kinetic_degc: float
    covered_s: float
    below_s: float
    above_s: float
    gaps: tuple[tuple[float, float], ...]
    span_s: tuple[float, float]

    @property
    def out_s(self) -> float:
        """Time out of the band."""
        return self.below_s + self.above_s

    @property
    def has_band(self) -> bool:
        """Whether anybody said what the goods need."""
        return self.low_degc is not None or self.high_degc is not None

    @property
    def band_words(self) -> str:
        """Say the band."""
        low, high = (None if v is None else f"{v:g}" for v in (self.low_degc, self.high_degc))
        if low is not None and high is not None:
            return f"{low} to {high} °C"
        return f"at least {low} °C" if low is not None else f"at most {high} °C" if high is not None else ""

    @property
    def covers(self) -> str:
        """Say how much of the trip was recorded; nothing where that is all."""
        if not self.gaps:
            return ""
        begin_s, end_s = self.span_s
        if len(self.degc) == 1:
            return f"one reading in {duration(end_s - begin_s)}"
        return f"covers {duration(min(self.covered_s, end_s - begin_s))} of {duration(end_s - begin_s)}"

    def words(self) -> str:
        """Say how the temperature was, for a story."""
        return self._within() + (
            f"; its record {self.covers.replace('one', 'is one', 1)}" if self.gaps else ""
        )

    def _within(self) -> str:
        low, high = f"{self.least_degc:.1f}", f"{self.most_degc:.1f}"
        between = f"between {low} and {high} °C" if low != high else f"{low} °C"
        if not self.has_band:
            return f"temperature {between}"
        if self.out_s == 0:
            return f"temperature stayed within {self.band_words} ({between})"
        return f"temperature was outside {self.band_words} for {duration(self.out_s)} ({between})"


def temperature_record(
    stream: str,
    times_s: F64,
    degc: F64,
    low_degc: float | None,
    high_degc: float | None,
    trip_s: tuple[float, float] | None = None,
) -> TemperatureRecord | None:
    """Return the record of one thermometer; None where it gave nothing. (n,) each, times rising.

    ``trip_s``: from when to when there should be one; None for from the first reading to the last.
    """
    good = (degc > LEAST_DEGC) & (degc < MOST_DEGC)
    times_s, degc = times_s[good], degc[good]
    if len(degc) == 0:
        return None
    steps_s = np.diff(times_s)
    usual_s = float(np.median(steps_s)) if len(steps_s) else 0.0
    patience_s = max(LEAST_GAP_S, LATE_PERIODS * usual_s)
    late = steps_s > patience_s
    held_s = np.append(np.where(late, usual_s, steps_s), usual_s)
    weights = held_s if held_s.sum() > 0 else np.ones_like(degc)
    gaps = [(float(times_s[i] + usual_s), float(times_s[i + 1])) for i in np.flatnonzero(late).tolist()]
    first_s, last_s = float(times_s[0]), float(times_s[-1])
    begin_s, end_s = trip_s or (first_s, last_s)
    if first_s - begin_s > patience_s:
        gaps.insert(0, (begin_s, first_s))
    if end_s - last_s > patience_s:
        gaps.append((last_s + usual_s, end_s))
    outside = [
        np.zeros(len(degc), bool) if limit is None else side * degc > side * limit
        for side, limit in ((-1, low_degc), (1, high_degc))
    ]
    return TemperatureRecord(
        stream=stream,
        times_s=times_s,
        degc=degc,
        low_degc=low_degc,
        high_degc=high_degc,
        least_degc=float(degc.min()),
        most_degc=float(degc.max()),
        mean_degc=float(np.average(degc, weights=weights)),
        kinetic_degc=float(kinetic_degc(np.array([np.average(ageing(degc), weights=weights)]))[0]),
        covered_s=float(held_s.sum()),
        below_s=float(held_s[outside[0]].sum()),
        above_s=float(held_s[outside[1]].sum()),
        gaps=tuple(gaps),
        span_s=(min(begin_s, first_s), max(end_s, last_s)),
    )
