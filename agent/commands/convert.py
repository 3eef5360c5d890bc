"""Convert a log to another format: CSV with its map, MCAP, ROS 1 bag (.bag), ROS 2 bag (a folder).

enDAQ recordings (.IDE) and single ROS 2 files (.db3, .mcap) are read as well. The suffix of OUT says the
format; without one, it is the folder of a ROS 2 bag. What was written is read back and compared before it
takes its name; nothing is overwritten without --force. Beside a table stands its map, with suffix .toml.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agent
from agent.blocks import SensorFault
from agent.commands import progress
from agent.commands.convert_check import Reckoning
from agent.errors import LogFileError, UsageError, did_you_mean
from agent.sources.log_file import BAG_FOLDER_MARK, FOLDER, FORMATS, WITH_MAP, LogSource, open_log, suffix_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("log", type=Path, metavar="IN", help="the log to read")
    parser.add_argument("out", metavar="OUT", help="what to write: .csv, .mcap, .bag, or a folder for ROS 2")
    parser.add_argument("--map", type=Path, metavar="MAP", help="what the columns of a CSV are (TOML)")
    parser.add_argument("--force", action="store_true", help="replace what has the name of OUT")
    parser.add_argument("--strict", action="store_true", help="write nothing where OUT cannot keep all of IN")
    parser.add_argument("--no-verify", action="store_true", help="do not read back and compare")
    parser.add_argument("--json", action="store_true", help="what was converted, as one JSON document")


def run(args: argparse.Namespace) -> int:
    """Convert; 1 when a part of the log could not be read."""
    suffix, out = _target(args.out)
    _check_free(args.log, out, suffix, force=args.force)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    source = open_log(args.log, map_path=_map_of(args.log, args.map))
    part = out.with_name(f".{out.stem}.part{os.getpid()}{suffix if suffix != FOLDER else ''}")
    try:
        document = _convert(source, args, part, suffix)
        _take_name(part, out, suffix)
    finally:
        _forget(part)
        _forget(part.with_suffix(".toml"))
        source.close()
    document = {"in": str(args.log), "out": str(out), **document}
    document["bytes"] = sum(path.stat().st_size for path in _files(out))
    _tell(document, as_json=args.json)
    return 1 if document["damaged"] else 0


def _target(text: str) -> tuple[str, Path]:
    """Return the format that a name asks for, and its path."""
    out = Path(text)
    suffix = FOLDER if text.endswith("/") or not out.suffix or (out / BAG_FOLDER_MARK).is_file() else ""
    suffix = suffix or out.suffix.lower()
    written = [name for name, known in FORMATS.items() if known.writer and name != FOLDER]
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


def _check_free(log: Path, out: Path, suffix: str, *, force: bool) -> None:
    doing = f"converting to {out}"
    taken = [path for path in _names(out, suffix) if path.exists()]
    if taken and not force:
        raise UsageError(
            doing,
            got=f"{taken[0]}, which is there already",
            expected="a name that is free",
            remedy="Choose another name, or say --force.",
        )
    if out.exists() and log.exists() and out.samefile(log):
        raise UsageError(doing, got="the log itself", expected="another name", remedy="Choose another name.")
    if out.is_dir() and suffix_of(out) != FOLDER:
        raise UsageError(
            doing,
            got="a folder that is no ROS 2 bag",
            expected="a name that is free",
            remedy="Choose another name: a folder of other things is not replaced.",
        )
    if not out.absolute().parent.is_dir():
        raise UsageError(
            doing,
            got="no such folder",
            expected="a folder to write into",
            remedy="Make it, or correct the path.",
        )


def _map_of(log: Path, given: Path | None) -> Path | None:
    """Return the map of a table: the one that was named, or the one that was written beside it."""
    if log.suffix.lower() not in WITH_MAP:
        if given is not None:
            raise UsageError(
                "reading --map",
                got="a map, and no log that has columns to map",
                expected=f"a log that ends in {' or '.join(sorted(WITH_MAP))}",
                remedy="Leave --map away: the log says itself what is in it.",
            )
        return None
    beside = log.with_suffix(".toml")
    return given or (beside if beside.is_file() else None)


def _names(out: Path, suffix: str) -> list[Path]:
    return [out, out.with_suffix(".toml")] if suffix in WITH_MAP else [out]


def _files(path: Path) -> Iterator[Path]:
    yield from (path.iterdir() if path.is_dir() else [path])


def _convert(source: LogSource, args: argparse.Namespace, part: Path, suffix: str) -> dict[str, Any]:
    """Write all of `source` to `part` and read it back; return what to tell."""
    target = FORMATS[suffix]
    specs = source.open()
    identity = source.identity
    module, _, name = target.writer.partition(":")
    recorder = getattr(importlib.import_module(module), name)(
        part,
        specs,
        box=identity.box,
        boot=identity.boot,
        software=agent.__version__,
        mount_up=identity.mount_up,
        meta=identity.meta,
    )
    finite = suffix in WITH_MAP
    went_in = Reckoning(finite_only=finite)
    faults = 0
    with contextlib.closing(recorder), progress.bar(f"writing {args.out}") as on_progress:
        for item in source.items():
            recorder.write(item)
            went_in.add(item)
            faults += isinstance(item, SensorFault)
            on_progress(source.progress)
    if not went_in.samples:
        raise LogFileError(
            f"converting {args.log}",
            got=" ".join(["no sample that a box has a stream for.", *source.notes]),
            expected="at least one",
            remedy="There is nothing to convert.",
        )
    lost = []
    empty = [spec.name for spec in specs if spec.name not in went_in.counts()]
    if empty and target.loses:
        lost.append(f"{', '.join(empty)}: no sample, and so not in it.")
    if faults and target.loses:
        lost.append(f"{faults:,} words on sensors that fail have no place in {target.name}.")
    if went_in.not_finite and finite:
        lost.append(f"{went_in.not_finite:,} samples hold a value that is not finite: left blank.")
    if lost and args.strict:
        raise LogFileError(
            f"converting to {args.out} with --strict",
            got=" ".join(lost),
            expected="a format that keeps everything",
            remedy="Convert to .mcap, or leave --strict away.",
        )
    verified = None
    if not args.no_verify:
        verified = _verify(part, suffix, went_in, args.out)
    return {
        "format": target.name,
        "samples": went_in.samples,
        "streams": went_in.counts(),
        "verified": verified,
        "damaged": source.damaged,
        "notes": [*source.notes, *lost],
    }


def _verify(part: Path, suffix: str, went_in: Reckoning, name: str) -> int:
    """Read `part` back; return how many samples are equal, all of them. Raises LogFileError."""
    came_out = Reckoning(finite_only=suffix in WITH_MAP)
    again = open_log(part, map_path=_map_of(part, None))
    again.open()
    with contextlib.closing(again), progress.bar(f"verifying {name}") as on_progress:
        for item in again.items():
            came_out.add(item)
            on_progress(again.progress)
    differ = went_in.differences(came_out) + (again.notes if again.damaged else [])
    if differ:
        raise LogFileError(
            f"verifying {name}",
            got=f"what differs from the log: {'; '.join(differ)}",
            expected="every sample as it was",
            remedy="Nothing was kept. This format cannot hold this log: convert to .mcap.",
        )
    return came_out.samples


def _take_name(part: Path, out: Path, suffix: str) -> None:
    """Give what was written its name, all at once; what had the name before goes only then."""
    if suffix in WITH_MAP:
        # a table without its map can be read by nobody: the map first
        part.with_suffix(".toml").replace(out.with_suffix(".toml"))
    if out.is_dir():
        old = out.with_name(f".{out.name}.old{os.getpid()}")
        out.rename(old)
        part.rename(out)
        shutil.rmtree(old)
        return
    part.replace(out)


def _forget(part: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


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
