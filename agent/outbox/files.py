"""The one door between the outbox and the disk.

Every write, sync, removal and directory sync of the outbox goes through a `Disk`, so that a test can
stand in for it and cut the power, or fill the disk, at each of them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from agent.errors import OutboxError
from agent.plain_files import read_regular

LOCK_NAME = "lock"
PAGE_BYTES = 4096
MOST_SEGMENT = 1 << 31
"""The index has 32 bits for a segment's number, and 0 is no file; no card lives to see so many."""


class Disk:
    """The real disk. Every method raises OSError and nothing else."""

    def make_directory(self, path: Path) -> None:
        """Create `path` and its missing parents, each durable before the next."""
        missing = [p for p in (path, *path.parents) if not p.exists()]
        for directory in reversed(missing):
            directory.mkdir(exist_ok=True)
            self.sync_directory(directory.parent)

    def create(self, path: Path) -> int:
        """Create a file that must not exist yet, and open it."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open_write(self, path: Path) -> int:
        """Open a file that exists, to write to it."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open_read(self, path: Path) -> int:
        """Open a file that exists, to read it."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def write_at(self, fd: int, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`.

        By offset, not by append: what a failed write left behind is simply written over by the next.
        """
        written = os.pwrite(fd, data, offset)
        view = memoryview(data)[written:] if written < len(data) else None
        while view:
            offset += written
            written = os.pwrite(fd, view, offset)
            view = view[written:]

    def write_soon(self, fd: int, offset: int, data: bytes) -> None:
        """Write as `write_at` does, and have the kernel begin at once: a sync that follows waits for less.

        Linux writes the pages that are dirty and forgets the ones that lie in the range whole (mm/fadvise.c):
        less than a page has none of these. It is a hint: where it is not taken, the sync does it all.
        """
        self.write_at(fd, offset, data)
        if len(data) < PAGE_BYTES:
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, offset, len(data), os.POSIX_FADV_DONTNEED)

    def read_at(self, fd: int, offset: int, size: int) -> bytes:
        """Read up to `size` bytes at `offset`."""
        return os.pread(fd, size, offset)

    def read_file(self, path: Path) -> bytes:
        """Read a whole file."""
        return read_regular(path)

    def sync(self, fd: int) -> None:
        """Return when the file's data is on the medium."""
        os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file to `size` bytes."""
        os.ftruncate(fd, size)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink(missing_ok=True)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file over another."""
        old.replace(new)

    def close(self, fd: int) -> None:
        """Close a file."""
        os.close(fd)

    def hurry(self) -> contextlib.AbstractContextManager[None]:
        """Have no call, whoever's, wait for longer than one may, all together, inside the ``with``."""
        return contextlib.nullcontext()

    def sync_directory(self, path: Path) -> None:
        """Return when the names in `path` are on the medium."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class DirectoryLock:
    """Holds an outbox for this process; a second agent on the same directory is told so."""

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK_NAME
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            if path.is_symlink() or path.is_dir():
                raise OutboxError(
                    f"opening the outbox {directory}",
                    got=f"{path} is a {'link' if path.is_symlink() else 'folder'} that cannot be opened",
                    expected="a plain file, or none",
                    remedy=f"Take {path} away: the agent makes it anew.",
                ) from error
            if error.errno != errno.EROFS:
                raise
            try:
                self._fd = os.open(
                    path, os.O_RDONLY | os.O_CLOEXEC
                )  # a card gone read-only can still be sent
            except FileNotFoundError:  # there is nothing on it yet
                raise error from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            pid = holder_pid(directory)
            raise OutboxError(
                f"opening the outbox {directory}",
                got=f"another process{f' (pid {pid})' if pid else ''} holds it",
                expected="one agent for each outbox",
                remedy="Stop the other agent, or give this one its own outbox directory; "
                "`cargobox outbox stats` reads beside a running agent.",
            ) from None

    def release(self) -> None:
        """Let another process take the outbox."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


def holder_pid(directory: Path) -> int | None:
    """Return the process that holds the outbox, without touching the lock (proc_locks(5)).

    Trying the lock instead would make an agent that starts at this moment believe it is taken.
    """
    try:
        inode = (directory / LOCK_NAME).stat().st_ino
        table = Path("/proc/locks").read_text()
    except OSError:
        return None
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rsplit(":", 1)[-1] == str(inode):
            return int(fields[4])
    return None


def segment_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"{number:08d}.seg"


def segment_files(directory: Path) -> Iterator[tuple[int, Path]]:
    """Return the segments of an outbox, oldest first."""
    numbered = [
        (int(path.stem), path)
        for path in directory.glob("*.seg")
        if path.stem.isascii() and path.stem.isdigit()
    ]
    yield from sorted(numbered)
