"""A calibration with a person at the terminal, or in a pipe: the box, the journal, the guide."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.calibrating import accel_run, load_run
from agent.calibrating.accel_guide import AccelGuide
from agent.calibrating.device import BenchHand, Device, live_device, virtual_device
from agent.calibrating.feed import Feed
from agent.calibrating.guide import converse
from agent.calibrating.keep import folder_of, now_text
from agent.calibrating.load_guide import LoadGuide
from agent.calibrating.terminal import person, plain, speaks_unicode
from agent.calibrating.view import counted
from agent.commands.calibrate_end import ACCEL, Hidden, command_line, finish, judged
from agent.commands.source import source_of, words_of
from agent.config import Config
from agent.errors import UsageError
from agent.streams import StreamSpec
from calibration.gravity import Gravity
from calibration.journal import Journal
from calibration.session import SUFFIX, SessionHead, read_session, unfinished

STOPPED = 130
VIRTUAL_MASSES_KG = (10.0, 20.0)


def guided(args: argparse.Namespace, config: Config, gravity: Gravity, stop: threading.Event) -> int:
    """Calibrate with a person: 0 with a good certificate, 1 refused or left, 130 stopped."""
    stream = args.stream or args.what
    folder = folder_of(args.out, args.config)
    begun_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        device = stack.enter_context(_device(args, config))
        feed = stack.enter_context(Feed(device.source, config, stream))
        settings, hidden = _settings(args, feed.spec, device, gravity)
        head = head_of(args, feed.spec, settings)
        journal = stack.enter_context(_journal(args, head, folder))
        before = len(journal.steps)
        guide = _guide(args, config, device, journal)
        with person() as who:
            ended = converse(guide, feed, who, stop, hasty=args.yes)
        steps, keys, path = len(journal.steps), guide.keys_pressed, journal.path
        if not ended:
            return _stopped(args, journal, steps, stop)
    outcome = judged(read_session(path))
    if outcome.good or args.accept:
        with Journal.resume(path) as journal:
            journal.done("good" if outcome.good else "accepted")
    more = {
        "steps": steps,
        "steps_before": before,
        "keys_pressed": keys,
        "seconds": round(time.monotonic() - begun_s, 1),
    }
    return finish(args, config, outcome, feed.spec, path, folder, hidden, more)


@contextlib.contextmanager
def _device(args: argparse.Namespace, config: Config) -> Iterator[Device]:
    if args.virtual:
        with virtual_device(args.seed) as device:
            yield device
        return
    source = source_of(config, args.config, args.port)
    with live_device(lambda: source, words_of(config, args.port)) as device:
        yield device


def _settings(
    args: argparse.Namespace, spec: StreamSpec, device: Device, gravity: Gravity
) -> tuple[dict[str, float | str | list[float]], Hidden | None]:
    """Return what the session is told, and what it is compared with in the end."""
    if args.what == ACCEL:
        hidden = None if device.bench is None else Hidden(device.bench.truth.accel.errors, ())
        return accel_run.settings_of(gravity, args.hold_s), hidden
    given = load_run.LoadSettings(
        capacity_kg=args.capacity_kg,
        interval_kg=args.interval_kg,
        accuracy_class=args.accuracy,
        masses_kg=tuple(args.mass_kg or ()),
        creep_s=args.creep_s,
        plate_kg=args.plate_kg,
    )
    if args.resume is not None:  # what it was told in the beginning stands in its head
        given = load_run.told_before(given, read_session(args.resume).head)
    if device.bench is None:
        return load_run.settings_of(given, spec), None
    truth = device.bench.truth.load
    if given.capacity_kg is None:
        given = replace(given, capacity_kg=truth.capacity_kg)  # it stands on the label
    if not given.masses_kg:
        given = replace(given, masses_kg=VIRTUAL_MASSES_KG)
    return load_run.settings_of(given, spec), Hidden(truth, given.masses_kg)


def head_of(
    args: argparse.Namespace, spec: StreamSpec, settings: dict[str, float | str | list[float]]
) -> SessionHead:
    """Return the first line of a session that begins now."""
    return SessionHead(
        what=args.what,
        stream=spec.name,
        sensor=spec.sensor,
        unit=spec.unit.value,
        axes=spec.axes,
        rate_hz=spec.rate_hz,
        scale=spec.scale,
        offset=spec.offset,
        begun_at=now_text(),
        by=args.by,
        settings=settings,
    )


def _journal(args: argparse.Namespace, head: SessionHead, folder: Path) -> Journal:
    """Go on with what is unfinished, if it may be; else begin."""
    path = args.resume
    if path is None and not args.new:
        path = next(iter(unfinished(folder, head)), None)
    if path is None:
        stamp = head.begun_at.replace("-", "").replace(":", "")
        return Journal.create(free_name(folder, f"{head.stream}-{stamp}"), head)
    theirs = read_session(path).head
    if (theirs.what, theirs.stream, theirs.sensor, theirs.axes) != (
        head.what,
        head.stream,
        head.sensor,
        head.axes,
    ):
        raise UsageError(
            f"going on with the session {path}",
            got=f"{theirs.what} of {theirs.sensor or 'some sensor'}, stream {theirs.stream}",
            expected=f"{head.what} of {head.sensor or 'this sensor'}, stream {head.stream}",
            remedy="Plug that sensor in, or begin anew with --new.",
        )
    plain([f"going on with {path}; --new begins anew"])
    return Journal.resume(path)


def free_name(folder: Path, stem: str) -> Path:
    """Return a session's name that is not taken: two sessions may begin in one second."""
    names = (f"{stem}-{n}{SUFFIX}" if n > 1 else f"{stem}{SUFFIX}" for n in itertools.count(1))
    return next(folder / name for name in names if not (folder / name).exists())


def _guide(
    args: argparse.Namespace, config: Config, device: Device, journal: Journal
) -> AccelGuide | LoadGuide:
    hand = None if device.bench is None else BenchHand(device.bench)
    unicode = speaks_unicode(sys.stderr)
    if args.what == ACCEL:
        return AccelGuide(
            accel_run.new_session(journal.head),
            journal,
            now=now_text,
            device=device.words,
            hand=hand,
            level=device.level(config),
            unicode=unicode,
        )
    return LoadGuide(
        load_run.new_session(journal.head),
        journal,
        now=now_text,
        device=device.words,
        hand=hand,
        unicode=unicode,
    )


def _stopped(args: argparse.Namespace, journal: Journal, steps: int, stop: threading.Event) -> int:
    if steps:
        again = command_line(args, "--resume", str(journal.path))
        are = "is" if steps == 1 else "are"
        plain([f"stopped; {counted(steps, 'step')} {are} kept in {journal.path}", f"go on with: {again}"])
    else:
        plain(["stopped; nothing was taken yet"])
    if args.json:
        session = str(journal.path) if steps else None
        print(json.dumps({"what": args.what, "verdict": "stopped", "steps": steps, "session": session}))
    return STOPPED if stop.is_set() else 1
