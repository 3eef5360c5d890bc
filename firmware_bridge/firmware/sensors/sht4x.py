"""SHT40, SHT41, SHT45, temperature and humidity: Sensirion's datasheet, version 6.

Commands: table 8. Conversion: 4.6. Checksum: 4.4. Measuring time: table 5.
"""

from packing import crc8, linear
from sensors.base import Trouble, hexadecimal
from sensors.climate import HUMIDITY, TEMPERATURE, Climate
from sensors.registers import wait_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Told
    from sensors.registers import Bus

MEASURE_HIGH = 0xFD  # 8.3 ms at most
READ_SERIAL = 0x89
SOFT_RESET = 0x94
RESET_MS = 1
FULL = 65535
WETTEST = 10_000  # 0.01 %: above 100 % the conversion is cropped, 4.6


class Sht4x(Climate):
    """The chip; it has no registers, so each answer is proved by its checksums."""

    def __init__(
        self,
        place: str,
        streams: "list[dict[str, Any]]",
        faults: "list[Told]",
        bus: "Bus",
        address: int,
    ) -> None:
        super().__init__(place, streams, faults)
        self._bus = bus
        self._address = address
        self._command = bytearray(1)
        self._answer = bytearray(6)
        self.serial = 0

    def _send(self, command: int) -> None:
        self._command[0] = command
        self._bus.writeto(self._address, self._command)

    def _receive(self) -> None:
        answer = self._answer
        self._bus.readfrom_into(self._address, answer)
        for begin in (0, 3):
            crc = crc8(answer, begin, begin + 2)
            if crc != answer[begin + 2]:
                raise Trouble("checksum " + hexadecimal(answer[begin + 2]), hexadecimal(crc))

    def set_up(self) -> None:
        """Reset the chip and read its serial number."""
        self._send(SOFT_RESET)
        wait_ms(RESET_MS)
        self._send(READ_SERIAL)
        wait_ms(RESET_MS)
        self._receive()
        answer = self._answer
        self.serial = answer[0] << 24 | answer[1] << 16 | answer[3] << 8 | answer[4]
        if self.serial in (0, 0xFFFFFFFF):
            raise Trouble("serial number " + hexadecimal(self.serial), "one of Sensirion's")

    def ask(self) -> None:
        """Start one measurement."""
        self._send(MEASURE_HIGH)

    def read(self) -> None:
        """Read it, and convert."""
        self._receive()
        answer = self._answer
        self.values[TEMPERATURE] = linear(answer[0] << 8 | answer[1], 17_500, FULL, -4_500)
        humidity = linear(answer[3] << 8 | answer[4], 12_500, FULL, -600)
        self.values[HUMIDITY] = min(max(humidity, 0), WETTEST)
