"""Pieces of raw samples in as few bytes as they need, without any loss, and back to the last bit.

For pieces of 1 to 10 s of one stream, its axes side by side; made for a snippet that goes over a thin link.
Python and numpy do it alone. What makes it small, each in a file of its own: what numbers really are
(`forms`), prediction that is learnt on the way and costs no bytes (`prediction`), probabilities by how far
off the last predictions were (`wholes`, `tables`), and a coder that loses nothing of them (`ans`).

A piece: a first byte (version, number format, axes or none, form), the number of rows, that of axes, each a
varint; the coded samples; and a CRC of all of it, 16 bits (CRC-16/CCITT, as in the XMODEM protocol).
Whatever a decoder is given, it gives back samples or raises ValueError, in bounded time and memory.
"""

from __future__ import annotations

import binascii
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec import forms
from agent.sample_codec.ans import Reader

VERSION = 2
READ_VERSIONS = (1, 2)
MOST_VALUES = 1 << 20
MOST_AXES = 64
_TYPES = tuple(np.dtype(name) for name in ("int16", "int32", "float32", "float64"))
_HAS_AXES = 0x10
_CRC_BYTES = 2

Values = npt.NDArray[Any]


def encode(values: Values) -> bytes:
    """Return (n,) or (n, axes) int16, int32, float32 or float64, coded. Raises ValueError."""
    dtype = values.dtype.newbyteorder("=")
    if dtype not in _TYPES or values.ndim not in (1, 2):
        raise ValueError(f"cannot code {values.ndim} dimensions of {values.dtype}")
    if values.size > MOST_VALUES or max(values.shape) > MOST_VALUES or values.shape[1:] > (MOST_AXES,):
        raise ValueError(f"cannot code {values.shape} numbers at once: at most {MOST_VALUES}")
    sizes = _varint(len(values)) + (_varint(values.shape[1]) if values.ndim == 2 else b"")
    form, body = forms.Form.BITS, b""
    if values.size:
        table = np.ascontiguousarray(values.astype(dtype, copy=False)).reshape(len(values), -1)
        form, out = forms.write(table)
        body = out.bytes()
        if len(body) > table.nbytes and dtype.itemsize > 2:
            bits_form, out = forms.write_bits(table)
            form, body = min((form, body), (bits_form, out.bytes()), key=lambda coded: len(coded[1]))
    head = VERSION << 5 | (_HAS_AXES if values.ndim == 2 else 0) | _TYPES.index(dtype) << 2 | form
    coded = bytes((head,)) + sizes + body
    return coded + binascii.crc_hqx(coded, 0xFFFF).to_bytes(_CRC_BYTES, "big")


def decode(data: bytes) -> Values:
    """Return what was coded, bit by bit as it was. Raises ValueError for anything else."""
    coded = data[:-_CRC_BYTES]
    if len(data) <= _CRC_BYTES:
        raise ValueError(f"{len(data)} bytes are no coded samples")
    if binascii.crc_hqx(coded, 0xFFFF).to_bytes(_CRC_BYTES, "big") != data[-_CRC_BYTES:]:
        raise ValueError("coded samples are damaged: their checksum does not match")
    head = coded[0]
    version = head >> 5
    if version not in READ_VERSIONS:
        raise ValueError(f"coded samples of version {version}; this reads versions up to {VERSION}")
    rows, at = _read_varint(coded, 1)
    shape: tuple[int, ...] = (rows,)
    if head & _HAS_AXES:
        axes, at = _read_varint(coded, at)
        shape = (rows, axes)
    dtype = _TYPES[head >> 2 & 3]
    size = rows * (shape[1] if len(shape) == 2 else 1)
    if size > MOST_VALUES or max(shape) > MOST_VALUES or shape[1:] > (MOST_AXES,):
        raise ValueError(f"coded samples that claim {shape} numbers: at most {MOST_VALUES}")
    if not size:
        if at != len(coded):
            raise ValueError("coded samples where there are none")
        return np.zeros(shape, dtype)
    source = Reader(coded[at:], version)
    values = forms.read(forms.Form(head & 3), dtype, rows, size // rows, len(coded), source)
    source.end()
    return values.reshape(shape)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    for byte in data[at : at + 3]:
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte <= 0x7F:
            return number, at
    raise ValueError("coded samples with a size that has no end")
