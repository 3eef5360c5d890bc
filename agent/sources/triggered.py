"""Sampling a chip that measures when told to: one slot a sample, on a grid that lasts as long as the source.

The grid is the host's clock, so that a sample's index and time do not depend on when the thread came to it;
a measurement that would begin too late for its slot is not made, and counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.blocks import NS_PER_S, FaultKind, RegularClock
from agent.sources.chip_streams import BUSY, ChipStreams
from agent.sources.drivers.base import ChipError, Counts, NotReady, Triggered
from agent.sources.i2c_port import BusPlace, I2cPort

NS_PER_MS = 1_000_000
LATE_PART = 0.25  # of a period: a measurement that begins later than this in its slot is not made
SLACK_MOST_NS = 5 * NS_PER_MS
NOT_READY_TRIES = 8

Due = tuple[int, int]


class TriggeredRunner:
    """Samples one chip; what it brings goes to `streams`. `tend` is called whenever the chip is idle."""

    def __init__(
        self,
        driver: Triggered,
        place: BusPlace,
        port: I2cPort,
        streams: ChipStreams,
        *,
        tend: Callable[[], None],
        begin_ns: int,
    ) -> None:
        self._tend = tend
        self._driver = driver
        self._place = place
        self._port = port
        self._streams = streams
        self._begin_ns = begin_ns
        self._period_ps = round(1e12 / driver.rate_hz)
        self._period_ns = round(NS_PER_S / driver.rate_hz)
        self._late_ns = round(LATE_PART * self._period_ns)
        self._slack_ns = min(SLACK_MOST_NS, self._late_ns // 2)
        self._slots = RegularClock(0, begin_ns, self._period_ps)
        self._next: int | None = None
        self._clocks: list[RegularClock] = []
        self._after_ns: list[int] = []  # of the slot's beginning, a conversion begins
        after_s = 0.0
        for which in range(len(driver.conversions)):
            centre_ns = begin_ns + round((after_s + driver.centre_s(which)) * NS_PER_S)
            self._clocks.append(RegularClock(0, centre_ns, self._period_ps))
            self._after_ns.append(round(after_s * NS_PER_S))
            after_s += driver.conversion_s(which)

    def run(self) -> Iterator[Due]:
        """Sample for ever; the chip has just been set up. Raises `ChipError`."""
        port = self._port
        while True:
            now_ns = port.now_ns()
            slot = self._slots.count_before(0, now_ns - self._late_ns)
            if self._next is None and not self._streams.reason:
                # the first of all: the grid begins with it
                self._shift(now_ns)
                slot = 0
            elif self._next is not None and slot > self._next:
                self._streams.lost_to(BUSY)
            slot = max(slot, self._next or 0)
            self._streams.quiet_before(self._slots.time_ns(slot))
            yield self._slots.time_ns(slot), self._slack_ns
            if port.now_ns() - self._slots.time_ns(slot) > self._late_ns:
                continue
            self._next = slot + 1
            for which, streams in enumerate(self._driver.conversions):
                self._driver.start(self._place, which)
                begun_ns = port.ended_ns
                due_ns = self._slots.time_ns(slot) + self._after_ns[which]
                yield begun_ns + round(self._driver.conversion_s(which) * NS_PER_S), self._slack_ns
                if begun_ns - due_ns > self._late_ns:
                    self._streams.lost_to(BUSY)  # held up on the bus: it measured another moment
                    break
                arrays: tuple[Counts, ...] | None = None
                for _ in range(NOT_READY_TRIES):
                    try:
                        arrays = self._driver.collect(self._place, which)
                        break
                    except NotReady:
                        again_ns = round(self._driver.conversion_s(which) * NS_PER_S / 4)
                        yield port.now_ns() + max(again_ns, NS_PER_MS // 2), self._slack_ns
                if arrays is None:
                    raise ChipError(
                        FaultKind.TIMEOUT,
                        str(self._place),
                        got=f"a measurement that does not end ({NOT_READY_TRIES} looks)",
                        expected=f"one in {self._driver.conversion_s(which) * 1e3:.1f} ms",
                    )
                self._streams.give(streams, slot, arrays, clock=self._clocks[which])
            self._tend()

    def _shift(self, now_ns: int) -> None:
        """Let slot 0 be now."""
        by_ns = now_ns - self._begin_ns
        self._slots = RegularClock(0, now_ns, self._period_ps)
        self._clocks = [RegularClock(0, c.anchor_ns + by_ns, c.period_ps) for c in self._clocks]
