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

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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

    def values(self, step: SessionStep) -> F64:
        """Return a step's samples in SI units: (n, axes)."""
        return step.raw.astype(np.float64) * self.scale + self.offset


class StepLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="step", tag_field="line"
):
    """A step, with its samples."""

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


class UndoLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="undo", tag_field="line"
):
    """A step was taken back."""

    number: int


class DoneLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="done", tag_field="line"
):
    """The session came to its end."""

    verdict: str


Line = SessionHead | StepLine | UndoLine | DoneLine
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Line)


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
            elif isinstance(line, StepLine):
                assert head is not None
                steps.append(step_of(line, len(head.axes)))
                last_number = max(last_number, line.number)
            elif isinstance(line, UndoLine):
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


def step_of(line: StepLine, axes: int) -> SessionStep:
    """Return the step that a line holds. Raises ValueError where its samples are not all there."""
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
