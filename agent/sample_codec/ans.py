"""Symbols with known probabilities into bytes, and back: an asymmetric numeral system over its range (rANS).

(J. Duda, "Asymmetric numeral systems", arXiv:1311.2540, 2013; the ranged form with words as F. Giesen,
"Interleaved entropy coders", arXiv:1402.3392, 2014.) A symbol is an interval `start`, `width` of `2**bits`
and costs ``bits - log2(width)``. The state begins at 1 and grows until it gives off words, so that a short
piece pays for no full state; and it must be back at 1 when all is read, which is a check for nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST_BITS = 32  # of one symbol
RAW_BITS = 24  # of one symbol without a model
LENGTH_BITS = 6  # of a number of any size: how many bits follow
MOST_SMALL = 128
_RARE_BITS = 4  # one in 16
_WORD_BITS = 32
_WORD_BYTES = 4
_WORD = (1 << _WORD_BITS) - 1
_FULL = 1 << _WORD_BITS  # the state is not below it while there are words

Ints = npt.NDArray[np.int64]


class Writer:
    """Gathers symbols, first one first."""

    def __init__(self) -> None:
        self._parts: list[tuple[list[int], list[int], list[int]]] = []

    def many(self, starts: Ints, widths: Ints, bits: Ints) -> None:
        """Add symbols: all (n,)."""
        self._parts.append((starts.tolist(), widths.tolist(), bits.tolist()))

    def raw(self, value: int, count: int) -> None:
        """Add `count` bits, all values of which are as likely."""
        for bits in _raw_parts(count):
            count -= bits
            self._parts.append(([value >> count & ((1 << bits) - 1)], [1], [bits]))

    def rare(self, said: bool) -> None:
        """Add what is seldom so."""
        self._parts.append(([0], [1], [_RARE_BITS]) if said else ([1], [(1 << _RARE_BITS) - 1], [_RARE_BITS]))

    def number(self, value: int) -> None:
        """Add a whole number of either sign, below 2^62."""
        folded = 2 * value if value >= 0 else -2 * value - 1
        self.raw(folded.bit_length(), LENGTH_BITS)
        self.raw(folded, max(0, folded.bit_length() - 1))

    def small(self, value: int) -> None:
        """Add a whole number of either sign that is near 0, in a Rice code of one low bit."""
        folded = 2 * value if value >= 0 else -2 * value - 1
        for _ in range(folded >> 1):
            self.raw(0, 1)
        self.raw(1, 1)
        self.raw(folded, 1)

    def raws(self, values: Ints, counts: Ints) -> None:
        """Add of each of `values` as many bits as `counts` says: (n,) each, at most 52."""
        for low in range(0, int(counts.max(initial=0)), RAW_BITS):
            here = np.flatnonzero(counts > low)
            bits = np.minimum(counts[here] - low, RAW_BITS)
            self.many(values[here] >> low & ((1 << bits) - 1), np.ones_like(bits), bits)

    def bytes(self) -> bytes:
        """Return all of it, coded."""
        state = 1
        words = []
        for starts, widths, counts in reversed(self._parts):
            for start, width, bits in zip(reversed(starts), reversed(widths), reversed(counts), strict=True):
                if state >= width << (2 * _WORD_BITS - bits):
                    words.append(state & _WORD)
                    state >>= _WORD_BITS
                whole, rest = divmod(state, width)
                state = (whole << bits) + start + rest
        words.reverse()
        head = state.to_bytes((state.bit_length() + 7) // 8, "big")
        return head + b"".join(word.to_bytes(_WORD_BYTES, "big") for word in words)


class Reader:
    """Reads what a `Writer` wrote, first symbol first. Raises ValueError."""

    def __init__(self, data: bytes, version: int) -> None:
        self.version = version
        """Of the form of the symbols: what they mean."""
        size = len(data)
        head = size if size <= _WORD_BYTES else _WORD_BYTES + 1 + (size - 1) % _WORD_BYTES
        if size == 0 or data[0] == 0:
            raise ValueError("coded samples without a beginning")
        self.state = int.from_bytes(data[:head], "big")
        self._words = [
            int.from_bytes(data[at : at + _WORD_BYTES], "big") for at in range(head, size, _WORD_BYTES)
        ]
        self._words.reverse()

    def peek(self, bits: int) -> int:
        """Return the place in `2**bits` of the next symbol."""
        return self.state & ((1 << bits) - 1)

    def take(self, start: int, width: int, bits: int) -> None:
        """Pass over the symbol that has this interval."""
        state = self.state
        state = width * (state >> bits) + (state & ((1 << bits) - 1)) - start
        if state < _FULL:
            if self._words:
                state = state << _WORD_BITS | self._words.pop()
            elif not state:
                raise ValueError("coded samples that are cut off")
        self.state = state

    def raw(self, count: int) -> int:
        """Read `count` bits."""
        value = 0
        for bits in _raw_parts(count):
            part = self.peek(bits)
            self.take(part, 1, bits)
            value = value << bits | part
        return value

    def rare(self) -> bool:
        """Read what is seldom so."""
        said = self.peek(_RARE_BITS) == 0
        self.take(*((0, 1) if said else (1, (1 << _RARE_BITS) - 1)), _RARE_BITS)
        return said

    def number(self) -> int:
        """Read a whole number of either sign."""
        length = self.raw(LENGTH_BITS)
        if not length:
            return 0
        folded = 1 << (length - 1) | self.raw(length - 1)
        return folded >> 1 if not folded & 1 else -(folded >> 1) - 1

    def small(self) -> int:
        """Read a whole number of either sign that is near 0."""
        high = 0
        while not self.raw(1):
            high += 1
            if high > MOST_SMALL:
                raise ValueError("coded samples that no writer writes")
        folded = high << 1 | self.raw(1)
        return folded >> 1 if not folded & 1 else -(folded >> 1) - 1

    def raws(self, counts: Ints) -> Ints:
        """Read as many bits each as `counts` says."""
        values = np.zeros(len(counts), np.int64)
        for low in range(0, int(counts.max(initial=0)), RAW_BITS):
            here = np.flatnonzero(counts > low)
            bits = np.minimum(counts[here] - low, RAW_BITS).tolist()
            values[here] |= np.array([self.raw(count) for count in bits], np.int64) << low
        return values

    def end(self) -> None:
        """Check that all is read."""
        if self.state != 1 or self._words:
            raise ValueError("coded samples that do not end where they should")


def _raw_parts(count: int) -> list[int]:
    parts = [RAW_BITS] * (count // RAW_BITS)
    return [*parts, count % RAW_BITS] if count % RAW_BITS else parts
