"""A list of numbers in as few bytes as they need: decimals as whole numbers, differences, short codes.

The first byte says how. Its low four bits: value = whole number / 10^d, or `WHOLE` where they are whole
numbers already. Then flags: `DIFFERENCES`: each number is told as the difference from the one before it;
`RICE`: in a code for numbers that are small but for a few; `HOLES`: some are null.

Behind it, with `HOLES`, the length of the list and a bit for each number that is there, lowest first. Then
the numbers, signed ones folded (0, -1, 1, -2 … are 0, 1, 2, 3 …), each a varint of seven bits a byte, lowest
first, of which the top bit says that more follow (LEB128, DWARF 5, section 7.6). With `RICE` that is so for
the first number only; then a byte k, and of each further one u: u >> k zeros, a one, and the k low bits of u;
without `DIFFERENCES`, of the difference from the first. (R. F. Rice, JPL Publication 79-22, 1979.)

Such packing is exact: a list that could not be given back as it was is not packed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise, repeat
from operator import rshift
from typing import Any

WHOLE = 15
DIFFERENCES, RICE, HOLES = 0x10, 0x20, 0x40
MOST_DECIMALS = 6
EXACT_BELOW = 1 << 53  # whole numbers that a float keeps
MOST_VARINT_BYTES = 8  # of a folded difference, below 2^55
MOST_LOW_BITS = 55
_KNOWN_BITS = _LOW_BITS = 0x7F
_CUT_OFF = "a packed list that is cut off"


def pack(numbers: Sequence[Any]) -> bytes | None:
    """Return the list packed; None where it is not all whole or all decimal numbers, or null."""
    known = [number for number in numbers if number is not None]
    kinds = set(map(type, known))
    if kinds == {int}:
        head, wholes = WHOLE, known
    elif kinds == {float} and (found := _as_wholes(known)) is not None:
        head, wholes = found
    else:
        return None
    if any(abs(whole) >= EXACT_BELOW for whole in wholes):
        return None
    holes = b""
    if len(known) < len(numbers):
        head |= HOLES
        there = sum(1 << i for i, number in enumerate(numbers) if number is not None)
        holes = _varint(len(numbers)) + there.to_bytes((len(numbers) + 7) // 8, "little")
    flags, body = _shortest(wholes)
    return bytes((head | flags,)) + holes + body


def unpack(data: bytes) -> tuple[int | float | None, ...]:
    """Return the list. Raises ValueError."""
    head, at = data[0] if data else 0x80, 1
    decimals = head & 0x0F
    if head & ~_KNOWN_BITS or MOST_DECIMALS < decimals < WHOLE:
        raise ValueError(f"a packed list that begins with 0x{head:02x}")
    there: list[bool] = []
    if head & HOLES:
        count, at = _read_varint(data, at)
        mask = data[at : at + (count + 7) // 8]
        if 8 * len(mask) < count:
            raise ValueError(_CUT_OFF)
        at += len(mask)
        there = [bool(mask[i // 8] >> i % 8 & 1) for i in range(count)]
    wholes = (_read_rice if head & RICE else _read_varints)(data, at, head)
    values: Sequence[int | float] = (
        wholes if decimals == WHOLE else [whole / 10**decimals for whole in wholes]
    )
    if not there:
        return tuple(values)
    if sum(there) != len(values):
        raise ValueError(f"a packed list of {len(values)} numbers for {sum(there)} places")
    left = iter(values)
    return tuple(next(left) if is_there else None for is_there in there)


def _as_wholes(known: Sequence[float]) -> tuple[int, list[int]] | None:
    """Return the least decimals with which all are exact, and the whole numbers."""
    if not all(map(math.isfinite, known)):
        return None
    for decimals in range(MOST_DECIMALS + 1):
        scale = 10**decimals
        wholes = []
        for number in known:
            whole = round(number * scale) if abs(number) < EXACT_BELOW else 0
            if whole / scale != number or (whole == 0 and math.copysign(1.0, number) < 0):
                break
            wholes.append(whole)
        else:
            return decimals, wholes
    return None


def _shortest(wholes: Sequence[int]) -> tuple[int, bytes]:
    """Return the flags and bytes of the shortest of four ways."""
    first = wholes[0]
    plain = _folded(wholes)
    differences = _folded([first, *(b - a for a, b in pairwise(wholes))])
    ways = [(_varints_size(plain), 0, plain, 0), (_varints_size(differences), DIFFERENCES, differences, 0)]
    if len(wholes) > 2:  # the byte k costs as much as it saves
        from_first = _folded([first, *(whole - first for whole in wholes[1:])])
        for flag, folded in ((RICE, from_first), (RICE | DIFFERENCES, differences)):
            size, k = _rice_size(folded)
            ways.append((size, flag, folded, k))
    _, flag, folded, k = min(ways, key=lambda way: way[0])
    if flag & RICE:
        return flag, _varint(folded[0]) + bytes((k,)) + _rice(folded[1:], k)
    return flag, b"".join(map(_varint, folded))


def _folded(wholes: Iterable[int]) -> list[int]:
    return [2 * whole if whole >= 0 else -2 * whole - 1 for whole in wholes]


def _unfolded(folded: int) -> int:
    return folded >> 1 if not folded & 1 else -((folded + 1) >> 1)


def _varint(folded: int) -> bytes:
    out = bytearray()
    while folded > _LOW_BITS:
        out.append(folded & _LOW_BITS | 0x80)
        folded >>= 7
    out.append(folded)
    return bytes(out)


def _varints_size(folded: Sequence[int]) -> int:
    if max(folded) <= _LOW_BITS:
        return len(folded)
    return sum((number.bit_length() + 6) // 7 or 1 for number in folded)


def _rice_size(folded: Sequence[int]) -> tuple[int, int]:
    """Return the bytes that a list takes with the best k, and that k."""
    rest = folded[1:]
    about = (sum(rest) // len(rest)).bit_length()
    bits, k = min(
        (sum(map(rshift, rest, repeat(k))) + len(rest) * (k + 1), k)
        for k in range(max(0, about - 2), about + 1)
    )
    return _varints_size(folded[:1]) + 1 + (bits + 7) // 8, k


def _rice(folded: Iterable[int], k: int) -> bytes:
    bits = size = 0
    low = (1 << k) - 1
    for number in folded:
        more = (number >> k) + 1 + k
        bits = bits << more | 1 << k | number & low
        size += more
    padding = -size % 8  # zeros: no number is without a one
    return (bits << padding).to_bytes((size + padding) // 8, "big")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    for byte in data[at : at + MOST_VARINT_BYTES]:
        number |= (byte & _LOW_BITS) << shift
        shift += 7
        if byte <= _LOW_BITS:
            return number, at + shift // 7
    raise ValueError(_CUT_OFF)


def _read_varints(data: bytes, at: int, head: int) -> list[int]:
    wholes = []
    while at < len(data):
        folded, at = _read_varint(data, at)
        wholes.append(_unfolded(folded))
    return list(accumulate(wholes)) if head & DIFFERENCES else wholes


def _read_rice(data: bytes, at: int, head: int) -> list[int]:
    folded, at = _read_varint(data, at)
    first = _unfolded(folded)
    if at >= len(data) or (k := data[at]) > MOST_LOW_BITS:
        raise ValueError(_CUT_OFF)
    bits = "".join(f"{byte:08b}" for byte in data[at + 1 :])
    wholes, at = [first], 0
    while (one := bits.find("1", at)) >= 0:
        end = one + 1 + k
        if end > len(bits):
            raise ValueError(_CUT_OFF)
        folded = (one - at) << k | int(bits[one + 1 : end] or "0", 2)
        wholes.append(_unfolded(folded) + (wholes[-1] if head & DIFFERENCES else first))
        at = end
    return wholes
