"""Calibrate a sensor, and end with a certificate or with the reason why not.

  accel    lay the box on its sides and edges; each pose is taken by itself when it lies still
  load     the empty plate, known masses in the centre and over each cell
  thermal  how a sensor follows temperature, from logs of ordinary days or of a soak

Guided in the terminal, on a box or on a virtual one (--virtual); or from logs (--log), or again from the raw
session that was kept (--session). Each step is on the card before it is told: after Ctrl-C, or a cable that
was pulled, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import math
import signal
import threading
from pathlib import Path

from agent.calibrating.keep import VALID_DAYS
from agent.commands.calibrate_end import ACCEL, LOAD, THERMAL
from agent.commands.calibrate_guided import guided
from agent.commands.calibrate_logs import again, from_logs, thermal
from agent.config import load_config
from agent.errors import UsageError
from agent.sources.log_file import WITH_MAP
from agent.timebase import TimeQuality, measure_mark
from calibration.gravity import Gravity, local_gravity

LONGEST_DAYS = 36_500


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=(ACCEL, LOAD, THERMAL))
    source = parser.add_argument_group("what is calibrated")
    source.add_argument("--config", type=Path, metavar="FILE", help="the agent's configuration (TOML)")
    source.add_argument("--port", metavar="PORT", help="serial port, instead of the configured one")
    source.add_argument(
        "--virtual", action="store_true", help="a virtual box with hidden errors; Enter moves it"
    )
    source.add_argument("--seed", type=int, default=1, metavar="N", help="which virtual box (default: 1)")
    source.add_argument("--log", type=Path, nargs="+", metavar="LOG", help="recordings instead of a live box")
    source.add_argument("--map", type=Path, metavar="MAP", help="what the columns of a CSV log are (TOML)")
    source.add_argument("--session", type=Path, metavar="FILE", help="fit a raw session again")
    source.add_argument("--stream", metavar="NAME", help="the stream (default: accel or load)")
    session = parser.add_argument_group("the session")
    session.add_argument("--resume", type=Path, metavar="FILE", help="go on with this unfinished session")
    session.add_argument("--new", action="store_true", help="begin anew, whatever is unfinished")
    session.add_argument("--yes", action="store_true", help="press Enter by itself (with --virtual)")
    session.add_argument(
        "--hold-s", type=float, default=2.0, metavar="S", help="accel: how long a pose is held"
    )
    session.add_argument(
        "--latitude", type=float, metavar="DEG", help="accel: where it is, for local gravity"
    )
    session.add_argument(
        "--height-m", type=float, default=0.0, metavar="M", help="accel: height above the sea"
    )
    session.add_argument(
        "--mass-kg", type=float, action="append", metavar="M", help="load: a known mass; repeat"
    )
    session.add_argument("--capacity-kg", type=float, metavar="M", help="load: what one cell carries at most")
    session.add_argument(
        "--plate-kg", type=float, default=0.0, metavar="M", help="load: what the bare plate weighs"
    )
    session.add_argument("--interval-kg", type=float, metavar="V", help="load: verification interval v")
    session.add_argument(
        "--class", dest="accuracy", choices=("A", "B", "C", "D"), default="C", help="OIML R 60"
    )
    session.add_argument(
        "--creep-s", type=float, default=120.0, metavar="S", help="load: watch creep; 0: not"
    )
    session.add_argument("--soak", action="store_true", help="thermal: its load did not change meanwhile")
    kept = parser.add_argument_group("the certificate")
    kept.add_argument("--certificate", type=Path, metavar="FILE", help="thermal: add to this one")
    kept.add_argument("--out", type=Path, metavar="DIR", help="where it is kept (default: certificates/)")
    kept.add_argument("--accept", action="store_true", help="keep it although it is not good enough")
    kept.add_argument("--by", default="", metavar="NAME", help="who calibrated")
    kept.add_argument(
        "--valid-days", type=int, default=VALID_DAYS, metavar="N", help="how long it holds; 0: for ever"
    )
    kept.add_argument("--json", action="store_true", help="the verdict as one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Calibrate: 0 with a good certificate, 1 refused, 130 stopped by the person."""
    _check(args)
    _check_date()
    config = load_config(args.config)
    gravity = _gravity(args)
    if args.session is not None:
        return again(args, config)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    if args.what == THERMAL:
        return thermal(args, config, stop)
    if args.log is not None:
        return from_logs(args, config, gravity, stop)
    return guided(args, config, gravity, stop)


def _gravity(args: argparse.Namespace) -> Gravity:
    if args.latitude is None:
        return Gravity()
    try:
        return local_gravity(args.latitude, args.height_m)
    except ValueError as error:
        raise UsageError(
            "reading --latitude and --height-m",
            got=str(error),
            expected="a place on the ground, -90 to 90 degrees",
            remedy="Correct it, or leave both away.",
        ) from None


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be meant. Raises UsageError."""
    sources = [
        name
        for name, given in (
            ("--virtual", args.virtual),
            ("--port", args.port is not None),
            ("--log", args.log is not None),
            ("--session", args.session is not None),
        )
        if given
    ]
    if len(sources) > 1:
        _refuse(" and ".join(sources), "one of them", "Drop what is not meant.")
    if args.what == THERMAL and args.log is None:
        _refuse(
            "thermal without --log",
            "recordings of ordinary days, or of a soak",
            "Record with `cargobox record --out day.mcap`; then `--log day.mcap`.",
        )
    if args.valid_days > LONGEST_DAYS:
        _refuse(f"--valid-days {args.valid_days}", f"at most {LONGEST_DAYS}", "0 is for ever.")
    if args.what == LOAD and args.log is not None:
        _refuse(
            "load with --log",
            "a guided session: a log does not know which mass lay where",
            "`cargobox calibrate load`; its raw session can be fitted again with --session.",
        )
    if args.yes and not args.virtual:
        _refuse("--yes without --virtual", "somebody who sees what lies where", "Leave --yes away.")
    if args.resume is not None and (args.log is not None or args.session is not None):
        _refuse("--resume with a recording", "a box that the session goes on with", "Drop one of them.")
    if args.map is not None and (args.log is None or not any(p.suffix.lower() in WITH_MAP for p in args.log)):
        _refuse("--map, and no log that has columns to map", "a CSV log", "Leave --map away.")
    for option, value, least in (
        ("--hold-s", args.hold_s, 0.5),
        ("--capacity-kg", args.capacity_kg, 1e-9),
        ("--interval-kg", args.interval_kg, 1e-9),
        ("--creep-s", args.creep_s, 0.0),
        ("--plate-kg", args.plate_kg, 0.0),
        ("--valid-days", args.valid_days, 0),
        ("--seed", args.seed, 0),
        *(("--mass-kg", mass, 1e-9) for mass in args.mass_kg or ()),
    ):
        if value is not None and not (math.isfinite(value) and value >= least):
            words_ = f"a number of {least:g} or more" if least != 1e-9 else "a number above 0"
            _refuse(f"{option} {value:g}", words_, "Correct it.")


def _check_date() -> None:
    """Refuse to sign by a clock that was never set: what was made in 1970 has run out. Raises UsageError."""
    if measure_mark().quality is TimeQuality.UNSET:
        raise UsageError(
            "beginning a calibration",
            got="a clock that was never set",
            expected="the date, from which a certificate counts its days, and which tells the latest",
            remedy="Give this computer a network and a time service, or `sudo date -s '2026-01-31 12:00'`.",
        )


def _refuse(got: str, expected: str, remedy: str) -> None:
    raise UsageError(
        "reading the command line of `cargobox calibrate`", got=got, expected=expected, remedy=remedy
    )
