"""Calibrations from what was recorded: logs of poses or of days, and raw sessions fitted again."""

from __future__ import annotations

import argparse
import threading

import msgspec

from agent.calibrating import accel_run
from agent.calibrating.feed import TEMPERATURE, Recorded, read_log
from agent.calibrating.keep import folder_of
from agent.calibrating.outcome import Outcome
from agent.calibrating.terminal import plain
from agent.commands import progress
from agent.commands.calibrate_end import ACCEL, LOAD, finish, judged
from agent.commands.calibrate_guided import STOPPED, free_name, head_of
from agent.config import Config
from agent.errors import UsageError
from agent.streams import StreamClass, StreamSpec, Unit
from calibration.errors import CalibrationRefused, SessionError
from calibration.gravity import Gravity
from calibration.journal import Journal
from calibration.session import SessionHead, read_session
from calibration.store import CertificateStore, read_kept
from calibration.thermal_lag import is_measured


def again(args: argparse.Namespace, config: Config) -> int:
    """Fit a raw session again."""
    kept = read_session(args.session)
    if kept.head.what != args.what:
        raise UsageError(
            f"fitting the session {args.session}",
            got=f"a session of `calibrate {kept.head.what}`",
            expected=f"one of `calibrate {args.what}`",
            remedy=f"`cargobox calibrate {kept.head.what} --session {args.session}`.",
        )
    outcome = judged(kept)
    more = {"steps": len(kept.steps)}
    return finish(
        args, config, outcome, _spec_of(kept.head), args.session, folder_of(args.out, args.config), None, more
    )


def from_logs(args: argparse.Namespace, config: Config, gravity: Gravity, stop: threading.Event) -> int:
    """Find the poses in recordings; what they are made of becomes a session of its own."""
    recorded = _read(args, config, args.stream or ACCEL, stop)
    if recorded is None:
        return STOPPED
    first = recorded[0][args.stream or ACCEL]
    folder = folder_of(args.out, args.config)
    head = head_of(args, first.spec, accel_run.settings_of(gravity, args.hold_s))
    head = msgspec.structs.replace(head, rate_hz=first.rate_hz)
    degc = [float(v) for one in recorded if TEMPERATURE in one for v in _ends(one[TEMPERATURE])]
    path = free_name(folder, f"{head.stream}-{args.log[0].stem}")
    try:
        with Journal.create(path, head) as journal:
            outcome = accel_run.judge_recording(
                [one[head.stream] for one in recorded], gravity, args.hold_s, journal, degc
            )
            # a recording is at its end: a box must not go on with it by itself
            journal.done("good" if outcome.good else "not good enough")
    except CalibrationRefused as refusal:
        outcome = Outcome(ACCEL, False, f"{refusal.got}, expected {refusal.expected}", todo=(refusal.remedy,))
    kept = path if path.exists() else None
    return finish(args, config, outcome, first.spec, kept, folder, None, {"logs": [str(p) for p in args.log]})


def thermal(args: argparse.Namespace, config: Config, stop: threading.Event) -> int:
    """Fit the temperature term of a stream."""
    from agent.calibrating import thermal_run

    stream = args.stream or LOAD
    recorded = _read(args, config, stream, stop)
    if recorded is None:
        return STOPPED
    spec = recorded[0][stream].spec
    folder = folder_of(args.out, args.config)
    before = (
        read_kept(args.certificate)
        if args.certificate is not None
        else CertificateStore(folder).latest(stream, spec.sensor)
    )
    if before is not None and (before.stream != stream or before.axes != len(spec.axes)):
        raise UsageError(
            f"adding to the certificate {args.certificate or before.hash}",
            got=f"{before.axes} axes of stream {before.stream!r}",
            expected=f"{len(spec.axes)} axes of stream {stream!r}",
            remedy="Name the sensor's own certificate with --certificate.",
        )
    outcome = thermal_run.judge_recordings(recorded, stream, before, soak=True if args.soak else None)
    more = {"logs": [str(p) for p in args.log], "replaces": None if before is None else before.hash}
    return finish(args, config, outcome, spec, None, folder, None, more, before=before)


def _read(
    args: argparse.Namespace, config: Config, stream: str, stop: threading.Event
) -> list[dict[str, Recorded]] | None:
    """Read the logs; None where somebody stopped it."""
    recorded = []
    for log in args.log:
        with progress.bar(str(log)) as on_progress:
            one, notes = read_log(log, args.map, config, stream, stop=stop, on_progress=on_progress)
        if stop.is_set():
            plain(["stopped; nothing was written"])
            return None
        plain([f"{log}: {note}" for note in notes])
        recorded.append(one)
    return recorded


def _ends(thermometer: Recorded) -> tuple[float, ...]:
    degc = [value for value in thermometer.values[:, 0].tolist() if is_measured(value)]
    return (min(degc), max(degc)) if degc else ()


def _spec_of(head: SessionHead) -> StreamSpec:
    kind = StreamClass.LOAD if head.what == LOAD else StreamClass.MOTION
    if head.unit not in tuple(Unit):
        raise SessionError(
            f"fitting a session of {head.stream!r} again",
            got=f"figures in {head.unit!r}",
            expected=f"one of {', '.join(Unit)}",
            remedy="The file was edited; take the original.",
        )
    return StreamSpec(
        name=head.stream,
        axes=head.axes,
        unit=Unit(head.unit),
        rate_hz=head.rate_hz,
        sample_bits=32,
        kind=kind,
        scale=head.scale,
        offset=head.offset,
        sensor=head.sensor,
    )
