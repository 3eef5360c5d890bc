"""Temperature and humidity from one chip: asked, left in peace while it measures, then read.

Both streams are int16 in hundredths.
"""

import time

from packing import put16
from sensors.base import Paced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Ticks, Told

TEMPERATURE = 0
HUMIDITY = 1
PER_COUNT = 0.01


class Climate(Paced):
    """Part 0 is the temperature, part 1 the humidity; a driver asks and reads."""

    MEASURE_US = 10_000

    def __init__(self, place: str, streams: "list[dict[str, Any]]", faults: "list[Told]") -> None:
        super().__init__(place, streams, faults)
        self.values = [0, 0]
        self._fresh = [False, False]
        self._missed = [0, 0]
        self._measuring = False
        self._asked_at: "Ticks" = 0

    def ask(self) -> None:
        """Let the chip measure; raise OSError."""

    def read(self) -> None:
        """Put what it measured into `values`, in hundredths; raise OSError or `Trouble`."""

    def begin(self) -> None:
        """Forget a measurement that is under way."""
        super().begin()
        self._measuring = False
        for part in range(2):
            self._fresh[part] = False
            self._missed[part] = 0

    def fetch(self, part: int, body: bytearray, at: int, room: int) -> int:
        """Keep the chip measuring, and hand over what is new."""
        now: "Ticks" = time.ticks_us()
        if self._measuring:
            if time.ticks_diff(now, self._asked_at) >= self.MEASURE_US:
                self._measuring = False
                self.read()
                for i in range(2):
                    if self._fresh[i]:
                        self._missed[i] += 1
                    self._fresh[i] = True
        else:
            missed = self.due(now)
            if missed >= 0:
                self._missed[0] += missed
                self._missed[1] += missed
                self.ask()
                self._asked_at = now
                self._measuring = True
        if not self._fresh[part] or not room:
            return 0
        self._fresh[part] = False
        self.skipped = self._missed[part]
        self._missed[part] = 0
        put16(self.values[part], body, at)
        self.sample_ticks = self._asked_at
        return 1
