"""The certificate: what is known of one sensor's errors, how well, and the hash that every record names.

The model is the one that most datasheets and calibration laboratories state::

    true = gain · (measured − bias − b1·ΔT − b2·ΔT² − k·dT/dt),   ΔT = T_c − reference_degc

with ``measured`` in the stream's SI unit after its nominal scale. ``gain`` is a full matrix, so that
misalignment of axes, or four load cells that share a plate, fit in the same form. T_c is the temperature
of the sensor, which follows that of the thermometer with a lag: T_c' = (T − T_c)/lag.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from calibration.errors import CertificateError

FORMAT = "cargobox-certificate/2"
FIRST_FORMAT = "cargobox-certificate/1"
FORMATS = r"^cargobox-certificate/[12]$"
HASH_CHARS = 12
LONGEST_LAG_S = 86_400.0  # what follows the temperature by more than a day is no sensor in a van
LEAST_GRAVITY_MPS2, MOST_GRAVITY_MPS2 = 9.7, 9.9  # on the ground: 9.76 to 9.84
LEAST_DETERMINANT = 1e-9  # of a gain whose rows are scaled to length 1: below, an axis is lost
LARGEST = 1e12  # beyond it, samples of single precision come out as infinite: no sensor has such errors
Row = tuple[float, ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
# what format 1 knew, and what its hash was taken of: also of what was left out
_FIRST_FIELDS = (
    "format",
    "stream",
    "sensor",
    "gain",
    "bias",
    "temperature",
    "method",
    "made_at",
    "made_by",
    "valid_until",
)
_FIRST_TERM_FIELDS = ("reference_degc", "bias_per_degc")


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the document. What equals its default is not written, so new fields change no old hash."""

    def __post_init__(self) -> None:
        # numbers of numpy and whole ones are written as plain floats: one meaning, one hash
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.type in _FLOATS and value is not None:
                msgspec.structs.force_setattr(self, field.name, float(value))
            elif hasattr(value, "__iter__") and not isinstance(value, str):
                msgspec.structs.force_setattr(self, field.name, _plain(value))


def _plain(value: Any) -> Any:
    """Return rows of numbers as tuples of floats; other tuples as they are."""
    if isinstance(value, str | msgspec.Struct):
        return value
    if hasattr(value, "__iter__"):
        return tuple(_plain(v) for v in value)
    return float(value)


_FLOATS = (float, float | None)


class TemperatureTerm(_Document, frozen=True, kw_only=True):
    """How the bias follows temperature, an axis each: SI units per °C, per °C², and per °C/s.

    ``low_degc`` and ``high_degc``: between which it was fitted.
    """

    reference_degc: float
    bias_per_degc: Row
    bias_per_degc2: Row = ()
    bias_per_degc_per_s: Row = ()
    lag_s: float = 0.0
    low_degc: float | None = None
    high_degc: float | None = None


class Residuals(_Document, frozen=True, kw_only=True):
    """What the model leaves of the session's own points, in the stream's unit.

    ``held_out_rms``: of points that the fit did not see, each left out in turn.
    """

    rms: float
    worst: float
    points: int
    held_out_rms: float | None = None


class UncertaintyTerm(_Document, frozen=True, kw_only=True):
    """One line of the uncertainty budget (GUM, JCGM 100:2008): standard uncertainty in the stream's unit.

    ``kind``: A from statistics, B from other knowledge. ``source``: where the figure is from, in words.
    """

    name: str
    kind: Literal["A", "B"]
    standard: float
    source: str = ""


class SessionData(_Document, frozen=True, kw_only=True):
    """The raw session that it was made from: the file beside it, and the SHA-256 of that file."""

    file: str
    sha256: str
    samples: int


class Certificate(_Document, frozen=True, kw_only=True):
    """One sensor's calibration. ``gain``: (axes, axes) rows; ``bias``: (axes,) in SI units.

    ``sensor``: which sensor, in the words by which its source names it; empty fits any.
    ``standard_uncertainty``: of a corrected reading (of a scale: of the sum of its cells), k = 1, combined
    from ``uncertainty``.
    ``low_degc`` and ``high_degc``: between which the session was done, and up to which it holds.
    ``capacity`` and ``verification_interval``: of a scale as a whole, Max and e of OIML R76, in the stream's
    unit; without them its zero is watched and never followed.
    ``dead_load``: of a scale, what stands on its cells while it shows zero (the bare plate), in the stream's
    unit, where that was told: on a slope it weighs less, which zero does not know.
    ``gravity_mps2``: that which an accelerometer was held against, where its place was told; else standard.
    ``findings``: what else was found, in words: limits that were kept or not, terms that were refused.
    ``replaces``: hash of the certificate before it.
    """

    format: Annotated[str, msgspec.Meta(pattern=FORMATS)] = FORMAT
    stream: str
    sensor: str = ""
    unit: str = ""
    gain: tuple[Row, ...]
    bias: Row
    temperature: TemperatureTerm | None = None
    method: str
    residuals: Residuals | None = None
    uncertainty: tuple[UncertaintyTerm, ...] = ()
    standard_uncertainty: float | None = None
    low_degc: float | None = None
    high_degc: float | None = None
    capacity: float | None = None
    verification_interval: float | None = None
    dead_load: float | None = None
    gravity_mps2: float | None = None
    findings: tuple[str, ...] = ()
    data: SessionData | None = None
    made_at: str
    made_by: str = ""
    valid_until: str = ""
    software: str = ""
    replaces: str = ""

    @property
    def axes(self) -> int:
        """Number of axes that it corrects."""
        return len(self.bias)

    @property
    def made_ns(self) -> int | None:
        """When it was made, nanoseconds since 1970 UTC; None where ``made_at`` is no RFC 3339 time."""
        return instant_ns(self.made_at)

    @property
    def valid_until_ns(self) -> int | None:
        """Until when it holds, nanoseconds since 1970 UTC: a date until its end. None: for ever."""
        return instant_ns(self.valid_until, end_of_day=True)

    def to_json(self) -> bytes:
        """Encode canonically (keys sorted, no blanks): the bytes that the hash is taken of."""
        if self.format != FIRST_FORMAT:
            return msgspec.json.encode({**msgspec.to_builtins(self), "format": self.format}, order="sorted")
        first = {name: getattr(self, name) for name in _FIRST_FIELDS}
        if (term := self.temperature) is not None:
            first["temperature"] = {name: getattr(term, name) for name in _FIRST_TERM_FIELDS}
        return msgspec.json.encode(first, order="sorted")

    @property
    def hash(self) -> str:
        """First 12 hexadecimal digits of SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json()).hexdigest()[:HASH_CHARS]


def instant_ns(text: str, *, end_of_day: bool = False) -> int | None:
    """Return the instant of an RFC 3339 time or date, nanoseconds since 1970 UTC; None where it is neither.

    A date is its midnight, UTC, or with `end_of_day` the one that ends it.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    if "T" not in text.upper() and " " not in text:
        when = when.replace(tzinfo=UTC)
        try:
            when += _DAY if end_of_day else timedelta()
        except OverflowError:  # 9999-12-31: for ever
            return None
    if when.tzinfo is None:
        return None
    return (when - _EPOCH) // timedelta(microseconds=1) * 1000


def faults_of(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with it, as (what is there, what was expected), the worst first."""
    c, n = certificate, certificate.axes
    sizes = [len(row) for row in c.gain]
    if n == 0 or sizes != [n] * n:
        yield f"{n} biases with gain rows of {sizes}", "a square gain of as many axes as there are biases"
        return
    for name, numbers in _numbers(c):
        if not all(math.isfinite(number) for number in numbers):
            yield f"{name} with {', '.join(f'{number}' for number in numbers)}", "finite numbers"
            return
        if max(map(abs, numbers), default=0.0) > LARGEST:
            yield f"{name} with {max(numbers, key=abs):g}", f"numbers of at most {LARGEST:g}"
            return
    if abs(_determinant(c.gain)) < LEAST_DETERMINANT:
        yield f"gain {[list(row) for row in c.gain]}", "a gain that keeps the axes apart (it can be inverted)"
    yield from _term_faults(c)
    yield from _range_faults(c)
    if not c.stream:
        yield "an empty stream", "the name of the stream that it corrects"
    if c.format != FIRST_FORMAT:  # the first format took any words here
        yield from _word_faults(c)


def _range_faults(c: Certificate) -> Iterator[tuple[str, str]]:
    for what, low, high in (("certificate", c.low_degc, c.high_degc), *_term_range(c.temperature)):
        if low is not None and high is not None and low > high:
            yield f"{what} with low_degc {low:g} above high_degc {high:g}", "low_degc below high_degc"
    for name, value in _magnitudes(c):
        if value < 0:
            yield f"{name} {value:g}", "0 or more"
    for name, limit in (("capacity", c.capacity), ("verification_interval", c.verification_interval)):
        if limit is not None and limit <= 0:
            yield f"{name} {limit:g}", "more than 0"
    if c.gravity_mps2 is not None and not LEAST_GRAVITY_MPS2 <= c.gravity_mps2 <= MOST_GRAVITY_MPS2:
        yield f"gravity_mps2 {c.gravity_mps2:g}", f"{LEAST_GRAVITY_MPS2:g} to {MOST_GRAVITY_MPS2:g}"


def _word_faults(c: Certificate) -> Iterator[tuple[str, str]]:
    if c.made_ns is None:
        yield f"made_at {c.made_at!r}", "a time as in 2026-03-02T09:30:00Z (RFC 3339)"
    if c.valid_until and instant_ns(c.valid_until) is None:
        yield f"valid_until {c.valid_until!r}", "a date as in 2027-03-02, or a time (RFC 3339)"
    if c.data is not None and Path(c.data.file).name != c.data.file:
        yield f"data.file {c.data.file!r}", "the name of a file beside the certificate"


def _term_faults(c: Certificate) -> Iterator[tuple[str, str]]:
    term = c.temperature
    if term is None:
        return
    rows = {
        "bias_per_degc": term.bias_per_degc,
        "bias_per_degc2": term.bias_per_degc2,
        "bias_per_degc_per_s": term.bias_per_degc_per_s,
    }
    for name, row in rows.items():
        if len(row) != c.axes and (row or name == "bias_per_degc"):
            yield f"temperature.{name} of {len(row)} axes", f"{c.axes}, as many as there are biases"
    if not 0 <= term.lag_s <= LONGEST_LAG_S:
        yield f"temperature.lag_s {term.lag_s:g}", f"0 to {LONGEST_LAG_S:g} s"


def _term_range(term: TemperatureTerm | None) -> tuple[tuple[str, float | None, float | None], ...]:
    return () if term is None else (("temperature", term.low_degc, term.high_degc),)


def _numbers(c: Certificate) -> Iterator[tuple[str, tuple[float, ...]]]:
    yield "bias", c.bias
    yield from ((f"row {i + 1} of gain", row) for i, row in enumerate(c.gain))
    parts: tuple[tuple[str, Any], ...] = (
        ("", c),
        ("temperature.", c.temperature),
        ("residuals.", c.residuals),
        *((f"uncertainty {term.name!r}: ", term) for term in c.uncertainty),
    )
    for where, part in parts:
        for field in msgspec.structs.fields(part) if part is not None else ():
            value = getattr(part, field.name)
            if isinstance(value, float):
                yield f"{where}{field.name}", (value,)
            elif isinstance(value, tuple) and value and isinstance(value[0], float):
                yield f"{where}{field.name}", value


def _magnitudes(c: Certificate) -> Iterator[tuple[str, float]]:
    if c.residuals is not None:
        yield from (("residuals.rms", c.residuals.rms), ("residuals.worst", c.residuals.worst))
        yield "residuals.points", float(c.residuals.points)
        yield "residuals.held_out_rms", c.residuals.held_out_rms or 0.0
    yield "standard_uncertainty", c.standard_uncertainty or 0.0
    yield "dead_load", c.dead_load or 0.0
    yield from ((f"uncertainty {term.name!r}: standard", term.standard) for term in c.uncertainty)


def _determinant(rows: tuple[Row, ...]) -> float:
    """Return the determinant with each row scaled to length 1; by elimination, for a few axes."""
    lengths = [math.hypot(*row) for row in rows]
    if not all(lengths):
        return 0.0
    left = [[value / length for value in row] for row, length in zip(rows, lengths, strict=True)]
    product = 1.0
    for i in range(len(left)):
        pivot = max(range(i, len(left)), key=lambda j: abs(left[j][i]))
        left[i], left[pivot] = left[pivot], left[i]
        if left[i][i] == 0.0:
            return 0.0
        product *= left[i][i]
        for j in range(i + 1, len(left)):
            factor = left[j][i] / left[i][i]
            left[j] = [b - factor * a for a, b in zip(left[i], left[j], strict=True)]
    return product


def parse_certificate(data: bytes, *, origin: str = "certificate") -> Certificate:
    """Decode a certificate. Raises CertificateError when it is none, or contradicts itself."""
    try:
        certificate = msgspec.json.decode(data, type=Certificate)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CertificateError(
            f"reading {origin}",
            got=str(error),
            expected=f"a JSON document of format {FORMAT!r}, or {FIRST_FORMAT!r}",
            remedy="Export it again from the calibration, or take the previous one.",
        ) from error
    check(certificate, doing=f"reading {origin}")
    return certificate


def check(certificate: Certificate, *, doing: str) -> None:
    """Raise CertificateError, naming what is wrong first, where a certificate contradicts itself."""
    for got, expected in faults_of(certificate):
        raise CertificateError(
            doing, got=got, expected=expected, remedy="The file was edited or cut; take the original."
        )


def read_certificate(path: Path) -> Certificate:
    """Read a certificate file. Raises CertificateError, in words, for whatever is wrong with it."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise CertificateError(
            f"reading certificate {path}",
            got=getattr(error, "strerror", None) or str(error),
            expected="a readable JSON file",
            remedy="Check the path given: to --certificate, or under [certificates] in the configuration.",
        ) from error
    return parse_certificate(data, origin=str(path))
