"""The raw session: what was measured to calibrate by, step by step, in a file that survives a pulled cable.

A journal of JSON lines, UTF-8: the head, then a line a step with its raw samples, a line where a step was
taken back, and one when it came to its end. Each line is on the medium (fsync) before the next
step begins. A last line that was cut in the middle is dropped, as in the write-ahead logs of databases; any
other damage is an error. The certificate names the file by its SHA-256, so that it can be fitted again::

    {"line":"head","format":"cargobox-session/1","what":"accel","stream":"accel","axes":["x","y","z"], …}
    {"line":"step","number":1,"kind":"pose","samples":2000,"values":"…base64…","encoding":"<i4", …}
    {"line":"undo","number":1}
    {"line":"done","verdict":"good"}
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.errors import SessionError
from calibration.thermal_lag import is_measured

FORMAT = "cargobox-session/1"
SUFFIX = ".session.jsonl"
F64 = npt.NDArray[np.float64]
_LARGEST = 1e9
# Gravity on the ground is 9.76 to 9.84 m/s².
_BOUNDS = {"rate_hz": (1e-6, _LARGEST), "gravity_mps2": (9.7, 9.9), "gravity_standard_mps2": (0.0, 0.1)}
Encoding = Literal["<i4", "<f4", "<f8"]


class SessionHead(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="head", tag_field="line"
):
    """Whose samples these are, and how a raw one becomes SI: value · scale + offset.

    ``sensor``: as in the certificate. ``settings``: what the session was told (gravity, capacity, …).
    """

    format: Literal["cargobox-session/1"] = "cargobox-session/1"
    what: Literal["accel", "load"]
    stream: str
    sensor: str = ""
    unit: str
    axes: tuple[str, ...]
    rate_hz: float
    scale: float = 1.0
    offset: float = 0.0
    begun_at: str
    by: str = ""
    settings: dict[str, float | str | list[float]] = {}


class _StepLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="step", tag_field="line"
):
    number: int
    kind: str
    at: str
    t_s: float
    mass_kg: float = 0.0
    place: str = ""
    temperature_degc: float | None = None
    samples: int
    encoding: Encoding
    values: bytes


class _UndoLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="undo", tag_field="line"
):
    number: int


class _DoneLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="done", tag_field="line"
):
    verdict: str


_Line = SessionHead | _StepLine | _UndoLine | _DoneLine
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True, eq=False)
class SessionStep:
    """One step that stands. ``raw``: (n, axes) as the sensor gave it; ``t_s``: of the first sample.

    ``kind``: "pose" of an accelerometer; of load cells what `LoadSession.step` was told.
    """

    number: int
    kind: str
    at: str
    t_s: float
    raw: npt.NDArray[Any]
    mass_kg: float = 0.0
    place: str = ""
    temperature_degc: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """A session as read: the head, the steps that were not taken back, and what became of it.

    ``verdict``: what it came to; empty while it is not at its end. ``whole_bytes``: length up to the last
    whole line.
    """

    head: SessionHead
    steps: tuple[SessionStep, ...]
    undone: int
    verdict: str
    whole_bytes: int
    last_number: int

    def values(self, step: SessionStep) -> F64:
        """Return a step's samples in SI units: (n, axes)."""
        return step.raw.astype(np.float64) * self.head.scale + self.head.offset

    @property
    def samples(self) -> int:
        """Samples of all steps that stand."""
        return sum(len(step.raw) for step in self.steps)

    @property
    def temperatures_degc(self) -> tuple[float, float] | None:
        """Lowest and highest temperature among the steps; None where no thermometer was read."""
        known = [d for s in self.steps if (d := s.temperature_degc) is not None and is_measured(d)]
        return (min(known), max(known)) if known else None


def read_session(path: Path) -> Session:
    """Read a session file. Raises SessionError, in words, for whatever is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SessionError(
            f"reading the session {path}",
            got=error.strerror or str(error),
            expected="a readable session file",
            remedy="Check the path; a certificate names its session under data.file.",
        ) from error
    return parse_session(data, origin=str(path))


def parse_session(data: bytes, *, origin: str = "the session") -> Session:
    """Decode a session. Raises SessionError when it is none, or is damaged before its last line."""
    whole_bytes = data.rfind(b"\n") + 1
    lines = data[:whole_bytes].split(b"\n")[:-1]
    head: SessionHead | None = None
    steps: list[SessionStep] = []
    undone = last_number = 0
    verdict = ""
    for number, raw_line in enumerate(lines, 1):
        try:
            line = _decoder.decode(raw_line)
            if (head is None) != isinstance(line, SessionHead):
                raise ValueError("a head in the middle" if head is not None else "no head")
            if isinstance(line, SessionHead):
                head = _plausible(line)
            elif isinstance(line, _StepLine):
                assert head is not None
                steps.append(_step(line, len(head.axes)))
                last_number = max(last_number, line.number)
            elif isinstance(line, _UndoLine):
                steps = [step for step in steps if step.number != line.number]
                undone += 1
            else:
                verdict = line.verdict
        except (msgspec.MsgspecError, ValueError) as error:
            raise SessionError(
                f"reading {origin}",
                got=f"line {number}: {error}",
                expected=f"JSON lines of format {FORMAT!r}",
                remedy="The file was edited or damaged, or is something else; take the original.",
            ) from error
    if head is None:
        raise SessionError(
            f"reading {origin}",
            got="no whole line",
            expected=f"JSON lines of format {FORMAT!r}",
            remedy="It holds nothing that could be used; begin a new session.",
        )
    return Session(head, tuple(steps), undone, verdict, whole_bytes, last_number)


def _plausible(head: SessionHead) -> SessionHead:
    """Return it. Raises ValueError for numbers that no sensor and no place has: the file was edited."""
    told = {name: value for name, value in head.settings.items() if isinstance(value, float)}
    numbers = {"rate_hz": head.rate_hz, "scale": head.scale, "offset": head.offset, **told}
    for name, value in numbers.items():
        least, most = _BOUNDS.get(name, (-_LARGEST, _LARGEST))
        if not least <= value <= most:
            raise ValueError(f"{name} of {value:g}")
    return head


def _step(line: _StepLine, axes: int) -> SessionStep:
    raw = np.frombuffer(line.values, dtype=line.encoding)
    if raw.size != line.samples * axes:
        raise ValueError(f"{raw.size} values for {line.samples} samples of {axes} axes")
    return SessionStep(
        line.number,
        line.kind,
        line.at,
        line.t_s,
        raw.reshape(line.samples, axes),
        line.mass_kg,
        line.place,
        line.temperature_degc,
    )


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a session file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unfinished(folder: Path, head: SessionHead) -> list[Path]:
    """Return the sessions in `folder` of this very sensor that have steps and no end, newest first."""
    found: list[tuple[str, Path]] = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            session = read_session(path)
        except SessionError:
            continue
        theirs = session.head
        same = (theirs.what, theirs.stream, theirs.sensor, theirs.axes) == (
            head.what,
            head.stream,
            head.sensor,
            head.axes,
        )
        if same and session.steps and not session.verdict:
            found.append((theirs.begun_at, path))
    return [path for _, path in sorted(found, reverse=True)]


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

    def values(self, step: SessionStep) -> F64:
        """Return a step's samples in SI units: (n, axes)."""
        return step.raw.astype(np.float64) * self._head.scale + self._head.offset

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
        line = _StepLine(
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
        step = _step(line, len(self._head.axes))
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
        self._append(_UndoLine(number=step.number))
        return step

    def done(self, verdict: str) -> None:
        """Say that it came to its end, and to which."""
        self._append(_DoneLine(verdict=verdict))

    def close(self) -> None:
        """Let go of the file; one without a step is removed, since nothing is in it."""
        if self._fd < 0:
            return
        if not self._last_number:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1

    def _append(self, line: _Line) -> None:
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
