"""SHT4x: Sensirion's data sheet version 6; commands in table 8, times in table 5, checksum in 4.4.

One byte is a command. While it measures it does not acknowledge: neither a read, nor another command but the
soft reset. An answer can be read once. A measurement takes the longest time of table 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scripts.virtual_pi.chips.base import Chip, Signal, number_of, numbered

SERIAL = 0x89
SOFT_RESET = 0x94
# Measurements, and those that heat first: command to how long it takes.
MEASURE_NS = {0xFD: 8_300_000, 0xF6: 4_500_000, 0xE0: 1_600_000}
HEAT_NS = {
    0x39: 1_100_000_000,
    0x32: 110_000_000,
    0x2F: 1_100_000_000,
    0x24: 110_000_000,
    0x1E: 1_100_000_000,
    0x15: 110_000_000,
}
OTHER_NS = 1_000_000
MIDDLE = 0x8000


def crc8(data: bytes) -> int:
    """Return the checksum of a word: polynomial 0x31, begun with 0xFF."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31) & 0xFF if crc & 0x80 else crc << 1
    return crc


class Sht4x(Chip):
    """Commands. Axes: the words of temperature and humidity; `raw` makes every sample the same.

    ``damage``: checksums are wrong. ``identity``: another chip, which answers this byte whatever it is asked.
    """

    default_address = 0x44
    axes = 2

    def __init__(
        self,
        *,
        now_ns: Callable[[], int],
        address: int | None = None,
        rate_error_ppm: float = 0.0,
        signal: Signal | None = None,
    ) -> None:
        self.serial = 0x0FAB1234
        moving = numbered(self.axes, self.coded_bits)
        super().__init__(
            now_ns=now_ns,
            address=address,
            rate_error_ppm=rate_error_ppm,
            signal=signal or (lambda k: tuple(value + MIDDLE for value in moving(k))),
        )

    @property
    def raw(self) -> tuple[int, ...]:
        """What the next sample will be; may be set."""
        return self.signal(self._made)

    @raw.setter
    def raw(self, words: tuple[int, int]) -> None:
        self.fix_waiting()
        self.signal = lambda k: words

    def number_of(self, values: Sequence[int]) -> int:
        """Return k of a sample of the default signal."""
        return number_of([value - MIDDLE for value in values], self.coded_bits)

    def limits(self) -> tuple[int, int]:
        """Words are unsigned."""
        return 0, 0xFFFF

    def reset(self) -> None:
        """Wait for a command."""
        self._words: Sequence[int] | None = None
        self._busy_until_ns = self.now_ns() + OTHER_NS
        self._measures = False

    def power_cycle(self) -> None:
        """Forget what was measured."""
        self._measures = False  # what was not ended never was a sample
        super().power_cycle()

    @property
    def busy(self) -> bool:
        """Whether it does not acknowledge."""
        return self.now_ns() < self._busy_until_ns or self._measures

    def take(self, data: bytes) -> bool:
        """Take a command."""
        self.update()
        if self.identity is not None:
            return True
        if not data:
            return not self.busy
        if data[0] == SOFT_RESET:
            self.power_cycle()
            return True
        if self.busy:
            return False
        self._words = None
        self.discard()  # what nobody read is gone
        command = data[0]
        takes_ns = MEASURE_NS.get(command) or HEAT_NS.get(command)
        if command == SERIAL:
            self._words = (self.serial >> 16, self.serial & 0xFFFF)
        elif takes_ns is None:
            return False
        self._measures = takes_ns is not None
        scale = 1 + self.rate_error_ppm * 1e-6
        self._busy_until_ns = self.now_ns() + int((takes_ns or OTHER_NS) / scale)
        return True

    def update(self) -> None:
        """End a measurement whose time has come."""
        if self._measures and self.now_ns() >= self._busy_until_ns and not self.stopped:
            self._measures = False
            self.make_one(self._busy_until_ns)
        super().update()

    def give(self, count: int) -> bytes | None:
        """Give the answer, once."""
        self.update()
        if self.identity is not None:
            return bytes((self.identity,)) * count
        if self.busy:
            return None
        words, self._words = self._words, None
        if words is None:
            if not self._fifo:
                return None
            words = self.oldest()
            self.pop()
        answer = bytearray()
        for word in words:
            pair = word.to_bytes(2)
            answer += pair + bytes((crc8(pair) ^ (0xFF if self.damage else 0),))
        return bytes(answer[:count]).ljust(count, b"\xff")
