"""A disk that shows what a power cut would leave, at every step: each call, and each byte of each write.

Three ends, between which a real disk lies (`LosingDisk` chooses among what is between):

* all that was written is there (so it is, too, after a process was killed);
* nothing is there that was not synced, no name whose directory was not;
* names are there, and what was not synced of their files is not.

Of the write that is cut, the bytes up to the cut are there, in all three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.outbox.files import Disk

Snapshot = dict[str, bytes]


@dataclass(eq=False)
class _File:
    live: bytes = b""
    synced: bytes = b""


@dataclass
class CuttingDisk(Disk):
    """Calls `on_cut` with the name of the step and each snapshot.

    ``every``: of the bytes of a write, only each so-manieth; the first, all but the last, and none always.
    ``shard`` (which, of how many): only its part of the cuts, so that several processes can do them all.
    """

    directory: Path
    on_cut: Callable[[str, Snapshot], None]
    every: int = 1
    shard: tuple[int, int] = (0, 1)
    steps: Counter[str] = field(default_factory=Counter)
    _live: dict[str, _File] = field(default_factory=dict)
    _durable: dict[str, _File] = field(default_factory=dict)
    _open: dict[int, _File] = field(default_factory=dict)
    _calls: int = 0

    def __post_init__(self) -> None:
        if self.directory.exists():
            self._live = {p.name: _File(p.read_bytes(), p.read_bytes()) for p in self.directory.iterdir()}
            self._durable = dict(self._live)

    def _cut(self, what: str, torn: tuple[_File, int, bytes] | None = None) -> None:
        self.steps[what] += 1
        which, shards = self.shard
        if (self._calls + (len(torn[2]) if torn else 0)) % shards == which:
            for snapshot in self._ends(torn):
                self.on_cut(what, snapshot)

    def _torn_at(self, size: int) -> list[int]:
        return sorted({0, 1, size - 1, *range(0, size, self.every)} - {-1})

    def _ends(self, torn: tuple[_File, int, bytes] | None) -> Iterator[Snapshot]:
        def patched(file: _File, data: bytes) -> bytes:
            return data if torn is None or torn[0] is not file else _over(data, torn[1], torn[2])

        yield {name: patched(f, f.live) for name, f in self._live.items()}
        yield {name: patched(f, f.synced) for name, f in self._durable.items()}
        yield {name: patched(f, f.synced) for name, f in self._live.items()}

    def synced(self) -> Snapshot:
        """Return what is there when all is lost that was not synced."""
        return {name: file.synced for name, file in self._durable.items()}

    def create(self, path: Path) -> int:
        self._calls += 1
        self._cut("create")
        fd = super().create(path)
        self._open[fd] = self._live[path.name] = _File()
        return fd

    def open_write(self, path: Path) -> int:
        fd = super().open_write(path)
        self._open[fd] = self._live[path.name]
        return fd

    def write_at(self, fd: int, offset: int, data: bytes) -> None:
        file = self._open[fd]
        self._calls += 1
        for length in self._torn_at(len(data)):
            self._cut("write", (file, offset, data[:length]))
        super().write_at(fd, offset, data)
        file.live = _over(file.live, offset, data)

    def sync(self, fd: int) -> None:
        self._calls += 1
        self._cut("sync")
        super().sync(fd)
        self._open[fd].synced = self._open[fd].live

    def truncate(self, fd: int, size: int) -> None:
        self._calls += 1
        self._cut("truncate")
        super().truncate(fd, size)
        self._open[fd].live = self._open[fd].live[:size]

    def remove(self, path: Path) -> None:
        if path.name in self._live:
            self._calls += 1
            self._cut("remove")
        super().remove(path)
        self._live.pop(path.name, None)

    def rename(self, old: Path, new: Path) -> None:
        self._calls += 1
        self._cut("rename")
        super().rename(old, new)
        self._live[new.name] = self._live.pop(old.name)

    def sync_directory(self, path: Path) -> None:
        self._calls += 1
        self._cut("sync directory")
        super().sync_directory(path)
        if path == self.directory:
            self._durable = dict(self._live)


def _over(data: bytes, offset: int, patch: bytes) -> bytes:
    return data[:offset].ljust(offset, b"\0") + patch + data[offset + len(patch) :]
