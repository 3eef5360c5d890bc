"""Moving sample bytes about without allocating: what the sampling path would else spend its time on.

viper turns these into machine code. It knows integers of one machine word and pointers to bytes, so
nothing here depends on the 31-bit integers that live outside MicroPython's heap.
"""

import micropython

TYPE_CHECKING = False
if TYPE_CHECKING:
    # what viper means by these, as far as a caller is concerned
    from collections.abc import Sequence
    from typing import Any

    ptr8 = Any  # whatever has bytes
    ptr16 = Sequence[int]


@micropython.viper
def copy(source: ptr8, length: int, into: ptr8, at: int) -> int:
    """Copy the first `length` bytes of `source` to `into` from `at` on; return where they end.

    viper has no word for a function that returns nothing.
    """
    i: int = 0
    while i < length:
        into[at + i] = source[i]
        i += 1
    return at + length


@micropython.viper
def copy_from(source: ptr8, begin: int, end: int, into: ptr8, at: int) -> int:
    """Copy source[begin:end] to `into` from `at` on; return where it ends there."""
    while begin < end:
        into[at] = source[begin]
        at += 1
        begin += 1
    return at


@micropython.viper
def fill(into: ptr8, at: int, end: int) -> int:
    """Write zeros from `at` on; return `end`."""
    while at < end:
        into[at] = 0
        at += 1
    return end


@micropython.viper
def put16(value: int, into: ptr8, at: int) -> int:
    """Write `value` as two bytes, little endian, two's complement; return where they end."""
    into[at] = value & 0xFF
    into[at + 1] = (value >> 8) & 0xFF
    return at + 2


@micropython.viper
def cells_from_pulses(pulses: ptr8, cells: int, into: ptr8, at: int) -> int:
    """Turn what was seen at each of 24 clock pulses into one 24-bit count a cell, little endian.

    `pulses`: a byte a pulse, most significant bit of the counts first; bit c of it is cell c.
    """
    cell: int = 0
    while cell < cells:
        value: int = 0
        i: int = 0
        while i < 24:
            value = (value << 1) | ((int(pulses[i]) >> cell) & 1)
            i += 1
        into[at] = value & 0xFF
        into[at + 1] = (value >> 8) & 0xFF
        into[at + 2] = (value >> 16) & 0xFF
        at += 3
        cell += 1
    return at


@micropython.viper
def cells_from_words(words: ptr8, cells: int, into: ptr8, at: int) -> int:
    """Turn three words of a PIO state machine into one 24-bit count a cell, little endian.

    Each word holds eight clock pulses, the first uppermost, each of `cells` bits; bit c is cell c.
    """
    cell: int = 0
    while cell < cells:
        third: int = 0
        while third < 3:
            value: int = 0
            bit: int = 7 * cells + cell
            while bit >= 0:
                value = (value << 1) | ((int(words[4 * third + (bit >> 3)]) >> (bit & 7)) & 1)
                bit -= cells
            into[at + 2 - third] = value
            third += 1
        at += 3
        cell += 1
    return at


@micropython.viper
def crc8(data: ptr8, begin: int, end: int) -> int:
    """Return the CRC of Sensirion's chips: polynomial 0x31, initial value 0xFF; 0xBE 0xEF gives 0x92."""
    crc: int = 0xFF
    i: int = begin
    while i < end:
        crc ^= int(data[i])
        bit: int = 0
        while bit < 8:
            crc <<= 1
            if crc & 0x100:
                crc ^= 0x131
            bit += 1
        i += 1
    return crc


@micropython.viper
def linear(raw: int, span: int, most: int, origin: int) -> int:
    """Return origin + raw × span / most, rounded; the product may need 31 bits."""
    return origin + (raw * span + (most >> 1)) // most


@micropython.viper
def bme280_fine(trim: ptr16, adc: int) -> int:
    """Return the fine temperature of a BME280: datasheet 4.2.3, `BME280_compensate_T_int32`.

    `trim`: the registers dig_T1..T3 (0..2) and dig_H1..H6 (3..8) as 16 bits each.
    """
    t1: int = int(trim[0])
    t2: int = (int(trim[1]) ^ 0x8000) - 0x8000
    t3: int = (int(trim[2]) ^ 0x8000) - 0x8000
    coarse: int = (((adc >> 3) - (t1 << 1)) * t2) >> 11
    off: int = (adc >> 4) - t1
    return coarse + ((((off * off) >> 12) * t3) >> 14)


@micropython.viper
def bme280_humidity(trim: ptr16, adc: int, fine: int) -> int:
    """Return the humidity in 1/1024 %: datasheet 4.2.3, `bme280_compensate_H_int32`."""
    h1: int = int(trim[3])
    h2: int = (int(trim[4]) ^ 0x8000) - 0x8000
    h3: int = int(trim[5])
    h4: int = (int(trim[6]) ^ 0x8000) - 0x8000
    h5: int = (int(trim[7]) ^ 0x8000) - 0x8000
    h6: int = (int(trim[8]) ^ 0x8000) - 0x8000
    off: int = fine - 76800
    left: int = ((adc << 14) - (h4 << 20) - (h5 * off) + 16384) >> 15
    right: int = ((((off * h6) >> 10) * (((off * h3) >> 11) + 32768)) >> 10) + 2097152
    value: int = left * ((right * h2 + 8192) >> 14)
    value -= ((((value >> 15) * (value >> 15)) >> 7) * h1) >> 4
    if value < 0:  # noqa: PLR1730 - viper has no max
        value = 0
    if value > 419430400:  # noqa: PLR1730 - 100 %
        value = 419430400
    return value >> 12
