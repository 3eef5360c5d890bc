"""The life of one chip on a bus: found, tested, set up, sampled, failed, found again.

Written as one line of thought that gives the bus away whenever it has to wait; the bus calls `turn` when it
is due.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.blocks import NS_PER_S, FaultKind
from agent.sources.chip_streams import FOREVER_NS, ChipStreams, Item
from agent.sources.drivers.base import ChipError, Driver, FreeRunning, Triggered
from agent.sources.free_running import Due, FreeRunner
from agent.sources.i2c_plan import CHECK_S
from agent.sources.i2c_port import BusPlace, I2cPort
from agent.sources.triggered import TriggeredRunner

NS_PER_MS = 1_000_000
FIRST_PAUSE_NS = 50 * NS_PER_MS
LAST_PAUSE_NS = NS_PER_S  # asking a chip that is not there costs the others next to nothing
LAST_COSTLY_PAUSE_NS = 5 * NS_PER_S  # and this a time-out, or a search for samples that do not come
COSTLY = (FaultKind.TIMEOUT, FaultKind.SILENT)
SOUND_NS = 3 * NS_PER_S  # it worked for so long: the next fault is looked into at once
FIRST_MEND_NS = NS_PER_S  # a value that stands still: set up anew so long after the last time, then twice ...
LAST_MEND_NS = 60 * NS_PER_S  # ... up to this
PATIENT_NS = 50 * NS_PER_MS  # looking for a chip may wait for those that are sampled
CUT_OFF = (FaultKind.NACK, FaultKind.TIMEOUT, FaultKind.STUCK_BUS, FaultKind.BUS_GONE)


class _NeedsSetUp(Exception):
    """The chip answers well, and its value does not move."""


class ChipLife:
    """One chip. ``due_ns``: when it wants its next `turn`; ``deadline_ns``: who comes first when late."""

    def __init__(
        self,
        driver: Driver,
        place: BusPlace,
        port: I2cPort,
        *,
        begin_ns: int,
        interval_ns: int,
        slice_samples: int,
    ) -> None:
        self.driver = driver
        self.place = place
        self.streams = ChipStreams(driver, f"{driver.chip} at {place}", begin_ns)
        self.due_ns = self.deadline_ns = begin_ns
        self._port = port
        self._runner: FreeRunner | TriggeredRunner
        if isinstance(driver, FreeRunning):
            self._runner = FreeRunner(
                driver,
                place,
                port,
                self.streams,
                tend=self._tend,
                begin_ns=begin_ns,
                interval_ns=interval_ns,
                slice_samples=slice_samples,
            )
        else:
            assert isinstance(driver, Triggered)
            self._runner = TriggeredRunner(
                driver, place, port, self.streams, tend=self._tend, begin_ns=begin_ns
            )
        self._pause_ns = 0
        self._mend_ns = FIRST_MEND_NS
        self._up_ns = begin_ns
        self._checked_ns = begin_ns
        self._tested = False
        self._cut_off = False  # it was set up, and then only the way to it failed
        self._life = self._live()

    def turn(self) -> list[Item]:
        """Do what is due; return what came of it."""
        self.due_ns, slack_ns = next(self._life)
        self.deadline_ns = self.due_ns + slack_ns
        return self.streams.take()

    def wake(self, now_ns: int) -> None:
        """The bus is back: look at once, if the chip had failed."""
        if self.streams.failing is not None:
            self._pause_ns = 0
            self.due_ns = self.deadline_ns = now_ns

    def _live(self) -> Iterator[Due]:
        while True:
            up = False
            try:
                yield from self._bring_up()
                up = True
                yield from self._runner.run()
            except ChipError as error:
                self._cut_off = (up or self._cut_off) and error.kind in CUT_OFF
                self.streams.fail(error, self._port.now_ns())
            except _NeedsSetUp:
                self._cut_off = False
                self.streams.lost_to(FaultKind.STUCK_VALUE.value)
            now_ns = self._port.now_ns()
            self.streams.quiet(FOREVER_NS)
            if now_ns - self._up_ns > SOUND_NS and self.streams.samples:
                self._pause_ns = 0
            pause_ns = self._pause_ns
            costly = self.streams.failing in COSTLY
            last_ns = LAST_COSTLY_PAUSE_NS if costly else LAST_PAUSE_NS
            self._pause_ns = min(last_ns, max(FIRST_PAUSE_NS, 2 * pause_ns))
            yield now_ns + pause_ns, PATIENT_NS

    def _bring_up(self) -> Iterator[Due]:
        """Identify, test the first time, set up. Raises `ChipError`."""
        driver, place = self.driver, self.place
        self._up_ns = self._port.now_ns()
        self._port.forget_selection()
        try:
            driver.identify(place)
        except ChipError as error:
            if error.kind is FaultKind.NACK and not self.streams.samples:
                raise ChipError(
                    FaultKind.MISSING, error.doing, got=error.got, expected=f"a {driver.chip}"
                ) from error
            raise
        if self._cut_off and self._still_set_up():
            self._up_ns = self._checked_ns = self._port.now_ns()
            return
        if not self._tested:
            for wait_s in driver.self_test(place):
                yield self._port.now_ns() + round(wait_s * NS_PER_S), PATIENT_NS
            self._tested = True
        self._cut_off = False
        for wait_s in driver.set_up(place):
            yield self._port.now_ns() + round(wait_s * NS_PER_S), PATIENT_NS
        self._up_ns = self._checked_ns = self._port.now_ns()

    def _still_set_up(self) -> bool:
        """Whether the chip has gone on measuring while it could not be reached: its phase is the same."""
        driver, place = self.driver, self.place
        try:
            driver.check(place)
        except ChipError as error:
            if error.kind is FaultKind.REGISTERS:
                return False
            raise
        if isinstance(driver, FreeRunning):
            driver.restart(place)
        return True

    def _tend(self) -> None:
        """The chip is idle: read its settings again now and then. Raises `ChipError`."""
        now_ns = self._port.now_ns()
        if now_ns - self._checked_ns >= CHECK_S * NS_PER_S:
            self._checked_ns = now_ns
            self.driver.check(self.place)
        if self.streams.needs_set_up:
            self.streams.needs_set_up = False
            if now_ns - self._up_ns > self._mend_ns:
                self._mend_ns = min(LAST_MEND_NS, 2 * self._mend_ns)
                raise _NeedsSetUp
