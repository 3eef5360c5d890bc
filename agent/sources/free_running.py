"""Sampling a chip that has an oscillator of its own: how many samples wait, fetch them, know when they were.

While the phase of the oscillator is being found, at the start and after each interruption, samples are kept
back, a fraction of a second at most; then their place on the time line says how many were missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from agent.blocks import NS_PER_S, FaultKind
from agent.sources.chip_clock import ChipClock
from agent.sources.chip_streams import ChipStreams
from agent.sources.drivers.base import ChipError, Counts, FreeRunning
from agent.sources.i2c_port import BusPlace, I2cPort
from agent.sources.stream_clock import PERIOD_TOLERANCE

NS_PER_MS = 1_000_000

SEARCH_PART = 16  # of a period: between two looks while the phase is being found
SEARCH_LEAST_NS = 300_000
SEARCH_COSTS = 4.0  # at least so many times what a look takes, with a FIFO: the others need the bus, too
SEARCH_SLACK_PART = 0.2  # of a period, that a look may be late by, without one: none may come and go unseen
GOLDEN = 0.6180339887498949  # its multiples are spread as evenly as numbers can be (Knuth, TAOCP 3, 6.4)
DITHER_PART = 0.5  # of a period: no look is later than this for the sake of the clock
EDGE_PART = 50  # of a period: a chip without a FIFO that had no sample yet is looked at again
EDGE_LEAST_NS = 60_000  # and most often it is looked at so soon after its next sample is due
EARLY_PART = 0.25  # of the looks come before it is due
EARLY_MOST_PART = 8  # of a period
FIRST_RUN_NS = 600 * NS_PER_MS  # so long, at most, the first samples of all wait for their times
SURE_PART = 0.8  # of a period: looks nearer to each other have not missed a sample
HOPELESS_NS = 3_000 * NS_PER_MS  # a phase that was not found by then will not be
HOPELESS_PERIODS = 40
SPOILED_MOST = 5  # overflows without a sample between them: it must not take the others' time for ever
SILENT_PERIODS = 6
SILENT_LEAST_NS = 200 * NS_PER_MS
SINGLE_SLACK_PART = (
    0.3  # of a period, without a FIFO: another chip may be having its turn, and both take time
)
SLACK_PART = 0.7  # of the time until samples are lost, that a look may be late by

Due = tuple[int, int]
"""When the next turn is due, and by how much it may be late, in ns."""


class FreeRunner:
    """Samples one chip; what it brings goes to `streams`. `tend` is called whenever the chip is idle."""

    def __init__(
        self,
        driver: FreeRunning,
        place: BusPlace,
        port: I2cPort,
        streams: ChipStreams,
        *,
        tend: Callable[[], None],
        begin_ns: int,
        interval_ns: int,
        slice_samples: int,
    ) -> None:
        self._tend = tend
        self.interval_ns = interval_ns
        self.slice_samples = slice_samples
        self.clock = ChipClock(NS_PER_S / driver.rate_hz, driver.tolerance)
        self._driver = driver
        self._place = place
        self._port = port
        self._streams = streams
        self._begin_ns = begin_ns
        self._period_ns = round(NS_PER_S / driver.rate_hz)
        self._all = range(len(driver.streams))
        part = SINGLE_SLACK_PART if driver.depth == 1 else SLACK_PART * (driver.depth // 2)
        self._slack_ns = round(part * self._period_ns)
        self._dither = 0.0
        self._search_ns = max(SEARCH_LEAST_NS, self._period_ns // SEARCH_PART)
        self._next = 0  # index after the last sample that was fetched; from 0 in each run until it is placed
        self._placed = False
        self._held: list[tuple[int, tuple[Counts, ...]]] = []
        self._doubtful: tuple[Counts, ...] | None = None  # a sample that may be the next, or the one after it
        self._newest_ns = self._run_ns = self._before_ns = self._looked_ns = begin_ns
        self._spoiled = 0  # overflows since samples were last handed on
        # index and time of the last sample that was placed, and the period that was known then
        self._last: tuple[int, int, float] | None = None

    def run(self) -> Iterator[Due]:
        """Sample for ever; the chip has just been set up. Raises `ChipError`."""
        driver, port = self._driver, self._port
        self._begin()
        unsure = False
        late_ns = port.now_ns() + self._slack_ns  # later than this, and samples are lost
        while True:
            port.mark()
            waiting = driver.look(self._place)
            lo_ns, hi_ns = port.begun_ns, port.ended_ns
            if waiting.overflowed or waiting.count > driver.depth:
                self._overflow(f"more than the {driver.depth} samples that it can keep")
                yield port.now_ns(), self._slack_ns
                continue
            if driver.depth == 1 and waiting.count and self._placed and not unsure and self._doubtful is None:
                sure_ns = self.clock.sure_from_ns(self._next, lo_ns, hi_ns)
                if sure_ns is not None:
                    unsure = True  # near the moment at which it is overwritten: look once it has been
                    yield sure_ns, self._slack_ns
                    continue
            unsure = False
            self._settle_doubt(waiting.count, hi_ns)
            if waiting.count and self._is_blind(self._looked_ns, hi_ns):
                port.mark()
                driver.take(self._place, 1)
                self._start_over()
                yield port.now_ns(), self._slack_ns
                continue
            spoiled, left = self._count(waiting.count, lo_ns, hi_ns), waiting.count
            while left and not spoiled:
                count = min(left, self.slice_samples)
                spoiled = self._fetch(count)
                left -= count
                if left:
                    now_ns = port.now_ns()
                    yield now_ns, late_ns - now_ns
            if spoiled:
                self._overflow(spoiled)
                yield port.now_ns(), self._slack_ns
                continue
            self._heed_rate()
            self._hand_on()
            self._heed_silence(hi_ns)
            self._tend()
            now_ns = port.now_ns()
            due_ns = self._next_look_ns(waiting.count, hi_ns - lo_ns, now_ns)
            slack_ns = self._slack_ns
            if driver.depth == 1 and not self._placed:
                slack_ns = round(SEARCH_SLACK_PART * self._period_ns)
            late_ns = due_ns + slack_ns
            yield due_ns, slack_ns

    def _begin(self) -> None:
        """Find the phase anew: samples count from 0 until their place is known."""
        now_ns = self._port.now_ns()
        self.clock.begin()
        self._next, self._placed = 0, False
        self._held.clear()
        self._doubtful = None
        self._newest_ns = self._run_ns = self._before_ns = self._looked_ns = now_ns
        self._streams.quiet(now_ns)

    def _overflow(self, got: str) -> None:
        """Count it and begin anew; unless it is no overflow but a chip that is not itself."""
        driver, now_ns = self._driver, self._port.now_ns()
        driver.check(self._place)
        self._streams.overflows += 1
        self._spoiled += 1
        error = ChipError(FaultKind.OVERFLOW, str(self._place), got=got, expected="to be read in time")
        if self._spoiled > SPOILED_MOST:
            self._spoiled = 0
            raise error
        self._streams.fail(error, now_ns, hold=True)
        driver.restart(self._place)
        self._begin()

    def _count(self, waiting: int, lo_ns: int, hi_ns: int) -> str:
        """Let the clock see how many samples there are; return what makes that count worthless, if so."""
        driver = self._driver
        self._before_ns, self._looked_ns = self._looked_ns, lo_ns
        made = self._next + waiting
        # where nothing waits, the oscillator may stand still; that is another fault, and needs more patience
        lost = self.clock.missed(made, lo_ns) if waiting else 0
        if waiting:
            self._newest_ns = hi_ns
        if lost and driver.depth > 1:
            return f"{lost} samples fewer than its oscillator has made"
        if lost:
            # it keeps one sample: those before it were overwritten
            self._lose(lost, f"{lost} samples overwritten before they were read", hi_ns)
            made += lost
        if waiting < driver.depth or driver.depth == 1:
            self.clock.look(made, lo_ns, hi_ns)
        return "a count that contradicts its oscillator" if self.clock.contradicted else ""

    def _is_blind(self, before_ns: int, ended_ns: int) -> bool:
        """Without a FIFO and with hardly a clock yet: whether more than one sample may have been made."""
        return (
            self._driver.depth == 1
            and not self._placed
            and ended_ns - before_ns > SURE_PART * self._period_ns
            and not (self.clock.settled and not self.clock.may_have_made(self._next + 2, ended_ns))
        )

    def _start_over(self) -> None:
        """Count from the sample that was just read; those that waited for their times are lost."""
        read_ns, run_ns = self._port.begun_ns, self._run_ns
        self._begin()
        self._run_ns, self._looked_ns = run_ns, read_ns
        if read_ns - run_ns > max(HOPELESS_NS, HOPELESS_PERIODS * self._period_ns):
            raise ChipError(
                FaultKind.OVERFLOW,
                str(self._place),
                got=f"{self._driver.rate_hz:g} samples a second, more than can be read one by one",
                expected="to be read in time",
            )

    def _fetch(self, count: int) -> str:
        """Fetch samples; return in what words the chip says that it has lost some meanwhile."""
        self._port.mark()
        try:
            arrays = self._driver.take(self._place, count)
        except ChipError as error:
            if error.kind is FaultKind.OVERFLOW:
                return error.got
            raise
        if all(values.item(0) in (0, -1) and not (values - values.item(0)).any() for values in arrays):
            # a line that nobody drives reads as ones, one that is held down as zeros
            self._driver.identify(self._place)
        ended_ns = self._port.ended_ns
        if self._is_blind(self._before_ns, ended_ns):
            self._start_over()
            return ""
        if self._driver.depth == 1 and self._placed and self.clock.may_have_made(self._next + 2, ended_ns):
            self._doubtful = arrays
            return ""
        self._held.append((self._next, arrays))
        self._next += count
        return ""

    def _settle_doubt(self, waiting: int, hi_ns: int) -> None:
        """Which of two samples was read last, when it took so long that the second may have been there?

        If another one waits now, at a moment when the second surely has been made, it was the first.
        """
        arrays, self._doubtful = self._doubtful, None
        if arrays is None:
            return
        if self.clock.may_have_made(self._next + 3, hi_ns):
            self._lose(1, "1 sample that may have been overwritten while it was read", hi_ns)
            return
        if not waiting:
            self._lose(1, "1 sample overwritten while it was read", hi_ns)
        self._held.append((self._next, arrays))
        self._next += 1

    def _lose(self, count: int, got: str, now_ns: int) -> None:
        """Without a FIFO: tell that samples were overwritten, and count on."""
        self._streams.overflows += 1
        error = ChipError(FaultKind.OVERFLOW, str(self._place), got=got, expected="to be read in time")
        self._streams.fail(error, now_ns, hold=True)
        self._next += count

    def _hand_on(self) -> None:
        """Give what was fetched, once it is known which samples those are."""
        if not self._held or not (self._placed or self._may_place()):
            return
        if not self._placed:
            self._place_run()
        if len(self._held) > 1:
            self._held = _joined(self._held)  # each block costs as much as its samples
        for first, arrays in self._held:
            time_ns = self.clock.time_ns(first)
            self._streams.give(self._all, first, arrays, time_ns=time_ns, period_ns=self.clock.period_ns)
        self._held.clear()
        self._spoiled = 0
        self._last = (self._next - 1, self.clock.time_ns(self._next - 1), self.clock.known_period_ns)

    def _may_place(self) -> bool:
        """Whether the clock is good enough to begin with: the phase, and the first time also the period."""
        patient = self._port.now_ns() - self._run_ns < FIRST_RUN_NS
        return self.clock.settled and (self.clock.measured or not patient)

    def _place_run(self) -> None:
        """Find the index of this run's first sample: by time, since nobody counted meanwhile."""
        first_ns, period_ns = self.clock.time_ns(0), self.clock.period_ns
        if self._last is not None:
            last, last_ns, period_ns = self._last
            index = last + max(1, round((first_ns - last_ns) / period_ns))
        elif self._streams.reason:
            # at the nominal rate, as those that were told as missing meanwhile were counted
            index = max(0, round((first_ns - self._begin_ns) / self._period_ns))
        else:
            index = 0
        index = max(index, self._streams.least_index(first_ns))
        self.clock.shift(index)
        self._held = [(first + index, arrays) for first, arrays in self._held]
        self._next += index
        self._placed = True

    def _heed_rate(self) -> None:
        """Refuse an oscillator that is none of this chip's: its samples' times could not be followed."""
        if self.clock.off_part > PERIOD_TOLERANCE:
            raise ChipError(
                FaultKind.WRONG_CHIP,
                str(self._place),
                got=f"{NS_PER_S / self.clock.period_ns:.4g} samples a second",
                expected=f"{self._driver.rate_hz:g}, give or take {PERIOD_TOLERANCE:.0%}",
            )

    def _heed_silence(self, now_ns: int) -> None:
        quiet_ns = now_ns - self._newest_ns
        if quiet_ns > max(SILENT_LEAST_NS, SILENT_PERIODS * self._period_ns):
            self._driver.check(self._place)
            raise ChipError(
                FaultKind.SILENT,
                str(self._place),
                got=f"no new sample in {quiet_ns / NS_PER_MS:.0f} ms",
                expected=f"{self._driver.rate_hz:g} a second",
            )

    def _next_look_ns(self, waiting: int, took_ns: int, now_ns: int) -> int:
        self._dither = (self._dither + GOLDEN) % 1.0
        if not self._placed:
            step_ns = self._search_ns
            if self._driver.depth > 1:
                step_ns = max(step_ns, min(self.interval_ns, round(SEARCH_COSTS * took_ns)))
            return now_ns + round(step_ns * (0.5 + self._dither))
        if self._doubtful is not None:
            return max(now_ns, self.clock.surely_made_ns(self._next + 1))
        if self._driver.depth > 1:
            return now_ns + self.interval_ns + round(DITHER_PART * self._dither * self._period_ns)
        if not waiting:
            return now_ns + max(EDGE_LEAST_NS, self._period_ns // EDGE_PART)
        due_ns = self.clock.time_ns(self._next)
        if self._dither < EARLY_PART:
            # a look that finds nothing yet is the lower wall that all the others do not give
            early_ns = min(round(self.clock.doubt_ns), self._period_ns // EARLY_MOST_PART)
            return max(now_ns, due_ns - round(early_ns * self._dither / EARLY_PART))
        return max(now_ns, due_ns + EDGE_LEAST_NS)


def _joined(held: list[tuple[int, tuple[Counts, ...]]]) -> list[tuple[int, tuple[Counts, ...]]]:
    """Make one of each row of blocks between which nothing is missing."""
    rows: list[tuple[int, list[tuple[Counts, ...]]]] = []
    end = -1
    for first, arrays in held:
        if first != end:
            rows.append((first, []))
        rows[-1][1].append(arrays)
        end = first + len(arrays[0])
    return [(first, tuple(np.concatenate(parts) for parts in zip(*row, strict=True))) for first, row in rows]
