"""What all models share: the bus side, the ways to fail, and samples that are made when somebody looks.

A chip's oscillator makes sample k at a time that follows from when measuring was switched on. Nothing runs
meanwhile: whoever looks (a message, or a test that reads `made`) makes the samples that were due, at a cost
that does not depend on how long nobody looked. `signal` says what sample k is; k counts on through power
cycles, and the default makes it readable from the values (`Chip.number_of`).

Always: made = given + lost + discarded + waiting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar

Signal = Callable[[int], tuple[int, ...]]
"""Sample number to the raw count of each axis, in the order in which the chip gives them."""

NEVER_HZ = 0.0
KEPT_RUNS = 200_000


def numbered(axes: int, bits: int) -> Signal:
    """Return a signal that moves on every axis from sample to sample, and has k in it; half of the range."""
    half = 1 << (bits - 2)
    first = (1 << (bits - 1)) - 1
    other = half - 1

    def signal(k: int) -> tuple[int, ...]:
        rest = k >> (bits - 1)
        values = [(k & first) - half]
        for _ in range(axes - 1):
            values.append(((rest & other) << 1 | k & 1) - half)
            rest >>= bits - 2
        return tuple(values)

    return signal


def number_of(values: Sequence[int], bits: int) -> int:
    """Return k of a sample that `numbered` made."""
    half = 1 << (bits - 2)
    k = int(values[0]) + half
    shift = bits - 1
    for value in values[1:]:
        k |= ((int(value) + half) >> 1) << shift
        shift += bits - 2
    return k


def clamp(value: int, low: int, high: int) -> int:
    """Return `value` as a converter gives it that goes from `low` to `high`."""
    return low if value < low else min(high, value)


def signed(value: int, bits: int) -> int:
    """Return a two's complement number of `bits` bits as what it stands for."""
    half = 1 << (bits - 1)
    return ((value & ((1 << bits) - 1)) ^ half) - half


class Chip(ABC):
    """One chip. `now_ns` is the time; `rate_error_ppm`: how much faster its oscillator is than it should be.

    Ways to fail, each may be set at any time: `absent` (NACKs its address), `all_ones` (takes everything,
    answers 0xFF), `identity` (another chip's), `frozen`, `saturated`, `self_test_fails`, `damage`
    (checksums or marker bits), `stopped` (its oscillator is dead).
    """

    default_address: ClassVar[int]
    axes: ClassVar[int] = 3
    coded_bits: ClassVar[int] = 16
    """Width of the default signal: of the smallest format in which the chip gives it."""
    behind: Callable[[], Sequence[Chip]] | None = None
    """Of a multiplexer: the chips that it connects now."""

    def __init__(
        self,
        *,
        now_ns: Callable[[], int],
        address: int | None = None,
        rate_error_ppm: float = 0.0,
        signal: Signal | None = None,
    ) -> None:
        self.address = self.default_address if address is None else address
        self.signal = signal or numbered(self.axes, self.coded_bits)
        self.rate_error_ppm = rate_error_ppm
        self.now_ns = now_ns
        self.absent = False
        self.all_ones = False
        self.identity: int | None = None
        self.self_test_fails = False
        self.damage = False
        self.overrun = False
        self.depth = 1  # samples that it keeps
        self.keeps_oldest = False  # what a full FIFO does with a new sample: lose it, or the oldest
        self.given = 0  # samples that were read
        self.discarded = 0  # samples that were thrown away unread: FIFO emptied, power lost
        self._frozen: tuple[int, ...] | None = None
        self._saturated = False
        self._stopped = False
        self._made = 0
        self._lost = 0
        self._fifo: deque[int] = deque()
        self._fixed: dict[int, tuple[int, ...]] = {}  # values that a later change must not touch
        self._last = (0,) * self.axes  # what the data registers hold
        self._rate_hz = NEVER_HZ
        # Runs of the oscillator: their first sample, when it was switched on, nanoseconds a sample.
        self._run_first: list[int] = []
        self._runs: list[tuple[int, float]] = []
        self._running = False
        self.reset()

    # The bus

    def write(self, data: bytes) -> bool:
        """Take one write message; False is a NACK."""
        if self.absent:
            return False
        return self.take(data)

    def read(self, count: int) -> bytes | None:
        """Give one read message; None is a NACK."""
        if self.absent:
            return None
        if self.all_ones:
            return b"\xff" * count
        return self.give(count)

    def stop(self) -> None:  # noqa: B027 - most chips do not care
        """See a STOP condition."""

    def power_cycle(self) -> None:
        """Forget all that was set, and measure nothing until it is set again."""
        self.measure(NEVER_HZ)
        self.discard()
        self._last = (0,) * self.axes
        self.reset()

    @abstractmethod
    def take(self, data: bytes) -> bool:
        """Do what a write message says."""

    @abstractmethod
    def give(self, count: int) -> bytes | None:
        """Answer a read message."""

    @abstractmethod
    def reset(self) -> None:
        """Put the reset values into the registers."""

    # The truth

    @property
    def made(self) -> int:
        """How many samples it has made since it was created."""
        self.update()
        return self._made

    @property
    def lost(self) -> int:
        """How many of them were overwritten, or found no room, before they were read."""
        self.update()
        return self._lost

    @property
    def waiting(self) -> int:
        """How many of them wait to be read."""
        self.update()
        return len(self._fifo)

    def time_ns(self, k: int) -> int:
        """Return when sample `k` was, or will be, made."""
        at = max(0, bisect_right(self._run_first, k) - 1)
        start_ns, period_ns = self._runs[at]
        return start_ns + int((k - self._run_first[at] + 1) * period_ns)

    def number_of(self, values: Sequence[int]) -> int:
        """Return k of a sample of the default signal, given its counts as the data sheet defines them."""
        return number_of(values, self.coded_bits)

    # Ways to fail that change what samples are

    @property
    def frozen(self) -> bool:
        """Whether every sample is the same as the last before."""
        return self._frozen is not None

    @frozen.setter
    def frozen(self, wanted: bool) -> None:
        self.fix_waiting()
        self._frozen = self.compute(max(0, self._made - 1)) if wanted else None

    @property
    def saturated(self) -> bool:
        """Whether every sample is at the upper end of the range."""
        return self._saturated

    @saturated.setter
    def saturated(self, wanted: bool) -> None:
        self.fix_waiting()
        self._saturated = wanted

    @property
    def stopped(self) -> bool:
        """Whether its oscillator is dead, so that no sample is made."""
        return self._stopped

    @stopped.setter
    def stopped(self, wanted: bool) -> None:
        if wanted != self._stopped:
            rate_hz = self._rate_hz
            self.measure(NEVER_HZ)
            self._stopped = wanted
            self.measure(rate_hz)

    # Samples, for the chips

    def measure(self, rate_hz: float, delay_ns: int = 0) -> None:
        """Begin to measure, the first sample one period after `delay_ns` from now; NEVER_HZ stops."""
        self.update()
        self._rate_hz = rate_hz
        self._running = rate_hz > 0 and not self._stopped
        if self._running:
            self._add_run(self.now_ns() + delay_ns, 1e9 / (rate_hz * (1 + self.rate_error_ppm * 1e-6)))

    def make_one(self, at_ns: int) -> None:
        """Make one sample, of a conversion that was started, at this time."""
        self._add_run(at_ns, 0.0)
        self._made += 1
        self.arrive(self._made - 1, self._made)

    def _add_run(self, start_ns: int, period_ns: float) -> None:
        if self._run_first and self._run_first[-1] == self._made:
            self._run_first.pop()
            self._runs.pop()
        self._run_first.append(self._made)
        self._runs.append((start_ns, period_ns))
        if len(self._runs) > KEPT_RUNS:
            del self._runs[: KEPT_RUNS // 2], self._run_first[: KEPT_RUNS // 2]

    def update(self) -> None:
        """Make the samples that were due since the last look."""
        if not self._running:
            return
        start_ns, period_ns = self._runs[-1]
        passed_ns = self.now_ns() - start_ns
        due = max(0, int(passed_ns / period_ns))
        # int() of a quotient and of a product need not agree to the nanosecond; time_ns() is right.
        if int((due + 1) * period_ns) <= passed_ns:
            due += 1
        elif int(due * period_ns) > passed_ns:
            due -= 1
        due += self._run_first[-1]
        if due > self._made:
            first, self._made = self._made, due
            self.arrive(first, due)

    def arrive(self, first: int, end: int) -> None:
        """Put samples `first` to before `end` into the FIFO; only what stays there costs time."""
        fifo = self._fifo
        before = self._lost
        if self.keeps_oldest:
            stored = min(end - first, max(0, self.depth - len(fifo)))
            fifo.extend(range(first, first + stored))
            self._lost += end - first - stored
        else:
            skipped = max(0, end - first - self.depth)
            self._lost += skipped
            fifo.extend(range(first + skipped, end))
            while len(fifo) > self.depth:
                self._fixed.pop(fifo.popleft(), None)
                self._lost += 1
        if self._lost > before:
            self.overrun = True

    def discard(self) -> None:
        """Empty the FIFO."""
        self.update()
        self.discarded += len(self._fifo)
        self._fifo.clear()
        self._fixed.clear()
        self.overrun = False

    def oldest(self) -> tuple[int, ...]:
        """Return the oldest sample, or what the data registers held last when none waits."""
        if self._fifo:
            self._last = self.values(self._fifo[0])
        return self._last

    def pop(self) -> None:
        """Let go of the oldest sample: it was read."""
        if self._fifo:
            self._fixed.pop(self._fifo.popleft(), None)
            self.given += 1

    def fix_waiting(self) -> None:
        """Keep the values of what waits, because what is set now counts for later samples only."""
        self.update()
        for k in self._fifo:
            self._fixed[k] = self.values(k)

    def values(self, k: int) -> tuple[int, ...]:
        """Return the counts of sample k as they were when it was made."""
        fixed = self._fixed.get(k)
        return self.compute(k) if fixed is None else fixed

    def compute(self, k: int) -> tuple[int, ...]:
        """Return the counts of sample k, made now."""
        low, high = self.limits()
        if self._saturated:
            return (high,) * self.axes
        if self._frozen is not None:
            return self._frozen
        return tuple(
            clamp(value + shift, low, high)
            for value, shift in zip(self.signal(k), self.shifts(), strict=True)
        )

    def limits(self) -> tuple[int, int]:
        """Return the ends of the range, in counts, as it is set now."""
        half = 1 << (self.coded_bits - 1)
        return -half, half - 1

    def shifts(self) -> tuple[int, ...]:
        """Return what is added to each axis: a self-test, an offset register."""
        return (0,) * self.axes


class RegisterChip(Chip):
    """A chip whose first byte written is a register number that counts on; `registers` is what it holds."""

    registers: bytearray

    def __init__(
        self,
        *,
        now_ns: Callable[[], int],
        address: int | None = None,
        rate_error_ppm: float = 0.0,
        signal: Signal | None = None,
    ) -> None:
        self.registers = bytearray(256)
        self.pointer = 0
        super().__init__(now_ns=now_ns, address=address, rate_error_ppm=rate_error_ppm, signal=signal)

    def take(self, data: bytes) -> bool:
        """Set the pointer, then registers."""
        if data:
            self.pointer = data[0]
            for value in data[1:]:
                self.set_register(self.pointer, value)
                self.pointer = self.after(self.pointer)
        return True

    def give(self, count: int) -> bytes:
        """Give registers from the pointer on, as they all are at this moment."""
        self.update()
        answer = bytearray(count)
        for at in range(count):
            answer[at] = self.get_register(self.pointer)
            self.pointer = self.after(self.pointer)
        return bytes(answer)

    def after(self, register: int) -> int:
        """Return the register that follows."""
        return (register + 1) & 0xFF

    def get_register(self, register: int) -> int:
        """Return one register, with what reading it does."""
        return self.registers[register]

    @abstractmethod
    def set_register(self, register: int, value: int) -> None:
        """Write one register, with what writing it does."""
