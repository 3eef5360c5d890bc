"""The I2C bus as a source: one thread, all chips of one bus, each when it is due and the most urgent first.

What one chip does wrong costs the others nothing but the bus time of noticing it: a missing chip is looked
for less and less often, and a bus that is gone or held down is left alone until it is back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from agent.blocks import Block, FaultKind, SensorFault, Silence
from agent.errors import ConfigError
from agent.sources.chip_life import ChipLife
from agent.sources.drivers.base import BusCost, ChipError, Driver, FreeRunning
from agent.sources.drivers.tca9548a import Tca9548a
from agent.sources.i2c_plan import NO_COST, BusSpeed, Plan, plan
from agent.sources.i2c_port import I2cPort, OpenBus, open_kernel_bus
from agent.sources.i2c_recovery import free_lines
from agent.sources.wall_marks import WallMarks
from agent.streams import StreamSpec
from agent.timebase import TimeMark

log = logging.getLogger("cargobox")

Item = Block | Silence | SensorFault | TimeMark
Waiter = Callable[[int, threading.Event], None]

NS_PER_MS = 1_000_000
PRIORITY = 10  # of SCHED_FIFO: below the kernel's own threads for interrupts, which have 50
TICK_NS = 10 * NS_PER_MS  # how often silences are told while a chip fails
TURN_NS = 1_500_000  # of bus time for one chip, where another cannot wait for longer
SLICE_PART = 0.3  # of the period of the most impatient chip
FIRST_REOPEN_NS = 100 * NS_PER_MS
LAST_REOPEN_NS = 500 * NS_PER_MS
MEASURE_TIMES = 4


def wait_until(due_ns: int, stop: threading.Event) -> None:
    """Wait until the monotonic clock shows `due_ns`, or `stop` is set."""
    left_ns = due_ns - time.monotonic_ns()
    if left_ns > 0:
        stop.wait(left_ns / 1e9)


def take_precedence() -> None:
    """Let this thread run before all ordinary ones, where the system allows it (LimitRTPRIO= of a unit).

    A chip without a FIFO loses a sample when its thread is held up for as long as a sample takes. Not the
    main thread: it does other things, too, and what it starts later would inherit it.
    """
    if threading.current_thread() is threading.main_thread():
        return
    if os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


class I2cBus:
    """A source: all chips of one I2C bus.

    ``chips``: each driver with its place: address, and multiplexer and channel or None. ``speed_hz``: of the
    bus; ``latency_ms``: how old a sample may be when it is handed on, where the bus allows it; ``hurry`` is
    called in the thread that samples, before it begins.
    """

    mount_up: tuple[float, float, float] | None = None

    def __init__(
        self,
        path: str,
        chips: Sequence[tuple[Driver, int, int | None, int | None]],
        *,
        speed_hz: int = 100_000,
        timeout_ms: int = 50,
        latency_ms: float = 10.0,
        open_bus: OpenBus = open_kernel_bus,
        now_ns: Callable[[], int] = time.monotonic_ns,
        wait: Waiter = wait_until,
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        self._hurry = hurry
        self.port = I2cPort(path, timeout_ms=timeout_ms, open_bus=open_bus, now_ns=now_ns)
        self.plan: Plan | None = None
        self.lives: list[ChipLife] = []
        self._chips = [
            (driver, self.port.place(address, mux=mux, channel=channel))
            for driver, address, mux, channel in chips
        ]
        self._speed_hz = speed_hz
        self._speed = BusSpeed(speed_hz)
        self._latency_ns = round(latency_ms * NS_PER_MS)
        self._now_ns = now_ns
        self._wait = wait
        self._begun_ns = 0
        self._reopen_ns = 0
        self._reopen_pause_ns = FIRST_REOPEN_NS

    @property
    def load(self) -> float:
        """Part of the time since the beginning that the bus was busy."""
        passed_ns = self._now_ns() - self._begun_ns
        return self.port.busy_ns / passed_ns if passed_ns > 0 else 0.0

    def open(self) -> tuple[StreamSpec, ...]:
        """Open the bus and plan its reads; a bus or a chip that is not there yet is waited for, in `items`.

        Raises ConfigError when the bus cannot carry what is configured.
        """
        drivers = [driver for driver, _ in self._chips]
        overhead_ns = None
        try:
            self.port.open()
            overhead_ns = self._overhead_ns()
        except ChipError as error:
            log.error("%s", error)
        if overhead_ns is not None:
            self._speed = BusSpeed(self._speed_hz, overhead_ns)
        try:
            self.plan = plan(self.port.name, drivers, self._speed, self._latency_ns, self._switching())
        except ConfigError:
            self.port.close()
            raise
        log.info("%s: %.0f %% of its time is planned", self.port.name, 100 * self.plan.load)
        return tuple(
            msgspec.structs.replace(stream.spec, sensor=f"{driver.chip} at {place}")
            for driver, place in self._chips
            for stream in driver.streams
        )

    def items(self, stop: threading.Event) -> Iterator[Item]:
        """Sample until `stop` is set, through any trouble."""
        assert self.plan is not None
        self._hurry()
        marks = WallMarks(self._now_ns)
        yield marks.first()
        self._begun_ns = self._now_ns()
        self.port.busy_ns = self.port.transfers = self.port.refused = 0
        self.lives = [
            ChipLife(
                driver,
                place,
                self.port,
                begin_ns=self._begun_ns,
                interval_ns=interval_ns,
                slice_samples=self._slice(driver),
            )
            for (driver, place), interval_ns in zip(self._chips, self.plan.intervals_ns, strict=True)
        ]
        while not stop.is_set():
            now_ns = self._now_ns()
            if self.port.stuck or not self.port.is_open:
                self._mend(now_ns)
            life = self._next(now_ns)
            # silences are owed now and then, also while no chip is due
            due_ns = min(life.due_ns, now_ns + TICK_NS)
            if due_ns > now_ns:
                self._wait(due_ns, stop)
                now_ns = self._now_ns()
            if life.due_ns <= now_ns and not stop.is_set():
                yield from life.turn()
            for one in self.lives:
                if not one.streams.flowing:
                    yield from one.streams.silences(now_ns)
            mark = marks.due(now_ns)
            if mark is not None:
                yield mark

    def counts(self) -> dict[str, dict[str, Any]]:
        """Return what the bus did and did not, since `items` began. From any thread."""
        port = self.port
        told = {
            "transfers": port.transfers,
            "refused": port.refused,
            "retried": port.retried,
            "reopened": port.reopened,
            "busy_part": round(self.load, 3),
            "overflows": sum(life.streams.overflows for life in self.lives),
        }
        return {"buses": {port.name: told}}

    def close(self) -> None:
        """Let go of the bus."""
        self.port.close()

    def _next(self, now_ns: int) -> ChipLife:
        """Return the most urgent of those that are due, or the one that is due next."""
        due = [life for life in self.lives if life.due_ns <= now_ns]
        if due:
            return min(due, key=lambda life: life.deadline_ns)
        return min(self.lives, key=lambda life: life.due_ns)

    def _mend(self, now_ns: int) -> None:
        """Try to get the bus back, less and less often; the chips look again once it is."""
        if now_ns < self._reopen_ns:
            return
        stuck = self.port.stuck
        try:
            self.port.close()  # first: the kernel unbinds no controller whose bus somebody has open
            if stuck:
                free_lines(self.port.path, harder=self._reopen_pause_ns > 2 * FIRST_REOPEN_NS)
            self.port.open()
            if stuck and not self._is_free():
                raise ChipError(FaultKind.STUCK_BUS, self.port.name, got="held down", expected="free lines")
        except ChipError:
            self._reopen_ns = now_ns + self._reopen_pause_ns
            self._reopen_pause_ns = min(LAST_REOPEN_NS, 2 * self._reopen_pause_ns)
            return
        self.port.reopened += 1
        self._reopen_pause_ns = FIRST_REOPEN_NS
        log.info("%s: the bus is back", self.port.name)
        for life in self.lives:
            life.wake(now_ns)

    def _is_free(self) -> bool:
        """Whether transactions end again; who answers does not matter here."""
        try:
            self._chips[0][1].read(1)
        except ChipError as error:
            if error.kind in (FaultKind.TIMEOUT, FaultKind.STUCK_BUS, FaultKind.BUS_GONE):
                self.port.stuck = self.port.is_open
                return False
        return True

    def _overhead_ns(self) -> int | None:
        """Measure what a transaction costs beside its bits, by asking who is there. Raises `ChipError`."""
        port = self.port
        times_ns: list[float] = []
        for driver, place in self._chips:
            for _ in range(MEASURE_TIMES):
                busy_ns, transfers, octets = port.busy_ns, port.transfers, port.octets
                try:
                    driver.identify(place)
                except ChipError as error:
                    if error.kind is FaultKind.BUS_GONE:
                        raise
                    break
                wire = BusSpeed(self._speed_hz, 0)
                spent_ns = port.busy_ns - busy_ns - wire.octets_ns(port.octets - octets)
                times_ns.append(spent_ns / (port.transfers - transfers))
        # the least of them: what held up the others is not the bus, and may be over by now
        return max(0, round(min(times_ns))) if times_ns else None

    def _switching(self) -> list[BusCost]:
        """Return what it costs to reach each chip, where others are behind other channels."""
        channels = {place.channel for _, place in self._chips if place.channel is not None}
        if len(channels) < 2:
            return [NO_COST] * len(self._chips)
        several = len({mux for mux, _ in channels}) > 1
        cost = Tca9548a.select_cost * (2 if several else 1)
        return [NO_COST if place.channel is None else cost for _, place in self._chips]

    def _slice(self, driver: Driver) -> int:
        """Return how many samples one turn may fetch, so that no other chip has to wait for too long."""
        if not isinstance(driver, FreeRunning):
            return 1
        others = [d for d, _ in self._chips if d is not driver]
        impatient_ns = [1e9 / d.rate_hz for d in others if not (isinstance(d, FreeRunning) and d.depth > 1)]
        turn_ns = min([SLICE_PART * ns for ns in impatient_ns], default=10.0 * TURN_NS)
        count = 1
        while count < driver.depth and self._speed.time_ns(driver.take_cost(count + 1)) <= turn_ns:
            count += 1
        return count
