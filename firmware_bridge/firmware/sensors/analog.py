"""A transducer with a voltage out, on the board's own converter: a pressure sensor of 0.5 to 4.5 V.

Each turn reads the converter once, and a sample is the mean of what was read since the last: so noise
and what is faster than the rate do not fold into it.
"""

import time

from packing import put16
from sensors.base import Paced, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sensors.base import Ticks, Told

LARGEST = 32767
MOST_READINGS = 10_000  # × 65535 stays within 30 bits


class Analog(Paced):
    """One input; a count is a count of the converter, from the zero of the transducer on."""

    def __init__(
        self,
        place: str,
        streams: "list[dict[str, Any]]",
        faults: "list[Told]",
        read: "Callable[[], int]",
        zero_count: int,
        least_count: int,
    ) -> None:
        """`least_count`: below it nothing is connected; 0 where that cannot be told."""
        super().__init__(place, streams, faults)
        self._read = read
        self._zero_count = zero_count
        self._least_count = least_count
        self._sum = 0
        self._readings = 0

    def set_up(self) -> None:
        """Look whether a transducer is connected."""
        self._refuse_dead(self._read())

    def begin(self) -> None:
        """Begin the first mean."""
        super().begin()
        self._sum = self._readings = 0

    def fetch(self, part: int, body: bytearray, at: int, room: int) -> int:
        """Read the converter; hand over the mean when it is due."""
        if self._readings < MOST_READINGS:
            self._sum += self._read()
            self._readings += 1
        now: "Ticks" = time.ticks_us()
        missed = self.due(now)
        if missed < 0:
            return 0
        mean = self._sum // self._readings
        self._sum = self._readings = 0
        self._refuse_dead(mean)
        self.skipped = missed
        self.sample_ticks = now
        put16(min(max(mean - self._zero_count, -LARGEST - 1), LARGEST), body, at)
        return 1

    def _refuse_dead(self, count: int) -> None:
        if count < self._least_count:
            raise Trouble(
                str(count) + " counts: no transducer, or without power", f"at least {self._least_count}"
            )
