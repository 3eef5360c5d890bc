"""Convert logs to another format: CSV with its map, MCAP, ROS 1 bag (.bag), ROS 2 bag (a folder).

enDAQ recordings (.IDE) and single ROS 2 files (.db3, .mcap) are read as well. One log: the suffix of OUT says
the format; without one, it is the folder of a ROS 2 bag. Several logs, a folder or a glob: --to says the
format, and OUT is the folder of the results. What was written is read back and compared before it takes its
name; nothing is overwritten without --force. Beside a table stands its map, with suffix .toml. A log that
cannot be read is reported and the rest goes on.
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.commands import convert_many, progress
from agent.commands.convert_one import Task, Wish, check_free, convert
from agent.errors import UsageError, did_you_mean
from agent.replay.selection import is_log, map_of
from agent.sources.log_file import BAG_FOLDER_MARK, FOLDER, FORMATS, WITH_MAP
from agent.streams import TABLE

# what --to calls a format → what `FORMATS` knows it by
WRITTEN: Mapping[str, str] = {
    "ros2" if suffix == FOLDER else suffix[1:]: suffix for suffix, known in FORMATS.items() if known.writer
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("logs", nargs="+", type=Path, metavar="IN", help="a log; with --to: logs, folders, globs in quotes")
    add("out", metavar="OUT", help="what to write: .csv, .mcap, .bag, or a folder for ROS 2")
    add("--to", choices=list(WRITTEN), help="the format of many: OUT is a folder, with a file for each log")
    add("--map", type=Path, metavar="MAP", help="what the columns of a CSV are (TOML), or a folder of maps")
    add(
        "--take",
        action="append",
        default=[],
        metavar="STREAM=WHICH",
        help="the channel of an .IDE, or the topic of a bag, that becomes this stream; repeatable",
    )
    add("--resume", action="store_true", help="with --to: leave what is there, of the same log, and verified")
    add("--force", action="store_true", help="replace what has the name of OUT")
    add("--strict", action="store_true", help="write nothing where OUT cannot keep all of IN")
    add("--no-verify", action="store_true", help="do not read back and compare")
    add("--json", action="store_true", help="what was converted, as one JSON document")


def run(args: argparse.Namespace) -> int:
    """Convert; 1 when a part of a log, or all of one, could not be read."""
    wish = Wish(args.force, args.strict, not args.no_verify, _take_of(args.take))
    if args.to is not None:
        return convert_many.run(
            args.logs,
            Path(args.out),
            WRITTEN[args.to],
            args.map,
            wish,
            resume=args.resume,
            as_json=args.json,
        )
    _check_single(args)
    log: Path = args.logs[0]
    suffix, out = _target(args.out)
    task = Task(log, out, suffix, _map_of(log, args.map))
    check_free(task, force=args.force)
    with progress.bar(f"converting {log}") as on_progress:
        document = convert(task, wish, on_progress)
    _tell(document, as_json=args.json)
    return int(document["damaged"])


def _check_single(args: argparse.Namespace) -> None:
    """Refuse what only many can have. Raises UsageError."""
    log: Path = args.logs[0]
    several = len(args.logs) > 1 or (log.is_dir() and not is_log(log))
    if several or (glob.has_magic(str(log)) and not log.exists()):
        raise UsageError(
            f"converting to {args.out}",
            got=f"{len(args.logs)} logs" if len(args.logs) > 1 else f"a folder or a glob, {log}",
            expected="one log; for many, the format that all of them get",
            remedy=f"Name it with --to ({', '.join(WRITTEN)}): OUT is then the folder of the results.",
        )
    if args.resume:
        raise UsageError(
            "reading --resume",
            got="one log and the name of its result",
            expected="many logs, and a folder of results of which some are there",
            remedy="Leave --resume away, or name a format with --to and a folder.",
        )


def _take_of(words: Sequence[str]) -> dict[str, str]:
    """Return which channel or topic becomes which stream. Raises UsageError."""
    take: dict[str, str] = {}
    for word in words:
        stream, equals, which = word.partition("=")
        if not equals or not which or stream not in TABLE or stream in take:
            twice = ", which was said before" if stream in take else did_you_mean(stream, TABLE)
            raise UsageError(
                "reading --take",
                got=f"{word!r}{twice}",
                expected="STREAM=WHICH, each stream once: accel=80, gyro=/imu/data",
                remedy=f"The streams are {', '.join(TABLE)}.",
            )
        take[stream] = which
    return take


def _target(text: str) -> tuple[str, Path]:
    """Return the format that a name asks for, and its path."""
    out = Path(text)
    suffix = FOLDER if text.endswith("/") or not out.suffix or (out / BAG_FOLDER_MARK).is_file() else ""
    suffix = suffix or out.suffix.lower()
    written = [name for name in WRITTEN.values() if name != FOLDER]
    known = FORMATS.get(suffix)
    if known is None or not known.writer:
        got = f"{known.name}, which is only read" if known else f"a name that ends in {suffix!r}"
        raise UsageError(
            f"converting to {out}",
            got=got + did_you_mean(suffix, written),
            expected=f"{', '.join(written)}, or a folder for a ROS 2 bag",
            remedy="Name OUT by the format that is wanted; docs/formats.md says what each keeps.",
        )
    return suffix, out


def _map_of(log: Path, given: Path | None) -> Path | None:
    """Return the map of a table: the one that was named, or the one that was written beside it."""
    if given is not None and log.suffix.lower() not in WITH_MAP:
        raise UsageError(
            "reading --map",
            got="a map, and no log that has columns to map",
            expected=f"a log that ends in {' or '.join(sorted(WITH_MAP))}",
            remedy="Leave --map away: the log says itself what is in it.",
        )
    return map_of(log, given)


def _tell(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(document))
        return
    streams = ", ".join(f"{name} {count:,}" for name, count in document["streams"].items()) or "none"
    lines = [f"{document['in']} -> {document['out']} ({document['format']}, {document['bytes']:,} bytes)"]
    lines.append(f"  streams    {streams}")
    if document["verified"] is not None:
        lines.append(f"  verified   {document['verified']:,} samples read back, all equal")
    lines += [f"  note       {note}" for note in document["notes"]]
    if document["damaged"]:
        lines.append("error: a part of the log could not be read; the rest was converted (see the notes)")
    print("\n".join(lines), file=sys.stderr)
