"""BME280: Bosch's BST-BME280-DS002, register map in table 18.

The trimming values of the temperature and its raw value are those of Bosch's worked example (BMP280
datasheet BST-BMP280-DS001, 3.12): 519888 gives 25.08 °C. Those of the humidity are a real chip's kind.
"""

from chips.base import Chip
from machine_bench import clock

TEMPERATURE_TRIM = (27504, 26435, -1000)
HUMIDITY_TRIM = (75, 362, 0, 313, 50, 30)  # dig_H1 ... dig_H6
WORKED_EXAMPLE = 519_888
MEASURE_US = 9_300  # 9.1, at most, for temperature and humidity once each and pressure


class Bme280Chip(Chip):
    """Registers and the forced mode."""

    def power_cycle(self):
        """Reset values, and the values from the factory."""
        self.registers = bytearray(256)
        self.registers[0xD0] = 0x60
        for i in range(3):
            self._put16(0x88 + 2 * i, TEMPERATURE_TRIM[i])
        h1, h2, h3, h4, h5, h6 = HUMIDITY_TRIM
        self.registers[0xA1] = h1
        self._put16(0xE1, h2)
        self.registers[0xE3] = h3
        self.registers[0xE4] = h4 >> 4 & 0xFF
        self.registers[0xE5] = (h4 & 0x0F) | (h5 & 0x0F) << 4
        self.registers[0xE6] = h5 >> 4 & 0xFF
        self.registers[0xE7] = h6 & 0xFF
        self.adc_t = WORKED_EXAMPLE
        self.adc_h = 28_000
        self._clear()
        self._ready_us = None

    def _clear(self):
        self.registers[0xF7:0xFF] = b"\x80\0\0\x80\0\0\x80\0"

    def _put16(self, register, value):
        self.registers[register] = value & 0xFF
        self.registers[register + 1] = value >> 8 & 0xFF

    def set(self, register, value):
        """Take one register."""
        if register == 0xE0:
            if value == 0xB6:
                adc_t, adc_h, chip_id = self.adc_t, self.adc_h, self.registers[0xD0]
                self.power_cycle()
                self.adc_t, self.adc_h, self.registers[0xD0] = adc_t, adc_h, chip_id
            return
        self.registers[register] = value
        if register == 0xF4 and value & 3:
            self._ready_us = clock.now_us() + MEASURE_US

    def read_into(self, register, buffer):
        """Give registers."""
        if self._ready_us is not None and clock.now_us() >= self._ready_us:
            self._ready_us = None
            self.registers[0xF4] &= 0xFC  # asleep again
            if self.registers[0xF4] >> 5:
                self.registers[0xFA] = self.adc_t >> 12
                self.registers[0xFB] = self.adc_t >> 4 & 0xFF
                self.registers[0xFC] = self.adc_t << 4 & 0xFF
            if self.registers[0xF2] & 7:
                self.registers[0xFD] = self.adc_h >> 8
                self.registers[0xFE] = self.adc_h & 0xFF
        super().read_into(register, buffer)
