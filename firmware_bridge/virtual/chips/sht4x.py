"""SHT4x: Sensirion's datasheet version 6, commands in table 8."""

from chips.base import Chip
from machine_bench import NO_DEVICE, clock

MEASURE_US = 8_300
OTHER_US = 1_000


def crc8(data):
    """Return the checksum of 4.4."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31) & 0xFF if crc & 0x80 else crc << 1
    return crc


class Sht4xChip(Chip):
    """Two words with their checksums; it does not answer while it measures."""

    def power_cycle(self):
        """Wait for a command."""
        self.serial = 0x0FAB1234
        self.words = (0xBEEF, 0x8000)
        self.damage = 0
        self._answer = None
        self._ready_us = 0

    def command(self, data):
        """Take a command."""
        words = None
        self._ready_us = clock.now_us() + OTHER_US
        if data[0] == 0xFD:
            words = self.words
            self._ready_us = clock.now_us() + MEASURE_US
        elif data[0] == 0x89:
            words = (self.serial >> 16, self.serial & 0xFFFF)
        self._answer = None
        if words:
            answer = bytearray()
            for word in words:
                pair = bytes((word >> 8, word & 0xFF))
                answer += pair + bytes((crc8(pair) ^ self.damage,))
            self._answer = answer

    def receive_into(self, buffer):
        """Give the answer, once."""
        if self._answer is None or clock.now_us() < self._ready_us:
            raise OSError(NO_DEVICE)
        buffer[:] = self._answer[: len(buffer)]
        self._answer = None
