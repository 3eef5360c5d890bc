"""Verdicts on load cells, made from a session's file, so that whoever fits it again gets the same one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agent.calibrating.keep import now_text
from agent.calibrating.load_guide import restore
from agent.calibrating.outcome import Outcome
from agent.errors import UsageError
from agent.streams import StreamSpec
from calibration.certificate import Certificate
from calibration.errors import CalibrationRefused
from calibration.load_session import CREEP_IN_THE_VAN_S, MASS_TOLERANCE, LoadSession
from calibration.session import Session, SessionHead

WHAT = "load"
INTERVALS = 3000  # of the usual cells of class C3 (OIML R 60)


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What a person says of the scale. ``interval_kg`` None: by the capacity, that of one cell."""

    capacity_kg: float | None = None
    interval_kg: float | None = None
    accuracy_class: str = "C"
    masses_kg: tuple[float, ...] = ()
    mass_tolerance: float = MASS_TOLERANCE
    creep_s: float = CREEP_IN_THE_VAN_S
    plate_kg: float = 0.0


def settings_of(given: LoadSettings, spec: StreamSpec) -> dict[str, float | str | list[float]]:
    """Return what the head of a session has to say. Raises UsageError for what only a person can know."""
    if given.capacity_kg is None:
        raise UsageError(
            "beginning with the load cells",
            got="no --capacity-kg",
            expected="what one cell carries at most; it is printed on its label",
            remedy="Say it: --capacity-kg 50.",
        )
    if not given.masses_kg:
        raise UsageError(
            "beginning with the load cells",
            got="no --mass-kg",
            expected="at least one known mass, of a fifth of what the plate carries or more",
            remedy="Say what it weighs: --mass-kg 20; give several, and its linearity is judged, too.",
        )
    whole_kg = given.capacity_kg * len(spec.axes)
    if max(given.masses_kg) > whole_kg:
        raise UsageError(
            "beginning with the load cells",
            got=f"--mass-kg {max(given.masses_kg):g}",
            expected=f"at most {whole_kg:g} kg, what {len(spec.axes)} of {given.capacity_kg:g} kg carry",
            remedy="Say it in kilograms, not in grams; or correct --capacity-kg, that of one cell.",
        )
    interval_kg = given.interval_kg if given.interval_kg is not None else interval_of(whole_kg)
    full_scale_kg = spec.full_scale if spec.full_scale is not None else given.capacity_kg
    return {
        "capacity_kg": given.capacity_kg,
        "interval_kg": interval_kg,
        "accuracy_class": given.accuracy_class,
        "full_scale_kg": full_scale_kg,
        "masses_kg": sorted(given.masses_kg),
        "mass_tolerance": given.mass_tolerance,
        "creep_s": given.creep_s,
        "dead_load_kg": given.plate_kg,
    }


def told_before(given: LoadSettings, head: SessionHead) -> LoadSettings:
    """Return `given`, where it is silent filled in with what the session of `head` was told."""
    told = head.settings
    capacity_kg, masses_kg = told.get("capacity_kg"), told.get("masses_kg")
    if given.capacity_kg is None and isinstance(capacity_kg, int | float):
        given = replace(given, capacity_kg=float(capacity_kg))
    if not given.masses_kg and isinstance(masses_kg, list):
        given = replace(given, masses_kg=tuple(masses_kg))
    return given


def interval_of(capacity_kg: float) -> float:
    """Return a verification interval: at least a 3000th of the capacity, 1, 2 or 5 of a power of ten."""
    least = capacity_kg / INTERVALS
    decade = 10.0 ** math.floor(math.log10(least))
    # rounded, since a power of ten below 1 is none in binary
    return next(
        float(f"{step * decade:.12g}") for step in (1, 2, 5, 10) if step * decade >= least * (1 - 1e-9)
    )


def new_session(head: SessionHead) -> LoadSession:
    """Return an empty session with the settings of `head`. Raises CalibrationRefused for impossible ones."""
    given = head.settings
    masses = given.get("masses_kg", [])
    return LoadSession(
        head.axes,
        rate_hz=head.rate_hz,
        capacity_kg=_number(given, "capacity_kg"),
        verification_interval_kg=_number(given, "interval_kg"),
        accuracy_class=str(given.get("accuracy_class", "C")),
        full_scale_kg=_number(given, "full_scale_kg"),
        masses_kg=masses if isinstance(masses, list) else (),
        mass_tolerance=_number(given, "mass_tolerance"),
        creep_s=_number(given, "creep_s"),
        dead_load_kg=_number(given, "dead_load_kg") if "dead_load_kg" in given else 0.0,
    )


def judge_session(kept: Session) -> Outcome:
    """Return the verdict on a session's file."""
    session = new_session(kept.head)
    left_out = restore(session, ((step, kept.head.values(step)) for step in kept.steps))
    wanted = session.plan()
    todo = tuple(f"{step.words} It shows {step.why}." for step in wanted[:3])
    figures: dict[str, Any] = {"steps": len(session.steps), "steps_wanted": len(wanted)}
    if left_out:
        figures["steps_left_out"] = len(left_out)
    low, high = kept.temperatures_degc or (None, None)
    try:
        fit = session.fit()
        certificate = session.certificate(made_at=now_text(), low_degc=low, high_degc=high)
    except CalibrationRefused as refusal:
        return Outcome(
            WHAT,
            False,
            f"{refusal.got}, expected {refusal.expected}",
            todo=(refusal.remedy, *todo),
            fit=figures,
        )
    figures |= {
        "gain": fit.gain.tolist(),
        "bias_kg": fit.bias.tolist(),
        "standard_uncertainty_g": 1000 * fit.standard_uncertainty_kg,
        "load_kg": fit.load_kg,
        "within_class": fit.within_class,
        "oiml": [
            {
                "name": f.name,
                "verdict": f.verdict,
                "measured_g": None if f.measured_kg is None else 1000 * f.measured_kg,
                "limit_g": None if f.limit_kg is None else 1000 * f.limit_kg,
                "why": f.why,
            }
            for f in fit.findings
        ],
    }
    good = fit.within_class and fit.matrix.separated
    if not fit.within_class:
        todo = (
            "See that the plate stands on the cells alone and nothing rubs; take what failed again.",
            "Or judge it by a larger interval (--interval-kg), if the cargo allows.",
        )
    elif good:
        todo = ()
    judged = tuple(finding.words for finding in fit.findings)
    return Outcome(WHAT, good, fit.words, judged, todo, figures, certificate)


def compared(certificate: Certificate, truth: Any, masses_kg: Sequence[float]) -> dict[str, Any]:
    """Compare with a virtual box's hidden errors: the masses put exactly at the centre and over each cell.

    `truth`: the bench's `LoadTruth`.
    """
    places = ("centre", "fl", "fr", "rl", "rr")
    rows = [(mass, place) for mass in masses_kg for place in places]
    carried = np.array([truth.carried_kg(mass, place) for mass, place in rows])
    shown = truth.errors.distort(carried)
    gain, bias = np.array(certificate.gain), np.array(certificate.bias)
    corrected = (shown - bias) @ gain.T
    before = np.abs(shown.sum(axis=1) - carried.sum(axis=1))
    after = np.abs(corrected.sum(axis=1) - carried.sum(axis=1))
    cells = np.abs(corrected - carried).max()
    stated = 2 * (certificate.standard_uncertainty or 0.0)
    return {
        "worst_before_g": 1000 * float(before.max()),
        "worst_after_g": 1000 * float(after.max()),
        "worst_cell_after_g": 1000 * float(cells),
        "stated_g": 1000 * stated,
        "words": f"{max(masses_kg):g} kg anywhere: uncorrected wrong by up to {1000 * before.max():.0f} g, "
        f"with this certificate by up to {1000 * after.max():.1f} g; stated was {1000 * stated:.0f} g "
        f"(k = 2); one cell alone by up to {1000 * cells:.0f} g",
    }


def _number(given: Mapping[str, Any], name: str) -> float:
    value = given.get(name)
    if isinstance(value, int | float):
        return float(value)
    raise CalibrationRefused(
        "fitting a session of load cells again",
        got=f"no {name} in its head",
        expected="what the session was told at its beginning",
        remedy="The file was edited; take the original.",
    )
