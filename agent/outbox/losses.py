"""What was not kept, until a gap record says so: durable, in a small file beside the segments.

A loss is noted on the medium before the records go, and forgotten after the gap record that tells of it is
on the medium. A cut in between has it told once too often, never not at all. Records that were lost may
themselves stand for others: thinned features, and gap records of this kind. Then all of them are noted.
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import PayloadError
from agent.outbox.documents import Waiting
from agent.outbox.files import Disk
from agent.records import Kind, Record, decode
from agent.thinning import REASON, joined_runs

FILE_NAME = "dropped.json"
REFUSED = "refused"
"""By the broker; `REASON` is that of all others."""
MOST_RUNS = 256
"""Of one kind, boot, reason; beyond, the nearest become one, and what lies between them counts as told of."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """Records of one kind and one boot that were not kept: runs [first, last] of their numbers."""

    kind: str
    boot: str
    seqs: tuple[tuple[int, int], ...]
    reason: str = REASON

    def body(self) -> dict[str, Any]:
        """Return the body of the gap record that tells of it."""
        return {
            "kind": self.kind,
            "of": self.boot,
            "first": self.seqs[0][0],
            "last": self.seqs[-1][1],
            "seqs": [list(run) for run in self.seqs],
            "reason": self.reason,
        }


class _Noted(msgspec.Struct, frozen=True, array_like=True):
    """A loss in the file."""

    kind: str
    boot: str
    runs: list[tuple[int, int]]
    reason: str = REASON


def losses_of(waiting: Waiting, reason: str = REASON) -> list[Loss]:
    """Return what is lost with a record: itself, and what it stands for."""
    own = Loss(waiting.kind, waiting.boot, ((waiting.seq, waiting.seq),), reason)
    if waiting.kind not in (Kind.FEATURES, Kind.GAP):
        return [own]
    try:
        document = decode(waiting.payload)
    except PayloadError:
        return [own]
    runs = tuple((run[0], run[1]) for run in document.get("seqs", ()))
    if not runs:
        return [own]
    if waiting.kind == Kind.FEATURES:
        return [Loss(waiting.kind, waiting.boot, runs, reason)]
    return [own, Loss(document["kind"], document["of"], runs, document.get("reason", REASON))]


class LossBook:
    """Safe across threads. Never raises."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._runs: dict[tuple[str, str, str], list[list[int]]] = {}
        self._is_written = True
        self._lock = threading.Lock()  # for microseconds
        self._writing = threading.Lock()  # for as long as the medium takes
        self._read()

    def __len__(self) -> int:
        return len(self._runs)

    def note(self, losses: Iterable[Loss]) -> None:
        """Note losses; on the medium on return, if that takes anything."""
        self.add(losses)
        self.write()

    def add(self, losses: Iterable[Loss]) -> None:
        """Note losses, on the medium with the next `write`."""
        with self._lock:
            for loss in losses:
                key = loss.kind, loss.boot, loss.reason
                self._runs[key] = _bounded(joined_runs([*self._runs.get(key, []), *loss.seqs]))
                self._is_written = False

    def all(self) -> list[Loss]:
        """Return what no gap record has told of yet."""
        with self._lock:
            return [
                Loss(kind, boot, tuple((first, last) for first, last in runs), reason)
                for (kind, boot, reason), runs in self._runs.items()
            ]

    def told(self, losses: Iterable[Loss], by: Iterable[Record]) -> None:
        """Forget losses, each told of by a gap record that is on the medium, unless that was lost itself."""
        with self._lock:
            for loss, gap in zip(losses, by, strict=True):
                if self._is_lost(gap):
                    continue  # for want of room, while it was put: then all it told of is noted anew
                key = loss.kind, loss.boot, loss.reason
                left = _without(self._runs.pop(key, []), loss.seqs)
                if left:
                    self._runs[key] = left
            self._is_written = False
        self.write()

    def _is_lost(self, gap: Record) -> bool:
        lost = itertools.chain.from_iterable(
            runs for (kind, boot, _), runs in self._runs.items() if (kind, boot) == (Kind.GAP, gap.boot)
        )
        return any(first <= gap.seq <= last for first, last in lost)

    def write(self) -> None:
        """Write what the medium did not take before."""
        with self._writing:
            with self._lock:
                if self._is_written:
                    return
                self._is_written = True
                noted = [[kind, boot, runs, reason] for (kind, boot, reason), runs in self._runs.items()]
                data = msgspec.json.encode(noted)
            try:
                replace_file(self._disk, self._directory / FILE_NAME, data)
            except OSError as error:
                self._is_written = False
                _log.debug("outbox: what was not kept cannot be noted on the card: %s", error)

    def _read(self) -> None:
        try:
            found = msgspec.json.decode(self._disk.read_file(self._directory / FILE_NAME), type=list[_Noted])
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("outbox: %s cannot be read: %s", FILE_NAME, error)
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _log.warning(
                "outbox: %s is damaged (%s) and begun anew: of losses that it noted nobody is told",
                FILE_NAME,
                error,
            )
            self._is_written = False
            self.write()  # said once, not at each start
            return
        for noted in found:
            if runs := [run for run in noted.runs if 0 <= run[0] <= run[1] <= sys.maxsize]:
                self._runs[noted.kind, noted.boot, noted.reason] = _bounded(joined_runs(runs))


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Write a small file anew: the old one or the new one is there, whenever the power goes."""
    new = path.with_suffix(".new")
    disk.remove(new)
    fd = disk.create(new)
    try:
        disk.write_at(fd, 0, data)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.rename(new, path)
    disk.sync_directory(path.parent)


def _bounded(runs: list[list[int]]) -> list[list[int]]:
    while len(runs) > MOST_RUNS:
        holes = [after[0] - before[1] for before, after in itertools.pairwise(runs)]
        at = holes.index(min(holes))
        runs[at : at + 2] = [[runs[at][0], runs[at + 1][1]]]
    return runs


def _without(runs: list[list[int]], gone: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return runs less other runs."""
    for low, high in gone:
        left: list[list[int]] = []
        for first, last in runs:
            if last < low or first > high:
                left.append([first, last])
                continue
            if first < low:
                left.append([first, low - 1])
            if last > high:
                left.append([high + 1, last])
        runs = left
    return runs
