"""Until when an X.509 certificate is good, read from its file before anyone connects with it.

Python's ssl tells it of the far end's certificate only. Nothing is verified here: TLS does that.
DER: ITU-T X.690; the order of the fields: RFC 5280, 4.1.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_FIELDS_BEFORE_VALIDITY = 3  # serial number, signature algorithm, issuer


def ends_s(text: str) -> list[float]:
    """Return the end of validity (Unix time) of each certificate of a PEM file. Raises ValueError."""
    return [_end_s(ssl.PEM_cert_to_DER_cert(pem)) for pem in _PEM.findall(text)]


def _end_s(der: bytes) -> float:
    (certificate,) = _elements(der)
    fields = [
        part for part in _elements(_inside(next(_elements(_inside(certificate))))) if part[0] != _VERSION
    ]
    _begin, end = _elements(_inside(fields[_FIELDS_BEFORE_VALIDITY]))
    words = end[1].decode("ascii")
    if end[0] == _UTC_TIME:  # two digits of the year; RFC 5280, 4.1.2.5.1
        words = ("20" if int(words[:2]) < 50 else "19") + words
    elif end[0] != _GENERALIZED_TIME:
        raise ValueError("no time where the end of validity should be")
    return datetime.strptime(words, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _inside(element: tuple[int, bytes]) -> bytes:
    tag, content = element
    if tag != _SEQUENCE:
        raise ValueError(f"0x{tag:02x} where a sequence should be")
    return content


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element, one after the other."""
    at = 0
    while at < len(der):
        if at + 2 > len(der):
            raise ValueError("cut short")
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError("cut short")
        yield tag, der[at : at + length]
        at += length
