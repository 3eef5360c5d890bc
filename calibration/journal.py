"""A session that is being written: each line is on the medium before the next step begins.

See :mod:`calibration.session` for the format, and for reading it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.errors import SessionError
from calibration.session import (
    DoneLine,
    Encoding,
    Line,
    Session,
    SessionHead,
    SessionStep,
    StepLine,
    UndoLine,
    read_session,
    step_of,
)


class Journal:
    """A session that is being written; a context manager. One program at a time has it."""

    def __init__(self, path: Path, fd: int, session: Session) -> None:
        self.path = path
        self._fd = fd
        self._head = session.head
        self._steps = list(session.steps)
        self._last_number = session.last_number

    @classmethod
    def create(cls, path: Path, head: SessionHead) -> Self:
        """Begin a session; the file must not exist yet. Raises SessionError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SessionError(
                f"beginning the session {path}",
                got=error.strerror or str(error),
                expected="a folder that this user may write to",
                remedy="Name another with --out.",
            ) from error
        _lock(path, fd)
        journal = cls(path, fd, Session(head, (), 0, "", 0, 0))
        journal._append(head)
        _sync_folder(path.parent)
        return journal

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Go on with a session; a last line that was cut is cut off. Raises SessionError."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise SessionError(
                f"going on with the session {path}",
                got=error.strerror or str(error),
                expected="a file that this user may write to",
                remedy="Copy it to a folder of your own, or fit it as it is with --session.",
            ) from error
        _lock(path, fd)
        try:
            session = read_session(path)  # again: until it was locked, another program may have gone on
            os.ftruncate(fd, session.whole_bytes)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd, session)

    @property
    def head(self) -> SessionHead:
        """Whose session it is."""
        return self._head

    @property
    def steps(self) -> tuple[SessionStep, ...]:
        """The steps that stand."""
        return tuple(self._steps)

    def append(
        self,
        kind: str,
        raw: npt.NDArray[Any],
        *,
        at: str,
        t_s: float,
        mass_kg: float = 0.0,
        place: str = "",
        temperature_degc: float | None = None,
    ) -> SessionStep:
        """Write a step with its samples, `raw` (n, axes); on the medium when this returns."""
        encoding: Encoding = "<i4" if raw.dtype.kind in "iu" else "<f4" if raw.dtype == np.float32 else "<f8"
        kept = np.ascontiguousarray(raw, dtype=encoding)
        self._last_number += 1
        line = StepLine(
            number=self._last_number,
            kind=kind,
            at=at,
            t_s=t_s,
            mass_kg=mass_kg,
            place=place,
            temperature_degc=temperature_degc,
            samples=len(kept),
            encoding=encoding,
            values=kept.tobytes(),
        )
        step = step_of(line, len(self._head.axes))
        self._append(line)
        self._steps.append(step)
        return step

    def undo(self, number: int | None = None) -> SessionStep | None:
        """Take a step back, the last that stands unless one is named; it stays in the file.

        None where there is no such step.
        """
        found = [i for i, step in enumerate(self._steps) if number in (None, step.number)]
        if not found:
            return None
        step = self._steps.pop(found[-1])
        self._append(UndoLine(number=step.number))
        return step

    def done(self, verdict: str) -> None:
        """Say that it came to its end, and to which."""
        self._append(DoneLine(verdict=verdict))

    def close(self) -> None:
        """Let go of the file; one without a step is removed, since nothing is in it."""
        if self._fd < 0:
            return
        if not self._last_number:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1

    def _append(self, line: Line) -> None:
        data = memoryview(msgspec.json.encode(line) + b"\n")
        begin = os.fstat(self._fd).st_size
        try:
            while data:
                data = data[os.write(self._fd, data) :]
            os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, begin)  # half a line would spoil what is written after it
            raise SessionError(
                f"writing the session {self.path}",
                got=error.strerror or str(error),
                expected="a medium with room",
                remedy="Make room (`df -h`); what was measured before is kept, go on with --resume.",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lock(path: Path, fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise SessionError(
            f"going on with the session {path}",
            got="another program writes to it",
            expected="one calibration of it at a time",
            remedy="End the other one, or begin a session of your own with --new.",
        ) from None


def _sync_folder(folder: Path) -> None:
    """Put the folder's own entry on the medium: without it a power cut may lose a new file's name."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
