"""An accelerometer with a FIFO of 32 samples: when its samples were taken, and how many ran over."""

import time

from sensors.base import Sensor, Trouble
from sensors.registers import Registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Ticks, Told

DEPTH = 32
SAMPLE_BYTES = 6  # three axes of 16 bits
SILENT_PERIODS = 64  # twice the FIFO: then the chip does not measure
LEAST_SILENCE_US = 100_000


class FifoSensor(Sensor):
    """What both accelerometers share; a driver says how many samples wait and copies them."""

    def __init__(
        self, place: str, streams: "list[dict[str, Any]]", faults: "list[Told]", registers: Registers
    ) -> None:
        super().__init__(place, streams, faults)
        self.registers = registers
        self.ran_over = False
        # in 1/16 µs: 3200 Hz is 312.5 µs, and 65 half periods at 10 Hz stay within 30 bits
        self._period_16 = round(16_000_000 / self.rate_hz)
        self._silent_us = max(SILENT_PERIODS * self.period_us, LEAST_SILENCE_US)
        self._newest: "Ticks" = time.ticks_us()

    def waiting(self) -> int:
        """Return how many samples the chip has; set `ran_over`. Raises OSError."""
        return 0

    def copy(self, count: int, body: bytearray, at: int) -> None:
        """Take the oldest `count` samples from the chip; raise OSError."""

    def begin(self) -> None:
        """Count from now on."""
        self._newest = time.ticks_us()

    def check(self) -> None:
        """Read one register again."""
        self.registers.check()

    def fetch(self, part: int, body: bytearray, at: int, room: int) -> int:
        """Copy what the FIFO has."""
        waiting = self.waiting()
        now: "Ticks" = time.ticks_us()
        if not waiting:
            if time.ticks_diff(now, self._newest) > self._silent_us:
                self.registers.check_all()  # says which setting was forgotten
                raise Trouble("no sample", "one every " + str(self.period_us) + " µs")
            return 0
        # never early: the host takes the earliest of many such times for the true one (sensor_clock.py)
        oldest: "Ticks" = time.ticks_add(now, -((waiting - 1) * self._period_16 // 16))
        if self.ran_over:
            self.skipped = self._lost(oldest)
        count = min(waiting, room)
        self.copy(count, body, at)
        self.sample_ticks = oldest
        self._newest = time.ticks_add(oldest, (count - 1) * self._period_16 // 16)
        return count

    def _lost(self, oldest: "Ticks") -> int:
        """The chips say that samples ran over, and not how many: the time between tells."""
        apart_us: int = time.ticks_diff(oldest, self._newest)
        periods: int = (apart_us * 16 + self._period_16 // 2) // self._period_16
        return max(0, periods - 1)
