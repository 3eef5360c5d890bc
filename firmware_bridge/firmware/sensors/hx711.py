"""HX711, several load cells on one clock line, read together: Avia Semiconductor's datasheet.

Serial interface and its times: page 4 and 5, figure 2. A chip says that it is ready by pulling DOUT low;
25, 26 or 27 pulses choose the input and the gain of what comes next; after the 25th DOUT is high again.
A clock that stays high for 60 µs switches the chips off.
"""

import time

from packing import cells_from_pulses
from sensors.base import Sensor, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sensors.base import Ticks, Told

EXTRA_PULSES = {128: 1, 32: 2, 64: 3}  # table 3: gain → pulses behind the 24 of the data
SETTLING_SAMPLES = 4  # "output settling time": 50 ms at 80 samples/s, 400 ms at 10
OFF_US = 100  # more than 60 µs
LEAST_SILENCE_US = 1_000_000
HIGH_US = 50  # T3 of figure 2: what a converter bears; at 60 µs it has switched itself off
STUCK_READS = 3  # once may be a conversion that ended in that very moment


class Cells(Sensor):
    """What both ways of reading share."""

    def __init__(
        self,
        place: str,
        streams: "list[dict[str, Any]]",
        faults: "list[Told]",
        clock: "Any",
        data: "tuple[Any, ...]",
        gain: int,
    ) -> None:
        """`clock` and `data` are pins; the first of `data` is the first axis."""
        super().__init__(place, streams, faults)
        self.clock = clock
        self.data = data
        self.extra_pulses = EXTRA_PULSES[gain]
        self.stuck = 0
        self.spoilt = 0  # samples to come that cannot be trusted
        self._silent_us = max(10 * self.period_us, LEAST_SILENCE_US)
        self._spacing_us = self.period_us
        self._newest: "Ticks" = time.ticks_us()
        self._settling = SETTLING_SAMPLES

    def gather(self, body: bytearray, at: int, room: int) -> int:
        """Read what is ready, at most `room`; allocates nothing. Counts `stuck` up or back to 0."""
        return 0

    def begin(self) -> None:
        """Leave out what the converters give before they have settled."""
        self._newest = time.ticks_us()
        self._settling = SETTLING_SAMPLES
        self._spacing_us = self.period_us
        self.stuck = 0

    def fetch(self, part: int, body: bytearray, at: int, room: int) -> int:
        """Read all cells where all are ready."""
        now: "Ticks" = time.ticks_us()
        count = self.gather(body, at, room)
        if self.stuck >= STUCK_READS:
            raise Trouble("DOUT low after the 25th pulse at " + self._pins(0), "high")
        apart_us: int = time.ticks_diff(now, self._newest)
        if not count:
            if apart_us > self._silent_us:
                raise Trouble("DOUT high for 1 s at " + self._pins(1), "low, a cell's sample is ready")
            return 0
        if self.spoilt > 0:
            self.spoilt -= count
            return 0  # and the time between those around it tells that it is missing
        self._newest = now
        if self._settling > 0:
            self._settling -= count
            return 0
        self.sample_ticks = time.ticks_add(now, -(count - 1) * self._spacing_us)
        self.skipped = self._lost(apart_us, count)
        return count

    def _lost(self, apart_us: int, count: int) -> int:
        """The chips do not count what they overwrite: the time between two reads tells."""
        spacing_us = self._spacing_us
        if count == 1 and 7 * self.period_us < 10 * apart_us < 13 * self.period_us:
            # their oscillators are off by some per cent, and the slowest keeps the pace
            self._spacing_us += (apart_us - spacing_us) // 16
        if 4 * apart_us < (4 * count + 3) * spacing_us:
            return 0
        spacings: int = (2 * apart_us + spacing_us) // (2 * spacing_us)
        return spacings - count

    def _pins(self, level: int) -> str:
        axes = self.streams[0]["axes"]
        names = [axes[i] for i in range(len(axes)) if self.data[i]() == level]
        return "cell " + " ".join(names if names else axes)


class PulsedCells(Cells):
    """The clock made by the program, for a board without a PIO."""

    def __init__(
        self,
        place: str,
        streams: "list[dict[str, Any]]",
        faults: "list[Told]",
        clock: "Any",
        data: "tuple[Any, ...]",
        gain: int,
        hold: "Callable[[], int]",
        release: "Callable[[int], None]",
    ) -> None:
        """`hold` switches interrupts off, `release` restores them: `machine.disable_irq`, `enable_irq`."""
        super().__init__(place, streams, faults, clock, data, gain)
        self._hold = hold
        self._release = release
        self._pulses = bytearray(24)
        self._slow = False

    def set_up(self) -> None:
        """Switch the converters off and on: they begin anew, with gain 128."""
        self.clock(1)
        time.sleep_us(OFF_US)
        self.clock(0)

    def gather(self, body: bytearray, at: int, room: int) -> int:
        """Clock the bits out of all cells at once."""
        if not room:
            return 0
        for pin in self.data:
            if pin():
                return 0
        pulses = self._pulses
        self._slow = False
        for i in range(24):
            pulses[i] = self._pulse()
        after = self._pulse()
        for _ in range(self.extra_pulses - 1):
            self._pulse()
        if self._slow:
            self.spoilt = 1  # and the next one may have another gain
            return 0
        cells = len(self.data)
        if after != (1 << cells) - 1:
            self.stuck += 1
            return 0
        self.stuck = 0
        cells_from_pulses(pulses, cells, body, at)
        return 1

    def _pulse(self) -> int:
        """Give one pulse; return the bits that stand behind it until the next, one a cell."""
        clock = self.clock
        state = self._hold()  # an interrupt in here could keep the clock high for too long
        begin = time.ticks_us()
        clock(1)
        clock(0)
        if time.ticks_diff(time.ticks_us(), begin) > HIGH_US:
            self._slow = True  # something that cannot be switched off, such as a flash that is written
        self._release(state)
        bits = 0
        place = 0
        for pin in self.data:
            bits |= pin() << place
            place += 1  # noqa: SIM113 - enumerate allocates
        return bits
