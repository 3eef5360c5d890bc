"""Look at the ring of raw recordings on the card, also beside a running agent, and keep what matters.

list      files, times, what is kept and why, how far back it reaches
keep      FROM TO: keep what was recorded between these times
release   ID: let what is kept under this name go when its turn comes
export    FROM TO OUT.mcap: what was recorded between these times in one file
verify    every sample read and its checksum checked; 1 if anything is damaged

Times are RFC 3339 (2027-01-15T08:00:00Z), or so long ago: 90s, 15m, 2h, 1d; `now` is now.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.blocks import NS_PER_S, Block
from agent.commands.run import numbered
from agent.commands.words import shown
from agent.config import load_config
from agent.errors import LogFileError, UsageError
from agent.log_info import LogInfo
from agent.outbox.files import Disk, holder_pid
from agent.recorder import shelf
from agent.recorder.holdings import free_bytes_at
from agent.recorder.mcap_writer import McapRecorder
from agent.recorder.reading import Excerpt, read
from agent.recorder.shelf import Keep, RingFile
from agent.report.words import duration
from agent.ring_recording import USUAL, directory_of
from agent.sources.log_source import LogOptions
from agent.sources.mcap_log import McapLog
from agent.timebase import TimeQuality, rfc3339, wall_ns_of

WHATS = ("list", "keep", "release", "export", "verify")
MB = 1e6
NS_PER_MS = 1_000_000
MOST_WHY = 200
_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-verbs."""
    parser.add_argument("what", choices=WHATS)
    parser.add_argument("which", nargs="*", metavar="…", help="FROM TO [OUT.mcap], or ID; see above")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration that names the folder")
    parser.add_argument("--dir", type=Path, metavar="DIR", help=f"the folder; default: {USUAL}")
    parser.add_argument("--why", default="by hand", metavar="TEXT", help="keep: what it is kept for")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 when something is wrong with the recordings."""
    wanted = {"keep": 2, "release": 1, "export": 3}.get(args.what, 0)
    which = args.which
    if len(which) != wanted:
        raise UsageError(
            f"reading `cargobox recordings {args.what}`",
            got=f"{len(which)} words behind it",
            expected={0: "none", 1: "an ID", 2: "FROM TO", 3: "FROM TO OUT.mcap"}[wanted],
            remedy="`cargobox recordings --help` has an example; `list` shows times and names.",
        )
    directory = _directory(args)
    action = {"list": _list, "keep": _keep, "release": _release, "export": _export, "verify": _verify}
    return action[args.what](args, directory, which)


def _directory(args: argparse.Namespace) -> Path:
    if args.dir is not None and args.config is not None:
        raise UsageError(
            "reading the command line", got="--dir and --config", expected="one of them", remedy="Drop one."
        )
    directory = args.dir
    if directory is None and args.config is not None:
        directory = directory_of(load_config(args.config))
    directory = directory or USUAL
    if not directory.is_dir():
        raise UsageError(
            f"looking at the recordings in {directory}",
            got="no such folder",
            expected="the folder of a ring: the agent makes it when it first records",
            remedy="Name it with --dir or --config; docs/recordings.md says when there is a ring.",
        )
    return Path(directory)


def _time_ns(word: str) -> int:
    now_ns = time.time_ns()
    if word == "now":
        return now_ns
    try:
        if ago := _AGO.fullmatch(word):
            before_ns = round(float(ago[1]) * _SECONDS[ago[2]] * NS_PER_S)
            if before_ns > now_ns:
                raise ValueError("a time before 1970")
            return now_ns - before_ns
        if datetime.fromisoformat(word).tzinfo is None:
            raise ValueError("no zone")
        return wall_ns_of(word)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"reading the time {word[:80]!r}",
            got=str(error),
            expected="2027-01-15T08:00:00Z, or 90s, 15m, 2h, 1d ago, or now",
            remedy="`cargobox recordings list` shows from when to when there is something.",
        ) from error


def _span(begin: str, end: str) -> tuple[int, int]:
    start_ns, end_ns = _time_ns(begin), _time_ns(end)
    if start_ns >= end_ns:
        raise UsageError(
            "reading FROM and TO", got=f"{begin} to {end}", expected="FROM before TO", remedy="Exchange them."
        )
    return start_ns, end_ns


# -- list ------------------------------------------------------------------------------------------


def _list(args: argparse.Namespace, directory: Path, _which: Sequence[str]) -> int:
    files = shelf.files_in(directory)
    keeps, unreadable = shelf.keeps_in(directory)
    settings = load_config(args.config).recorder
    document = _document(directory, files, keeps, settings.max_mib * (1 << 20))
    aside = sorted(path.name for path in directory.glob(f"*{shelf.DAMAGED_SUFFIX}"))
    wrong = [*unreadable, *(f"{name}: could not be read, and was set aside" for name in aside)]
    wrong += [f"{name}: no plain file, and so none of the ring" for name in shelf.strangers_in(directory)]
    document["wrong"] = wrong
    if args.json:
        print(json.dumps(document))
        return 1 if wrong else 0
    print(f"{directory}: {len(files)} files, {document['bytes'] / MB:.1f} MB")
    names = _short_names([keep["id"] for keep in document["keeps"]])
    for told in document["files"]:
        span = f"{_to_the_second(told['start'])} to {_to_the_second(told['end'])[11:]}"
        kept = f"  kept for {_some([names[i] for i in told['kept']])}" if told["kept"] else ""
        print(shown(f"  {span}  {told['bytes'] / MB:7.2f} MB  {told['state']:7} {told['file']}{kept}"))
        if told["lost"]:
            print(shown(f"      {told['lost']}"))
        if told["time_quality"] == TimeQuality.UNSET:
            print("      the clock was not set: the date is wrong, differences are right")
    width = max(map(len, names.values()), default=0)
    for keep in document["keeps"]:
        when = _to_the_second(keep["t"])
        print(
            shown(f"  keeps {names[keep['id']]:{width}}  {when}  {keep['bytes'] / MB:7.2f} MB  {keep['why']}")
        )
    print(f"  free on the card: {document['free_bytes'] / MB:,.0f} MB")
    if document["bytes_a_day"]:
        print(
            f"  recorded: {duration(document['recorded_s'])}; at this rate, "
            f"{document['bytes_a_day'] / MB:,.0f} MB a day, "
            f"it would reach {duration(document['may_reach_s'])} back"
        )
    for words in wrong:
        print(shown(f"  {words}"))
    return 1 if wrong else 0


def _to_the_second(moment: str) -> str:
    return f"{moment[:19]}Z" if moment else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _short_names(ids: Sequence[str]) -> dict[str, str]:
    """Return of each id what `release` takes for it: without the boot, where no other ends alike."""
    ends = {name: name.partition("-")[2] or name for name in ids}
    alike = Counter(other for name in ids for other in set(ends.values()) if name.endswith(other))
    return {name: end if alike[end] == 1 else name for name, end in ends.items()}


def _document(directory: Path, files: list[RingFile], keeps: list[Keep], max_bytes: float) -> dict[str, Any]:
    clocks = shelf.clocks(files)
    told: list[dict[str, Any]] = []
    for file in files:
        covering = [keep.id for keep in keeps if keep.covers(file)]
        extent = file.extent
        offset_ns, quality = clocks.get(file.boot, (0, TimeQuality.UNSET))
        told.append(
            {
                "file": file.path.name,
                "boot": file.boot,
                "start": "" if extent is None else rfc3339(extent.start_ns + offset_ns),
                "end": "" if extent is None else rfc3339(extent.end_ns + offset_ns),
                "time_quality": quality.value,
                "bytes": file.size_bytes,
                "state": file.state,
                "lost": "" if extent is None else extent.lost,
                "kept": covering,
            }
        )
    spans = [file.extent for file in files if file.extent is not None]
    recorded_s = sum(extent.end_ns - extent.start_ns for extent in spans) / NS_PER_S
    size_bytes = sum(file.size_bytes for file in files)
    return {
        "directory": str(directory),
        "in_use_by_pid": holder_pid(directory),
        "files": told,
        "keeps": [
            {
                "id": keep.id,
                "why": keep.why,
                "by": keep.by,
                "t": keep.t,
                "severity": keep.severity,
                "bytes": sum(file.size_bytes for file in files if keep.covers(file)),
            }
            for keep in keeps
        ],
        "bytes": size_bytes,
        "kept_bytes": sum(f.size_bytes for f in files if any(keep.covers(f) for keep in keeps)),
        "free_bytes": free_bytes_at(directory),
        "bytes_a_day": round(size_bytes / recorded_s * 86_400) if recorded_s else 0,
        "recorded_s": round(recorded_s, 1),
        "may_reach_s": round(max_bytes / size_bytes * recorded_s, 1) if size_bytes else 0.0,
    }


# -- keep, release ---------------------------------------------------------------------------------


def _keep(args: argparse.Namespace, directory: Path, which: Sequence[str]) -> int:
    start_ns, end_ns = _span(*which)
    if len(args.why) > MOST_WHY:
        raise UsageError(
            "reading --why",
            got=f"{len(args.why)} characters",
            expected=f"at most {MOST_WHY}",
            remedy="Say it in a few words.",
        )
    files = shelf.files_in(directory)
    made = []
    for boot, (offset_ns, _) in shelf.clocks(files).items():
        span = start_ns - offset_ns, end_ns - offset_ns
        name = f"{boot}-hand-{time.time_ns() // NS_PER_MS}"  # two within a second are two
        keep = Keep(id=name, boot=boot, why=args.why, by="hand", spans=(span,), t=rfc3339(time.time_ns()))
        if any(keep.covers(file) for file in files):
            _written(directory, keep)
            made.append(keep)
    if not made:
        raise _nothing(directory, f"{which[0]} to {which[1]}")
    if args.json:
        print(json.dumps({"kept": [keep.id for keep in made]}))
    else:
        for keep in made:
            count = sum(keep.covers(file) for file in files)
            print(f"{keep.id}: {count} files stay until `cargobox recordings release {keep.id}`")
    return 0


def _written(directory: Path, keep: Keep) -> None:
    shelf.write_keep(Disk(), directory, keep)
    about = directory.stat()
    if os.geteuid() == 0 and about.st_uid != 0:  # the agent must be able to let it go
        os.chown(shelf.keep_path(directory, keep), about.st_uid, about.st_gid)


def _release(args: argparse.Namespace, directory: Path, which: Sequence[str]) -> int:
    keeps, _ = shelf.keeps_in(directory)
    name = which[0]
    found = [keep for keep in keeps if keep.id == name] or [k for k in keeps if name and k.id.endswith(name)]
    if len(found) != 1:
        raise UsageError(
            f"releasing {name[:200]!r}",
            got="nothing is kept under that name" if not found else f"{len(found)} of that name",
            expected=f"one of {shown(', '.join(k.id for k in keeps))}" if keeps else "something that is kept",
            remedy="`cargobox recordings list` shows the names.",
        )
    shelf.keep_path(directory, found[0]).unlink(missing_ok=True)  # the agent may have let it go just now
    if args.json:
        print(json.dumps({"released": found[0].id}))
    else:
        print(f"{found[0].id}: its files go when their turn comes")
    return 0


def _nothing(directory: Path, span: str) -> LogFileError:
    return LogFileError(
        f"looking for recordings in {directory}",
        got=f"none of {span}",
        expected="a time of which there are some",
        remedy="`cargobox recordings list` shows from when to when there is something.",
    )


# -- export ----------------------------------------------------------------------------------------


def _export(args: argparse.Namespace, directory: Path, which: Sequence[str]) -> int:
    start_ns, end_ns = _span(which[0], which[1])
    out = Path(which[2])
    if out.suffix.lower() != ".mcap" or out.exists():
        raise UsageError(
            f"exporting to {out}",
            got="a file of this name" if out.exists() else f"a name that ends in {out.suffix!r}",
            expected="a name that is free and ends in .mcap",
            remedy="Choose another name; `cargobox convert` makes other formats of the result.",
        )
    told: list[dict[str, Any]] = []
    for excerpt in read(directory, start_ns, end_ns):
        path = numbered(out, len(told) + 1)
        samples = _written_to(path, excerpt)
        if samples:
            told.append({"file": str(path), "boot": excerpt.boot, "samples": samples, "notes": excerpt.notes})
    if not told:
        raise _nothing(directory, f"{which[0]} to {which[1]}")
    if args.json:
        print(json.dumps({"exported": told}))
    else:
        for one in told:
            print(f"{one['file']}: {one['samples']:,} samples of boot {one['boot']}")
            for note in one["notes"]:
                print(shown(f"  {note}"))
        if len(told) > 1:
            print("The agent was started anew in between: a file for each start.")
    return 0


def _written_to(path: Path, excerpt: Excerpt) -> int:
    part = path.with_name(f"{path.name}.part")
    samples = 0
    recorder = McapRecorder(
        part,
        LogInfo(
            box=excerpt.box,
            boot=excerpt.boot,
            software=excerpt.software,
            streams=excerpt.streams,
            mount_up=excerpt.mount_up,
        ),
        overwrite=True,
    )
    try:
        with recorder:
            for item in excerpt.items:
                recorder.write(item)
                samples += len(item) if isinstance(item, Block) else 0
        if samples:
            part.rename(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return samples


# -- verify ----------------------------------------------------------------------------------------


def _verify(args: argparse.Namespace, directory: Path, _which: Sequence[str]) -> int:
    told: list[dict[str, Any]] = []
    for file in shelf.files_in(directory):
        log = McapLog(file.path, LogOptions())
        try:
            log.open()
            for _ in log.items():
                pass
        except FileNotFoundError:
            continue  # it made room for others meanwhile
        except (LogFileError, OSError) as error:
            got = error.got if isinstance(error, LogFileError) else error.strerror or str(error)
            told.append({"file": file.path.name, "sound": False, "samples": 0, "notes": [got]})
            continue
        sound = file.state == "open" or not log.damaged
        told.append(
            {
                "file": file.path.name,
                "sound": sound,
                "samples": log.counters.samples,
                "notes": [] if file.state == "open" else log.notes,
            }
        )
    bad = [one for one in told if not one["sound"]]
    if args.json:
        print(json.dumps({"files": told, "damaged": len(bad)}))
    else:
        samples = sum(one["samples"] for one in told)
        print(f"{directory}: {len(told)} files, {samples:,} samples; {len(bad)} damaged")
        for one in bad:
            print(shown(f"  {one['file']}: {' '.join(one['notes'])}"))
    return 1 if bad else 0
