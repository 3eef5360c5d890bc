"""Disks that do what disks do: lose what was not synced, fill up, become read-only, refuse a sync."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from agent.outbox.files import Disk


class LosingDisk(Disk):
    """Knows what a power cut now would leave: `cut_into` makes one of the possible outcomes.

    Of a file that was written and not synced any part may be there; a name that was created or removed
    and whose directory was not synced may be there or not.
    """

    def __init__(self) -> None:
        self._paths: dict[int, Path] = {}
        self._synced_bytes: dict[Path, int] = {}
        self._new: set[Path] = set()
        self._removed: dict[Path, bytes] = {}

    def after_kill(self, source: Path, target: Path) -> LosingDisk:
        """Copy all that a killed process leaves; what was not synced is still not on the medium."""
        shutil.copytree(source, target)
        disk = LosingDisk()
        disk._synced_bytes = {target / path.name: size for path, size in self._synced_bytes.items()}
        disk._new = {target / path.name for path in self._new}
        disk._removed = {target / path.name: data for path, data in self._removed.items()}
        return disk

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._paths[fd] = path
        self._synced_bytes[path] = 0
        self._new.add(path)
        return fd

    def open_write(self, path: Path) -> int:
        fd = super().open_write(path)
        self._paths[fd] = path
        self._synced_bytes.setdefault(path, path.stat().st_size)
        return fd

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self._synced_bytes[self._paths[fd]] = os.fstat(fd).st_size

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        path = self._paths[fd]
        self._synced_bytes[path] = min(size, self._synced_bytes[path])

    def remove(self, path: Path) -> None:
        if path.exists() and path not in self._new:
            self._removed[path] = path.read_bytes()
        super().remove(path)
        self._new.discard(path)

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self._new.clear()
        self._removed.clear()

    def cut_into(self, target: Path, source: Path, choose: Callable[[int, int], int]) -> None:
        """Write into `target` what a cut may leave of `source`; `choose(low, high)` decides each case."""
        target.mkdir()
        for path in sorted(source.glob("*.seg")):
            if path in self._new and choose(0, 1):
                continue
            data = path.read_bytes()
            kept = choose(min(self._synced_bytes.get(path, len(data)), len(data)), len(data))
            hole = bytes(len(data) - kept) if choose(0, 3) == 0 else b""  # length written, contents not
            (target / path.name).write_bytes(data[:kept] + hole)
        for path, data in self._removed.items():
            if choose(0, 1):
                (target / path.name).write_bytes(data)


class RefusingDisk(Disk):
    """Refuses what `refuses` names, with the error of `error`: any of write, sync, create, remove."""

    def __init__(self) -> None:
        self.refuses: frozenset[str] = frozenset()
        self.error = errno.ENOSPC
        self.on_write: Callable[[], None] = lambda: None
        self.room_bytes: int | None = None
        """What may still be written, in all; a write that does not fit is written in part."""

    def create(self, path: Path) -> int:
        self._check("create")
        return super().create(path)

    def open_write(self, path: Path) -> int:
        self._check("open_write")
        return super().open_write(path)

    def make_directory(self, path: Path) -> None:
        self._check("make_directory")
        super().make_directory(path)

    def write_at(self, fd: int, offset: int, data: bytes) -> None:
        self._check("write")
        self.on_write()
        if self.room_bytes is not None and len(data) > self.room_bytes:
            super().write_at(fd, offset, data[: self.room_bytes])
            self.room_bytes = 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write_at(fd, offset, data)
        if self.room_bytes is not None:
            self.room_bytes -= len(data)

    def sync(self, fd: int) -> None:
        self._check("sync")
        super().sync(fd)

    def remove(self, path: Path) -> None:
        self._check("remove")
        super().remove(path)

    def _check(self, what: str) -> None:
        if what in self.refuses:
            raise OSError(self.error, os.strerror(self.error))
