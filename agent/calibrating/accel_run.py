"""Verdicts on an accelerometer: from a session's file, or from the rests in a recording.

The guided session ends here, too: its certificate is made from the file that was written, so whoever fits
that file again gets the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.calibrating.accel_guide import MG, restore
from agent.calibrating.feed import Recorded
from agent.calibrating.keep import now_text
from agent.calibrating.outcome import Outcome
from calibration.accel_session import (
    GOAL_TILT_DEG,
    AccelSession,
    fit_recording,
    goal_mps2,
    is_good,
)
from calibration.accelerometer import AccelFit
from calibration.certificate import Certificate
from calibration.errors import CalibrationRefused
from calibration.ferraris import AxesFit
from calibration.ferraris_certificate import accel_certificate, faces_of, six_of
from calibration.gravity import Gravity
from calibration.journal import Journal
from calibration.poses import ENOUGH_POSES, HOLD_S, find_poses
from calibration.session import Session, SessionHead

WHAT = "accel"


def settings_of(gravity: Gravity, hold_s: float = HOLD_S) -> dict[str, float | str | list[float]]:
    """Return what the head of a session has to say, so that it can be fitted again alike."""
    return {
        "gravity_mps2": gravity.mps2,
        "gravity_standard_mps2": gravity.standard_mps2,
        "gravity_source": gravity.source,
        "hold_s": hold_s,
    }


def new_session(head: SessionHead) -> AccelSession:
    """Return an empty session with the settings of `head`."""
    given = head.settings
    gravity = Gravity(
        _number(given, "gravity_mps2", Gravity().mps2),
        _number(given, "gravity_standard_mps2", Gravity().standard_mps2),
        str(given.get("gravity_source", Gravity().source)),
    )
    session = AccelSession(
        head.rate_hz,
        gravity_mps2=gravity.mps2,
        gravity_standard_mps2=gravity.standard_mps2,
        hold_s=_number(given, "hold_s", HOLD_S),
    )
    session.gravity = gravity
    return session


def judge_session(kept: Session) -> Outcome:
    """Return the verdict on a session's file."""
    session = new_session(kept.head)
    left_out = restore(session, ((step, kept.head.values(step)) for step in kept.steps))
    more = {"poses_left_out": len(left_out)} if left_out else {}
    return _judge(session, kept.temperatures_degc, more)


def judge_recording(
    recorded: Sequence[Recorded],
    gravity: Gravity,
    hold_s: float,
    journal: Journal,
    temperatures: Sequence[float],
) -> Outcome:
    """Return the verdict on the rests in recordings; those that it is made of go into `journal`."""
    if len(recorded) == 1:
        one = recorded[0]
        more: dict[str, Any]
        try:
            found = fit_recording(one.values, one.rate_hz, gravity=gravity, hold_s=hold_s)
        except CalibrationRefused:
            rests = find_poses(one.values, one.rate_hz, hold_s=hold_s)
            six = faces_of(rests)
            if not six:
                raise
            used = [(one, pose) for pose in six]
            more = {"rests_found": len(rests)}
        else:
            used = [(one, pose) for pose in found.used]
            more = {
                "rests_found": len(found.used) + len(found.others),
                "unseen_rests": len(found.others),
                "unseen_rms_mg": None if found.unseen_rms_mps2 is None else found.unseen_rms_mps2 / MG,
            }
    else:
        used = [
            (one, pose) for one in recorded for pose in find_poses(one.values, one.rate_hz, hold_s=hold_s)
        ]
        more = {"rests_found": len(used)}
    for one, pose in used:
        degc = temperatures[0] if temperatures else None
        journal.append(
            "pose",
            one.raw[pose.begin : pose.end],
            at=now_text(),
            t_s=float(one.t_s[pose.begin]),
            temperature_degc=degc,
        )
    session = new_session(journal.head)
    restore(session, ((step, journal.head.values(step)) for step in journal.steps))
    span = (min(temperatures), max(temperatures)) if temperatures else None
    return _judge(session, span, more)


def _judge(
    session: AccelSession, temperatures: tuple[float, float] | None, more: Mapping[str, Any]
) -> Outcome:
    goal = goal_mps2()
    low, high = temperatures if temperatures is not None else (None, None)
    poses = len(session.poses)
    try:
        fit = session.fit()
        certificate = session.certificate(made_at=now_text(), low_degc=low, high_degc=high)
    except CalibrationRefused as refusal:
        six = six_of(session.poses, session.gravity)
        if six is not None:
            return _six(session, six, temperatures, more)
        return Outcome(
            WHAT,
            False,
            f"{refusal.got}, expected {refusal.expected}",
            todo=(refusal.remedy, *_wanted(session)),
            fit={"poses": poses, **more},
        )
    good = is_good(fit) and poses >= ENOUGH_POSES
    held_out = fit.held_out_rms_mps2
    judged = (
        f"poses left out, each in turn: {_mg(held_out)}, allowed {goal / MG:.2f} mg",
        f"uncertainty of a reading without gravity's own (k = 2): {2 * fit.fit_standard_mps2 / MG:.2f} mg, "
        f"allowed {goal / MG:.2f} mg ({GOAL_TILT_DEG:g}° of tilt)",
        f"{poses} different poses, wanted {ENOUGH_POSES}",
        *(line for line in certificate.findings if fit.undetermined),
    )
    todo: tuple[str, ...] = ()
    if not good:
        todo = (
            ("Take more poses:", *_wanted(session))
            if _wanted(session)
            else ("The poses contradict each other. Lay the box on firm ground, engine off, and begin anew.",)
        )
    headline = (
        f"tilt is known to {GOAL_TILT_DEG:g}°, a reading of gravity to "
        f"{2 * fit.standard_uncertainty_mps2 / MG:.1f} mg (k = 2)"
        if good
        else f"tilt is not known to {GOAL_TILT_DEG:g}° yet"
    )
    return Outcome(WHAT, good, headline, judged, todo, _figures(fit, more), certificate)


def _six(
    session: AccelSession,
    fit: AxesFit,
    temperatures: tuple[float, float] | None,
    more: Mapping[str, Any],
) -> Outcome:
    """Return the verdict on six faces alone: worth a certificate to who accepts it; more poses are better."""
    low, high = temperatures if temperatures is not None else (None, None)
    certificate = accel_certificate(
        fit, made_at=now_text(), gravity=session.gravity, low_degc=low, high_degc=high
    )
    standard = certificate.standard_uncertainty or 0.0
    return Outcome(
        WHAT,
        False,
        f"six positions tell a reading of gravity to {2 * standard / MG:.1f} mg (k = 2) only",
        certificate.findings,
        ("Take more poses:", *_wanted(session)),
        {
            "poses": len(session.poses),
            "gain": fit.gain.tolist(),
            "bias_mps2": fit.bias.tolist(),
            "residual_rms_mg": fit.residual_rms_mps2 / MG,
            "worst_mg": fit.worst_mps2 / MG,
            "limit_mg": goal_mps2() / MG,
            **more,
        },
        certificate,
    )


def _wanted(session: AccelSession) -> tuple[str, ...]:
    """Return the poses that would help most, a sentence each."""
    return tuple(f"Lay it {missing.words}." for missing in session.missing()[:3])


def _figures(fit: AccelFit, more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "poses": fit.poses,
        "gain": fit.gain.tolist(),
        "bias_mps2": fit.bias.tolist(),
        "residual_rms_mg": fit.residual_rms_mps2 / MG,
        "held_out_rms_mg": None if fit.held_out_rms_mps2 is None else fit.held_out_rms_mps2 / MG,
        "worst_mg": fit.worst_mps2 / MG,
        "condition": fit.condition,
        "limit_mg": goal_mps2() / MG,
        "undetermined": list(fit.undetermined),
        **more,
    }


def _mg(value_mps2: float | None) -> str:
    return "not known" if value_mps2 is None else f"{value_mps2 / MG:.2f} mg"


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value = given.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def compared(certificate: Certificate, truth: Any) -> dict[str, Any]:
    """Compare with a virtual box's hidden errors: the worst reading of gravity in 26 directions, in mg.

    `truth`: the bench's `SensorTruth`. Both gains are upper triangular, and so are in the same axes.
    """
    import itertools

    import numpy as np

    ways = np.array([w for w in itertools.product((0, 1, -1), repeat=3) if any(w)], np.float64)
    true = 9.80665 * ways / np.linalg.norm(ways, axis=1, keepdims=True)
    shown = truth.distort(true)
    gain, bias = np.array(certificate.gain), np.array(certificate.bias)
    before = np.linalg.norm(shown - true, axis=1) / MG
    after = np.linalg.norm((shown - bias) @ gain.T - true, axis=1) / MG
    stated = 2 * (certificate.standard_uncertainty or 0.0) / MG
    return {
        "worst_before_mg": float(before.max()),
        "worst_after_mg": float(after.max()),
        "rms_after_mg": float(np.sqrt((after**2).mean())),
        "stated_mg": stated,
        "words": f"uncorrected it is wrong by up to {before.max():.1f} mg, with this certificate by up to "
        f"{after.max():.2f} mg; stated was {stated:.1f} mg (k = 2)",
    }
