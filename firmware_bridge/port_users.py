"""Which programs have a port open: proc(5), /proc/PID/fd, and for those of other users proc_locks(5).

Only root sees the open files of other users' programs. But a program that locks its port, as ours do, is
listed in /proc/locks, and its command line is for everybody to read.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PTY_FOLDER = "/dev/pts/"
COMMAND_LETTERS = 60


@dataclass(frozen=True, slots=True)
class PortUser:
    """A process that has the port open."""

    pid: int
    command: str

    @property
    def is_agent(self) -> bool:
        """Whether it is an agent of ours: ``cargobox run``, in whatever way it was started."""
        words = self.command.split()
        ours = any(word.endswith("cargobox") or word in {"agent.cli", "agent/cli.py"} for word in words)
        return ours and "run" in words

    def __str__(self) -> str:
        short = self.command[:COMMAND_LETTERS].rstrip()
        return f"{short}{'…' if len(self.command) > len(short) else ''} (process {self.pid})"


def users_of(name: str) -> tuple[PortUser, ...]:
    """Return the processes, but this one, that have the port `name` open, as far as this user may see."""
    try:
        about = os.stat(name)
    except OSError:
        return ()
    pids = _openers(os.path.realpath(name)) | _lockers(about)
    return tuple(PortUser(pid, _command(pid)) for pid in sorted(pids - {os.getpid()}))


def _openers(device: str) -> set[int]:
    """Return who has the device open; for a pty, who holds its far end is the device itself, and no user."""
    found = set()
    number = device.removeprefix(PTY_FOLDER) if device.startswith(PTY_FOLDER) else ""
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            opened = {fd.name: os.readlink(fd.path) for fd in os.scandir(folder / "fd")}
            far_ends = [fd for fd, path in opened.items() if number and path.endswith("/ptmx")]
            if device in opened.values() and not any(_is_far_end(folder, fd, number) for fd in far_ends):
                found.add(int(folder.name))
    return found


def _is_far_end(folder: Path, fd: str, number: str) -> bool:
    """Return whether an open /dev/ptmx belongs to /dev/pts/`number` (proc_pid_fdinfo(5))."""
    lines = (folder / "fdinfo" / fd).read_text().splitlines()
    return any(line.split() == ["tty-index:", number] for line in lines)


def _lockers(about: os.stat_result) -> set[int]:
    """Return who holds a lock on the file; its line ends in ``MAJOR:MINOR:INODE START END``."""
    mark = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    found = set()
    with contextlib.suppress(OSError, ValueError):
        for line in (PROC / "locks").read_text().splitlines():
            fields = line.split()
            # a lock that is waited for has "->" in front; 0 is a process of another container
            if len(fields) > 5 and fields[1] != "->" and fields[5] == mark and int(fields[4]) > 0:
                found.add(int(fields[4]))
    return found


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        plain = [os.fsdecode(word) for word in words if word]
        if plain:
            return " ".join([os.path.basename(plain[0]), *plain[1:]])
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "comm").read_text().strip()
    return "a program"
