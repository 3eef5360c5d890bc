"""One log to one file of another format: written beside its name, read back, compared, then named."""

from __future__ import annotations

import contextlib
import glob
import importlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import agent
from agent.blocks import SensorFault
from agent.commands.convert_check import Reckoning
from agent.errors import LogFileError, UsageError
from agent.log_info import LogInfo
from agent.replay.selection import map_of
from agent.sources.log_file import FOLDER, FORMATS, WITH_MAP, LogSource, open_log, suffix_of

_WRITING = 0.6  # of the work, as progress counts it; the rest is reading back


@dataclass(frozen=True, slots=True)
class Wish:
    """How logs are to be converted. ``take``: stream → the channel or topic that becomes it."""

    force: bool = False
    strict: bool = False
    verify: bool = True
    take: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A log, its map, and what is to be made of it; ``suffix`` as `FORMATS` knows it."""

    log: Path
    out: Path
    suffix: str
    map_path: Path | None

    @property
    def names(self) -> tuple[Path, ...]:
        """What will stand there: a table has its map beside it."""
        return (self.out, self.out.with_suffix(".toml")) if self.suffix in WITH_MAP else (self.out,)

    @property
    def taken(self) -> list[Path]:
        """Which of these names something has already."""
        return [path for path in self.names if path.exists()]


def check_free(task: Task, *, force: bool) -> None:
    """Refuse what would write over something else. Raises UsageError."""
    out = task.out
    doing = f"converting to {out}"
    if task.taken and not force:
        raise UsageError(
            doing,
            got=f"{task.taken[0]}, which is there already",
            expected="a name that is free",
            remedy="Choose another name, or say --force.",
        )
    if out.exists() and task.log.exists() and out.samefile(task.log):
        raise UsageError(doing, got="the log itself", expected="another name", remedy="Choose another name.")
    if task.map_path is not None and any(
        path.exists() and path.samefile(task.map_path) for path in task.names
    ):
        raise UsageError(
            doing,
            got=f"{task.map_path}, the map that the log is read by",
            expected="another name: the map that is written would replace it",
            remedy="Choose another name.",
        )
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


def convert(
    task: Task,
    wish: Wish,
    on_progress: Callable[[float], None] = lambda _: None,
    on_verified: Callable[[dict[str, Any], Sequence[Path]], None] = lambda _document, _paths: None,
) -> dict[str, Any]:
    """Convert, whether or not something has the name; return what to tell. Nothing half is ever left.

    `on_verified` is called with that, and with where each of `task.names` stands until it has its name.

    Raises LogFileError, UsageError, ConfigError, OSError.
    """
    out, suffix = task.out, task.suffix
    _tidy(out)
    source = open_log(task.log, map_path=task.map_path, take=wish.take)
    # in a folder, so that it has its own name from the start: a ROS 2 bag holds the name that it began with
    unfinished = out.with_name(f".{out.stem}.part{os.getpid()}")
    part = unfinished / out.name
    try:
        unfinished.mkdir()
        document = _written(source, task, wish, part, on_progress)
        size = sum(path.stat().st_size for path in _files(part))
        document = {"in": str(task.log), "out": str(out), **document, "bytes": size}
        on_verified(document, [unfinished / path.name for path in task.names])
        _take_name(part, out, suffix)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        source.close()
    return document


def _tidy(out: Path) -> None:
    """Take away what a killed conversion to `out` left, and put back what it was about to replace."""
    for kind in ("part", "old"):
        stem = out.stem if kind == "part" else out.name
        for left in out.parent.glob(f".{glob.escape(stem)}.{kind}*"):
            pid = left.name.rpartition(kind)[2]
            if not pid.isdigit() or Path("/proc", pid).exists():
                continue
            if kind == "old" and not out.exists():
                left.rename(out)
            else:
                shutil.rmtree(left, ignore_errors=True)


def _written(
    source: LogSource, task: Task, wish: Wish, part: Path, on_progress: Callable[[float], None]
) -> dict[str, Any]:
    """Write all of `source` to `part` and read it back; return what to tell."""
    target = FORMATS[task.suffix]
    specs = source.open()
    identity = source.identity
    module, _, name = target.writer.partition(":")
    recorder = getattr(importlib.import_module(module), name)(
        part,
        LogInfo(
            box=identity.box,
            boot=identity.boot,
            software=agent.__version__,
            streams=specs,
            mount_up=identity.mount_up,
            meta=dict(identity.meta),
        ),
    )
    finite = task.suffix in WITH_MAP
    went_in = Reckoning(finite_only=finite)
    faults = 0
    share = _WRITING if wish.verify else 1.0
    with contextlib.closing(recorder):
        for item in source.items():
            recorder.write(item)
            went_in.add(item)
            faults += isinstance(item, SensorFault)
            on_progress(share * source.progress)
    if not went_in.samples:
        raise LogFileError(
            f"converting {task.log}",
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
    if lost and wish.strict:
        raise LogFileError(
            f"converting to {task.out} with --strict",
            got=" ".join(lost),
            expected="a format that keeps everything",
            remedy="Convert to .mcap, or leave --strict away.",
        )
    verified = None
    if wish.verify:
        verified = verify(part, task, went_in, lambda done: on_progress(_WRITING + (1 - _WRITING) * done))
    return {
        "format": target.name,
        "samples": went_in.samples,
        "streams": went_in.counts(),
        "verified": verified,
        "damaged": source.damaged,
        "notes": [*source.notes, *lost],
    }


def verify(part: Path, task: Task, went_in: Reckoning, on_progress: Callable[[float], None]) -> int:
    """Read `part` back; return how many samples are equal, all of them. Raises LogFileError."""
    came_out = Reckoning(finite_only=task.suffix in WITH_MAP)
    again = open_log(part, map_path=map_of(part, None))
    again.open()
    with contextlib.closing(again):
        for item in again.items():
            came_out.add(item)
            on_progress(again.progress)
    differ = went_in.differences(came_out) + (again.notes if again.damaged else [])
    if differ:
        raise LogFileError(
            f"verifying {task.out}",
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


def _files(path: Path) -> Iterator[Path]:
    yield from (path.iterdir() if path.is_dir() else [path])
