"""The certificate: what is known of one sensor's errors, and the hash that every record names.

The model is the one that most datasheets and calibration laboratories state::

    true = gain · (measured − bias − bias_per_degc · (T − reference_degc))

with ``measured`` in the stream's SI unit after its nominal scale. ``gain`` is a full matrix, so that
misalignment of axes, or four load cells that share a plate, fit in the same form.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec

from calibration.errors import CertificateError

FORMAT = "cargobox-certificate/1"
HASH_CHARS = 12
Row = tuple[float, ...]


class TemperatureTerm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the bias follows temperature: SI units per °C, an axis each."""

    reference_degc: float
    bias_per_degc: Row


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sensor's calibration. ``gain``: (axes, axes) rows; ``bias``: (axes,) in SI units."""

    format: Annotated[str, msgspec.Meta(pattern=f"^{FORMAT}$")] = FORMAT
    stream: str
    sensor: str = ""
    gain: tuple[Row, ...]
    bias: Row
    temperature: TemperatureTerm | None = None
    method: str
    made_at: str
    made_by: str = ""
    valid_until: str = ""

    @property
    def axes(self) -> int:
        """Number of axes that it corrects."""
        return len(self.bias)

    def to_json(self) -> bytes:
        """Encode canonically (keys sorted, no blanks): the bytes that the hash is taken of."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def hash(self) -> str:
        """First 12 hexadecimal digits of SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json()).hexdigest()[:HASH_CHARS]


def parse_certificate(data: bytes, *, origin: str = "certificate") -> Certificate:
    """Decode a certificate. Raises CertificateError when it is none, or contradicts itself."""
    try:
        certificate = msgspec.json.decode(data, type=Certificate)
    except msgspec.MsgspecError as error:
        raise CertificateError(
            f"reading {origin}",
            got=str(error),
            expected=f"a JSON document of format {FORMAT!r}",
            remedy="Export it again from the calibration, or take the previous one.",
        ) from error
    n = certificate.axes
    sizes = [len(row) for row in certificate.gain]
    slope = certificate.temperature
    if n == 0 or sizes != [n] * n or (slope is not None and len(slope.bias_per_degc) != n):
        raise CertificateError(
            f"reading {origin}",
            got=f"{n} biases with gain rows of {sizes}",
            expected="a square gain and a temperature term of as many axes as there are biases",
            remedy="The file was edited or cut; take the original.",
        )
    return certificate


def read_certificate(path: Path) -> Certificate:
    """Read a certificate file. Raises CertificateError, in words, for whatever is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CertificateError(
            f"reading certificate {path}",
            got=error.strerror or str(error),
            expected="a readable JSON file",
            remedy="Check the path under [certificates] in the configuration.",
        ) from error
    return parse_certificate(data, origin=str(path))
