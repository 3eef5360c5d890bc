"""The end of every calibration: the certificate is kept, what was hidden is compared, the verdict is said."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec.structs import replace as replace_in

from agent.calibrating import accel_run, load_run
from agent.calibrating.keep import VALID_DAYS, Kept, Signature, keep, signed
from agent.calibrating.outcome import Outcome, document, words
from agent.calibrating.terminal import plain
from agent.calibrating.view import counted
from agent.config import Config
from agent.streams import StreamSpec
from calibration.certificate import Certificate
from calibration.session import Session

ACCEL, LOAD, THERMAL = "accel", "load", "thermal"


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a virtual box hides, for the comparison at the end."""

    truth: Any
    masses_kg: tuple[float, ...]


def command_line(args: argparse.Namespace, *more: str) -> str:
    """Return the command line that goes on."""
    parts = ["cargobox", "calibrate", args.what]
    if args.virtual:
        parts += ["--virtual", "--seed", str(args.seed)]
    for option in ("config", "port", "out", "stream", "by"):
        if getattr(args, option):
            parts += [f"--{option}", str(getattr(args, option))]
    if args.valid_days != VALID_DAYS:
        parts += ["--valid-days", str(args.valid_days)]
    return shlex.join([*parts, *more])


def judged(kept: Session) -> Outcome:
    """Return the verdict on a session's file."""
    return accel_run.judge_session(kept) if kept.head.what == ACCEL else load_run.judge_session(kept)


def finish(
    args: argparse.Namespace,
    config: Config,
    outcome: Outcome,
    spec: StreamSpec,
    session: Path | None,
    folder: Path,
    hidden: Hidden | None,
    more: dict[str, Any],
    before: Certificate | None = None,
) -> int:
    """Keep the certificate, compare it with what was hidden, and say what came of it."""
    kept: Kept | None = None
    worth = outcome.good or args.what == THERMAL or args.accept
    if worth and outcome.certificate is not None:
        signature = Signature(args.by, args.valid_days)
        certificate = signed(outcome.certificate, spec, signature, session)
        if not outcome.good and args.what != THERMAL:
            accepted = f"not good enough, and accepted all the same: {outcome.headline}"
            certificate = replace_in(certificate, findings=(*certificate.findings, accepted))
        kept = keep(certificate, session, folder, config, args.config)
        outcome = replace(outcome, certificate=kept.certificate)
    if hidden is not None and outcome.certificate is not None:
        compared = (
            accel_run.compared(outcome.certificate, hidden.truth)
            if args.what == ACCEL
            else load_run.compared(outcome.certificate, hidden.truth, hidden.masses_kg)
        )
        outcome = replace(outcome, truth=compared)
    lines = words(outcome)
    if kept is not None:
        lines += [f"certificate {kept.certificate.hash}: {kept.path}"]
        lines += (
            ["in the configuration:"] if kept.lines else ["the configuration takes it from there by itself"]
        )
        lines += [f"    {line}" for line in kept.lines]
    elif session is not None and session.exists() and not outcome.good:
        lines += [f"the session is kept: {session}"]
        if args.log is None and args.session is None:
            lines += [f"go on with: {command_line(args, '--resume', str(session))}"]
    if kept is not None and before is not None:
        lines += [f"it replaces {before.hash}, which stays"]
    if more.get("seconds") is not None:
        steps, keys = counted(more["steps"], "step"), counted(more["keys_pressed"], "key")
        lines += [f"{steps}, {keys}, {more['seconds']:.0f} s"]
    plain(lines)
    if args.json:
        print(
            json.dumps(
                _finite(
                    document(
                        outcome,
                        certificate=None if kept is None else str(kept.path),
                        hash=None if kept is None else kept.certificate.hash,
                        session=None if session is None else str(session),
                        configuration=None if kept is None else "\n".join(kept.lines),
                        **more,
                    )
                )
            )
        )
    return 0 if outcome.good else 1


def _finite(value: Any) -> Any:
    """Return a document without numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
