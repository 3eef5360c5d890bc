"""Logs of every format, damaged on purpose, and what reading them comes to; for `scripts/prove_damage`, too.

Each reading runs in a process of its own with a limit of time and of memory, since what it is held to is
that it ends, and that a length that lies takes no memory.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.blocks import Block
from agent.commands.convert_check import Reckoning
from agent.errors import FourPartError
from agent.log_info import LogInfo
from agent.sources.log_file import BAG_FOLDER_MARK, FORMATS, open_log
from tests.logs.reading import RECORDINGS
from tests.logs.trips import Trip, drive

LIMIT_S = 20
MEMORY_BYTES = 1 << 30
"""More than the process had when it was forked."""


@dataclass(frozen=True, slots=True)
class Original:
    """A whole log: the file that is damaged, what is opened, its map; and whether the format can notice."""

    name: str
    path: Path
    opened: Path
    map_path: Path | None
    checked: bool

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one damaged log."""

    what: str
    """refused, told, whole (nothing of it is wrong), silent (something is, untold), or how it broke."""
    detail: str = ""

    @property
    def clear(self) -> bool:
        return self.what in ("refused", "told", "whole")


def write(path: Path, suffix: str, trip: Trip) -> Path | None:
    """Write a trip in the format of `suffix`; return its map, if it needs one."""
    module, _, name = FORMATS[suffix].writer.partition(":")
    make = getattr(importlib.import_module(module), name)
    with make(
        path, LogInfo(box="box-7", boot="0123456789abcdef", software="0.1.0", streams=trip.specs)
    ) as recorder:
        for item in trip.items:
            recorder.write(item)
    return path.with_suffix(".toml") if suffix == ".csv" else None


def originals(folder: Path, *, seconds: float = 1.0) -> Iterator[Original]:
    """Make a log of each format in `folder`, and take the recordings made by others that are here."""
    trip = drive(seconds)
    for suffix in (".csv", ".mcap", ".bag"):
        path = folder / f"ours{suffix}"
        map_path = write(path, suffix, trip)
        yield Original(f"ours{suffix}", path, path, map_path, checked=True)
    bag = folder / "ours_ros2"
    write(bag, "/", trip)
    (stored,) = bag.glob("*.mcap")
    yield Original("ours, ROS 2", stored, bag, None, checked=True)
    yield Original("ours, ROS 2, metadata", bag / BAG_FOLDER_MARK, bag, None, checked=True)
    for name in (
        "endaq-ide/endaq-python_SSX70065.IDE",
        "endaq-ide/idelib_XS5E25D40.IDE",
        "imu-rosbags/phidgets_imu_upside_down.bag",
    ):
        path = RECORDINGS / name
        if path.exists():
            yield Original(path.name, path, path, None, checked=False)


def damaged(data: bytes, seed: int, *, cuts: int, flips: int) -> Iterator[tuple[str, bytes]]:
    """Yield copies of `data`: cut at random places, and with one to sixteen bytes changed."""
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(data), cuts).tolist():
        yield f"cut at {at}", data[:at]
    for _ in range(flips):
        copy = bytearray(data)
        places = rng.integers(0, len(data), int(rng.choice([1, 1, 4, 16]))).tolist()
        for at in places:
            copy[at] ^= int(rng.integers(1, 256))
        yield f"flipped at {places[:4]}", bytes(copy)


def put(original: Original, data: bytes, folder: Path) -> tuple[Path, Path | None]:
    """Put a damaged copy into `folder`; return what is to be opened, and its map."""
    if original.opened.is_dir():
        bag = folder / original.opened.name
        shutil.copytree(original.opened, bag)
        (bag / original.path.name).write_bytes(data)
        return bag, None
    path = folder / f"log{original.path.suffix.lower()}"
    path.write_bytes(data)
    return path, original.map_path


def samples_of(path: Path, map_path: Path | None) -> tuple[Reckoning, dict[str, dict[int, bytes]], bool]:
    """Read a log to its end: its checksums, each sample by time, and whether damage was told."""
    source = open_log(path, map_path=map_path)
    with contextlib.closing(source):
        source.open()
        reckoning, samples = Reckoning(), dict[str, dict[int, bytes]]()
        for item in source.items():
            reckoning.add(item)
            if isinstance(item, Block):
                rows = [row.tobytes() for row in item.values]
                samples.setdefault(item.stream, {}).update(zip(item.times_ns().tolist(), rows, strict=True))
        return reckoning, samples, source.damaged


def judged(path: Path, map_path: Path | None, whole: Reckoning, *, limit_s: int = LIMIT_S) -> Outcome:
    """Read a damaged log in a process of its own, and say what came of it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        outcome = Outcome("broke", "nothing was said")
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(limit_s)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
            with Path(os.devnull).open("w") as nothing:
                os.dup2(nothing.fileno(), 2)
            outcome = _judge(path, map_path, whole)
        except BaseException as error:  # whatever it is, it is what the test is about
            outcome = Outcome("broke", f"{type(error).__name__}: {error}")
        finally:
            os.write(writer, json.dumps([outcome.what, outcome.detail[:2000]]).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if not text:
        return Outcome("hung" if os.WTERMSIG(status) == signal.SIGALRM else f"died of {status}")
    what, detail = json.loads(text)
    return Outcome(what, detail)


def _judge(path: Path, map_path: Path | None, whole: Reckoning) -> Outcome:
    try:
        reckoning, _, told = samples_of(path, map_path)
    except FourPartError as error:
        return Outcome("refused", str(error))
    if told:
        return Outcome("told")
    differ = whole.differences(reckoning)
    return Outcome("silent", "; ".join(differ)) if differ else Outcome("whole")
