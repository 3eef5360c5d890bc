"""BME280, temperature and humidity: Bosch's datasheet BST-BME280-DS002.

Register map: table 18. Trimming values: table 16. Compensation in integers: 4.2.3. Measuring time: 9.1.
"""

from array import array

from packing import bme280_fine, bme280_humidity
from sensors.base import Trouble
from sensors.climate import HUMIDITY, TEMPERATURE, Climate
from sensors.registers import Registers, wait_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Told

DIG_T1 = 0x88
DIG_H1 = 0xA1
CHIP_ID = 0xD0
RESET = 0xE0
DIG_H2 = 0xE1
CTRL_HUM = 0xF2
STATUS = 0xF3
CTRL_MEAS = 0xF4
CONFIG = 0xF5
TEMP_MSB = 0xFA

BME280_ID = 0x60
BMP280_ID = 0x58
RESET_WORD = 0xB6
ONCE = 1  # oversampling × 1
FORCED = ONCE << 5 | 1  # one measurement of temperature and humidity; no pressure
COPYING_TRIM = 0x01  # of STATUS
STARTUP_MS = 2  # table 1
NOT_MEASURED = 0x80000  # table 30: what a skipped measurement reads


class Bme280(Climate):
    """The chip in forced mode: it sleeps between the measurements."""

    def __init__(
        self, place: str, streams: "list[dict[str, Any]]", faults: "list[Told]", registers: Registers
    ) -> None:
        super().__init__(place, streams, faults)
        self.registers = registers
        self._trim = array("H", bytes(18))
        self._raw = bytearray(5)  # temperature: three bytes; humidity: two

    def set_up(self) -> None:
        """Identify the chip, reset it, read its trimming values."""
        registers = self.registers
        registers.forget()
        if registers.read(CHIP_ID) == BMP280_ID:
            raise Trouble("device id 0x58: a BMP280, which has no humidity", "0x60 (BME280)")
        registers.identify(CHIP_ID, BME280_ID, "BME280")
        registers.write(RESET, RESET_WORD)
        for _ in range(10):
            wait_ms(STARTUP_MS)
            if not registers.read(STATUS) & COPYING_TRIM:
                break
        else:
            raise Trouble("a reset that does not end", "2 ms")
        self._read_trim()
        registers.set(CONFIG, 0)
        registers.set(CTRL_HUM, ONCE)

    def _read_trim(self) -> None:
        temperature = bytearray(6)
        humidity = bytearray(7)
        self.registers.read_into(DIG_T1, temperature)
        self.registers.read_into(DIG_H2, humidity)
        trim = self._trim
        for i in range(3):
            trim[i] = temperature[2 * i] | temperature[2 * i + 1] << 8
        trim[3] = self.registers.read(DIG_H1)
        trim[4] = humidity[0] | humidity[1] << 8
        trim[5] = humidity[2]
        trim[6] = _signed_12(humidity[3] << 4 | humidity[4] & 0x0F)
        trim[7] = _signed_12(humidity[5] << 4 | humidity[4] >> 4)
        trim[8] = humidity[6] | (0xFF00 if humidity[6] & 0x80 else 0)
        if trim[0] in (0, 0xFFFF):
            raise Trouble("trimming value dig_T1 " + str(trim[0]), "1 to 65534")

    def check(self) -> None:
        """Read one register again: a chip that was without power has lost CTRL_HUM."""
        self.registers.check()

    def ask(self) -> None:
        """Start one measurement."""
        self.registers.write(CTRL_MEAS, FORCED)

    def read(self) -> None:
        """Read it, and compensate."""
        raw = self._raw
        self.registers.read_into(TEMP_MSB, raw)
        adc_t = raw[0] << 12 | raw[1] << 4 | raw[2] >> 4
        adc_h = raw[3] << 8 | raw[4]
        if adc_t == NOT_MEASURED:
            raise Trouble("no temperature", "one 10 ms after it was asked for")
        fine = bme280_fine(self._trim, adc_t)
        self.values[TEMPERATURE] = (fine * 5 + 128) >> 8
        self.values[HUMIDITY] = (bme280_humidity(self._trim, adc_h, fine) * 100 + 512) >> 10


def _signed_12(value: int) -> int:
    """Return 12 bits of two's complement as 16."""
    return value | 0xF000 if value & 0x800 else value
