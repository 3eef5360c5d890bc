"""A place that counts what is done at it, over anything that has a chip's ``write`` and ``read``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from agent.blocks import FaultKind
from agent.sources.drivers.base import BusCost, ChipError
from tests.i2c.simulated_bus import SimClock


class BusChip(Protocol):
    """What of a chip's model is used here."""

    address: int

    def write(self, data: bytes) -> bool:
        """Take one write message; False is a NACK."""

    def read(self, count: int) -> bytes | None:
        """Give one read message; None is a NACK."""

    def stop(self) -> None:
        """See a STOP condition."""


class CountingPlace:
    """Implements ``drivers.base.Place``; each byte takes 25 µs, as at 400 kHz with some overhead."""

    def __init__(self, chip: BusChip, clock: SimClock) -> None:
        self.chip = chip
        self.clock = clock
        self.address = chip.address
        self.cost = BusCost(0, 0)

    def _count(self, octets: int) -> None:
        self.cost += BusCost(1, octets)
        self.clock.advance(octets * 25_000)

    def _refuse(self) -> ChipError:
        return ChipError(FaultKind.NACK, "here", got="nobody answers", expected="an answer")

    def write(self, *data: int) -> None:
        self._count(1 + len(data))
        done = self.chip.write(bytes(data))
        self.chip.stop()
        if not done:
            raise self._refuse()

    def read(self, count: int) -> bytes:
        self._count(1 + count)
        answer = self.chip.read(count)
        self.chip.stop()
        if answer is None:
            raise self._refuse()
        return answer

    def write_register(self, register: int, *values: int) -> None:
        self.write(register, *values)

    def read_registers(self, register: int, count: int = 1) -> bytes:
        self._count(3 + count)
        answer = self.chip.read(count) if self.chip.write(bytes((register,))) else None
        self.chip.stop()
        if answer is None:
            raise self._refuse()
        return answer

    def spent(self) -> BusCost:
        """Return what was done since this was last asked."""
        cost, self.cost = self.cost, BusCost(0, 0)
        return cost

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(round(seconds * 1e9))

    def finish(self, steps: Iterator[float]) -> float:
        """Do a generator's steps and wait as it says; return how long it waited."""
        waited_s = 0.0
        for step_s in steps:
            assert 0 < step_s < 2, f"a wait of {step_s} s"
            waited_s += step_s
            self.wait(step_s)
        return waited_s
