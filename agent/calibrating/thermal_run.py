"""The temperature term, from recordings of ordinary days or of a soak; never worse than none.

What comes of it is a certificate in any case where there is one before it: with the term, or with the words
why there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from agent.calibrating.feed import F64, TEMPERATURE, Recorded
from agent.calibrating.keep import now_text
from agent.calibrating.outcome import Outcome
from agent.errors import UsageError
from agent.streams import StreamClass
from calibration.certificate import Certificate, TemperatureTerm, UncertaintyTerm
from calibration.thermal import ThermalFit, fit_thermal
from calibration.thermal_lag import is_measured

WHAT = "thermal"
STILL_FACTOR = 4.0  # Tedaldi et al., ICRA 2014, IV-A: 4 to 20 × the variance at rest
BIN_S = 10.0  # shorter than any lag of a sensor in a housing
NOTE = "temperature term"
STAYS = "the earlier one stays"
LEFT = "temperature"  # the line of the budget


def judge_recordings(
    recorded: Sequence[dict[str, Recorded]], stream: str, before: Certificate | None, *, soak: bool | None
) -> Outcome:
    """Fit the term for `stream`; `before`: the certificate that it is added to.

    `soak`: True: the load, or the box, did not move by itself; None: decided by the length.
    Raises UsageError where no thermometer was recorded.
    """
    t_s, degc, values, still = _together(recorded, stream)
    moves = None if soak is None else not soak
    fit, shared = _fit(t_s, degc, values, still, moves, before)
    unit = recorded[0][stream].spec.unit.value
    axes = ("the sum",) if shared else recorded[0][stream].spec.axes
    figures = _figures(fit, axes)
    certificate = _certificate(before, recorded[0][stream], fit, shared=shared)
    judged = tuple(
        f"{axis}: scatter of what the fit did not see "
        + (f"{b:.4g} → {a:.4g} {unit}" if fit.term is not None else f"{b:.4g} {unit}, and so it stays")
        for axis, b, a in zip(axes, fit.before, fit.after, strict=False)
    )
    if fit.term is None:
        fault = "the sensor is faulty: " if fit.faulty else ""
        todo = (
            ("Look after the sensor, its wires and its plugs; then record anew.",)
            if fit.faulty
            else (
                f"Nothing needs to be done: {STAYS}."
                if certificate.temperature is not None
                else "Nothing needs to be done: without a term it is no worse than it was.",
                "To try again, record a soak: box shut, load left alone, for a day with sun and night.",
            )
        )
        headline = f"no temperature term: {fault}{fit.reason.removeprefix('no temperature term helps: ')}"
        return Outcome(WHAT, False, headline, judged, todo, figures, certificate if before else None)
    headline = f"it helps, from {fit.term.low_degc:g} to {fit.term.high_degc:g} °C"
    headline += "; found in the sum, and shared out among the cells" if shared else ""
    return Outcome(WHAT, True, headline, judged, (), figures, certificate)


def _fit(
    t_s: F64, degc: F64, values: F64, still: Any, moves: bool | None, before: Certificate | None
) -> tuple[ThermalFit, bool]:
    """Return the fit of each axis, or of the sum where a scale's cells help only together; and which.

    What visits one cell is not drift, and hides it in each; in the sum it shows. A term of the sum is then
    shared out so that the weight, the sum after the certificate's gain, is put right by all of it.
    """
    single = fit_thermal(t_s, degc, values, still=still, value_moves=moves)
    axes = values.shape[1]
    if axes in {1, 3} or (single.term is not None and all(map(_helps, single.before, single.after))):
        return single, False
    weights = np.ones(axes) if before is None else np.array(before.gain).sum(axis=0)
    whole = fit_thermal(t_s, degc, values @ weights, still=still, value_moves=moves, cells=values)
    if whole.term is None:
        return whole, True
    shares = weights / float(weights @ weights)

    def shared_out(row: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(float(row[0] * share) for share in shares) if row else ()

    term = msgspec.structs.replace(
        whole.term,
        bias_per_degc=shared_out(whole.term.bias_per_degc),
        bias_per_degc2=shared_out(whole.term.bias_per_degc2),
        bias_per_degc_per_s=shared_out(whole.term.bias_per_degc_per_s),
    )
    return replace(whole, term=term, reason=f"{whole.reason} (of the sum, shared out among the cells)"), True


def _helps(before: float, after: float) -> bool:
    return after < before


def _together(recorded: Sequence[dict[str, Recorded]], stream: str) -> tuple[F64, F64, F64, Any]:
    """Return time (n,), temperature (n,), values (n, axes), and whether the sensor was at rest (n,)."""
    parts = []
    for one in recorded:
        if TEMPERATURE not in one:
            raise UsageError(
                "fitting a temperature term",
                got="a log without temperature",
                expected=f"{stream} and temperature in one log",
                remedy="Record with the thermometer: one far away would be worse than none.",
            )
        parts.append(_binned(one[stream], one[TEMPERATURE]))
    t_s, degc, values, still = (np.concatenate([part[i] for part in parts]) for i in range(4))
    return t_s, degc, values, still


def _binned(sensor: Recorded, thermometer: Recorded) -> tuple[F64, F64, F64, Any]:
    """Bring both to the same times: hourly rows as they are, faster ones as means of ten seconds at rest."""
    times = sensor.t_s
    if len(times) > 1 and sensor.rate_hz > 2 / BIN_S:
        number = np.floor((times - times[0]) / BIN_S).astype(np.int64)
        _, first, count = np.unique(number, return_index=True, return_counts=True)
        whole = count >= 2
        sums = np.add.reduceat(sensor.values, first, axis=0)
        squares = np.add.reduceat((sensor.values - sensor.values.mean(axis=0)) ** 2, first, axis=0)
        mean = sums / count[:, None]
        off = mean - sensor.values.mean(axis=0)
        variance = (squares / count[:, None] - off**2).sum(axis=1)
        any_saturated = np.logical_or.reduceat(sensor.saturated, first)
        times = times[first] + BIN_S / 2
        # the quietest tenth is the sensor's own noise, also where the box drove for most of the day
        rest = float(np.percentile(variance[whole], 10.0)) if whole.any() else 0.0
        still = whole & ~any_saturated & (variance <= STILL_FACTOR * max(rest, 1e-12))
        values = mean
    else:
        values, still = sensor.values, ~sensor.saturated
    order = np.argsort(thermometer.t_s, kind="stable")
    order = order[[is_measured(degc) for degc in thermometer.values[order, 0].tolist()]]
    if not len(order):
        raise UsageError(
            "fitting a temperature term",
            got=f"a thermometer that says {thermometer.values[0, 0]:g} °C all the time",
            expected="what a thermometer can measure",
            remedy="Look after its wires and its plug; then record anew.",
        )
    degc = np.interp(times, thermometer.t_s[order], thermometer.values[order, 0])
    return times, degc, values, still


def _certificate(
    before: Certificate | None, recorded: Recorded, fit: ThermalFit, *, shared: bool
) -> Certificate:
    """Return the certificate before it with the term, or with the reason why there is none."""
    axes = len(recorded.spec.axes)
    if before is None:
        identity = tuple(tuple(float(i == j) for j in range(axes)) for i in range(axes))
        before = Certificate(
            stream=recorded.spec.name,
            gain=identity,
            bias=(0.0,) * axes,
            method="nominal scale",
            made_at=now_text(),
        )
    words = f"{NOTE} accepted: {fit.reason}" if fit.term is not None else f"{NOTE} refused: {fit.reason}"
    words += f"; {STAYS}" if fit.term is None and before.temperature is not None else ""
    scale = recorded.spec.kind is StreamClass.LOAD
    budget, standard = before.uncertainty, before.standard_uncertainty
    if fit.term is not None:
        budget, standard = _budget(before, _left(before, fit, scale=scale, shared=shared))
    findings = (*(f for f in before.findings if not f.startswith(NOTE)), words)
    method = before.method.partition("; lagged temperature")[0]
    return msgspec.structs.replace(
        before,
        temperature=before.temperature if fit.term is None else _referred(fit.term, before),
        method=f"{method}; lagged temperature with a rate term" if fit.term is not None else before.method,
        uncertainty=budget,
        standard_uncertainty=standard,
        findings=findings,
        replaces=before.hash if before.data is not None or before.method != "nominal scale" else "",
        made_at=now_text(),
    )


def _left(before: Certificate, fit: ThermalFit, *, scale: bool, shared: bool) -> float:
    """Return what the term leaves of a corrected reading, of a scale of the sum of its cells: σ.

    What it leaves of one axis comes with the same warmth as that of the others: it is added, not squared.
    """
    if shared:  # fitted as the sum, after the gain
        return fit.after[0]
    gain = np.array(before.gain)
    rows = gain.sum(axis=0, keepdims=True) if scale else gain
    return float((np.abs(rows) @ np.array(fit.after)).max())


def _budget(before: Certificate, left: float) -> tuple[tuple[UncertaintyTerm, ...], float | None]:
    """Return the budget with what the term leaves instead of what an earlier one left, and all together."""
    line = UncertaintyTerm(
        name=LEFT,
        kind="A",
        standard=left,
        source="what the term leaves of data that its fit did not see, the load's own changes too",
    )
    others = tuple(term for term in before.uncertainty if term.name != LEFT)
    if before.standard_uncertainty is None:  # of the rest nobody knows
        return (*others, line), None
    earlier = sum(term.standard**2 for term in before.uncertainty if term.name == LEFT)
    rest = max(0.0, before.standard_uncertainty**2 - earlier)
    return (*others, line), math.sqrt(rest + left**2)


def _referred(term: TemperatureTerm, before: Certificate) -> TemperatureTerm:
    """Return the term about the temperature at which the bias was found: there it adds nothing."""
    if before.low_degc is None or before.high_degc is None:
        return term
    reference = (before.low_degc + before.high_degc) / 2
    away = reference - term.reference_degc
    squares = term.bias_per_degc2 or (0.0,) * len(term.bias_per_degc)
    slopes = tuple(b1 + 2 * b2 * away for b1, b2 in zip(term.bias_per_degc, squares, strict=True))
    return msgspec.structs.replace(term, reference_degc=reference, bias_per_degc=slopes)


def _figures(fit: ThermalFit, axes: Sequence[str]) -> dict[str, Any]:
    return {
        "axes": list(axes),
        "before": list(fit.before),
        "after": list(fit.after),
        "tried": list(fit.tried),
        "reason": fit.reason,
        "faulty": fit.faulty,
        "rows": fit.rows,
        "repeated_rows": fit.repeated,
        "missing_rows": fit.missing,
        "interval_s": fit.interval_s,
        "term": None if fit.term is None else msgspec.to_builtins(fit.term),
    }
