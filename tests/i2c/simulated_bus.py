"""A bus without a kernel: the methods of smbus2.SMBus that the agent uses, in front of the models of chips.

Time is simulated. Each call takes the time that its bits take on the wire, and asks each chip at the moment
inside it at which the chip would answer.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
from collections.abc import Iterable

from smbus2 import i2c_msg

from scripts.virtual_pi.chips.base import Chip
from scripts.virtual_pi.chips.wire import Wire

READ = 0x0001  # I2C_M_RD, linux/i2c.h


class SimClock:
    """The time of a simulation; it moves only when it is told to."""

    def __init__(self, start_ns: int = 0, *, late_ns: int = 0, seed: int = 1) -> None:
        """`late_ns`: up to how much later than asked `wait_until` returns, at random."""
        self._now_ns = start_ns
        self.late_ns = late_ns
        self._random = random.Random(seed)

    def now_ns(self) -> int:
        """Return the time."""
        return self._now_ns

    def advance(self, ns: int) -> None:
        """Let this much time pass."""
        self._now_ns += ns

    def wait_until(self, due_ns: int) -> None:
        """Jump to `due_ns`, or a little later, as a thread wakes up; never earlier, never back."""
        late_ns = self._random.randint(0, self.late_ns) if self.late_ns else 0
        self._now_ns = max(self._now_ns, due_ns) + late_ns


def failure(number: int) -> OSError:
    """Return the error that the kernel gives for this number."""
    return OSError(number, os.strerror(number))


class SimulatedBus:
    """Chips on a bus, and the ways in which a bus fails. Itself an open SMBus; `open` gives further ones.

    ``stuck``: every call takes `timeout_ns` and raises ETIMEDOUT. ``gone``: an open one answers `gone_errno`
    for ever, opening finds no file. ``arbitration_losses``: so many calls raise EAGAIN. ``fail_next``: raised
    by the next calls, one each. ``nack_errno``: ENXIO as of i2c-tiny-usb, EREMOTEIO as of the Pi's own.
    """

    def __init__(
        self,
        clock: SimClock,
        chips: Iterable[Chip],
        speed_hz: int = 400_000,
        overhead_ns: int = 20_000,
    ) -> None:
        self.clock = clock
        self.wire = Wire(chips)
        self.bit_ns = 1e9 / speed_hz
        self.overhead_ns = overhead_ns
        self.nack_errno = errno.ENXIO
        self.gone_errno = errno.ENODEV
        self.stuck = False
        self.timeout_ns = 1_000_000_000
        self.arbitration_losses = 0
        self.fail_next: list[OSError] = []
        self.transfers = 0
        self.busy_ns = 0
        self.opened = 0
        self.generation = 0
        self._gone = False

    @property
    def gone(self) -> bool:
        """Whether the adapter is unplugged."""
        return self._gone

    @gone.setter
    def gone(self, wanted: bool) -> None:
        if wanted and not self._gone:
            self.generation += 1
        self._gone = wanted

    def open(self, bus: object = None) -> OpenBus:
        """Open it once more, as ``SMBus(bus)`` does."""
        if self.gone:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(bus))
        self.opened += 1
        return OpenBus(self)

    def i2c_rdwr(self, *i2c_msgs: i2c_msg) -> None:
        """Do one transaction; fills the read messages. Raises OSError."""
        if sum(msg.flags & READ for msg in i2c_msgs[:-1]) or len(i2c_msgs) > 2:
            raise failure(errno.EOPNOTSUPP)  # one read at most, and last: i2c-bcm2835
        begun_ns = self._begin()
        try:
            for msg in i2c_msgs:
                self._message(msg)
        finally:
            self._end(begun_ns)

    def write_quick(self, i2c_addr: int, force: bool | None = None) -> None:
        """Ask whether anybody answers at this address."""
        self.i2c_rdwr(i2c_msg.write(i2c_addr, []))

    def read_byte(self, i2c_addr: int, force: bool | None = None) -> int:
        """Read one byte."""
        msg = i2c_msg.read(i2c_addr, 1)
        self.i2c_rdwr(msg)
        return bytes(msg)[0]

    def close(self) -> None:
        """Close it; a simulated bus does not mind."""

    def _begin(self) -> int:
        begun_ns = self.clock.now_ns()
        if self.gone:
            raise failure(self.gone_errno)
        if self.stuck:
            self.clock.advance(self.timeout_ns)
            raise failure(errno.ETIMEDOUT)
        self.clock.advance(self.overhead_ns)
        if self.fail_next:
            raise self.fail_next.pop(0)
        if self.arbitration_losses > 0:
            self.arbitration_losses -= 1
            raise failure(errno.EAGAIN)
        return begun_ns

    def _message(self, msg: i2c_msg) -> None:
        self._bits(10)  # START, address, acknowledge
        if msg.flags & READ:
            answer = self.wire.read(msg.addr, msg.len)
            if answer is None:
                raise failure(self.nack_errno)
            self._bits(9 * msg.len)
            ctypes.memmove(msg.buf, answer, msg.len)
            return
        if not self.wire.heard_by(msg.addr):
            raise failure(self.nack_errno)
        self._bits(9 * msg.len)
        if not self.wire.write(msg.addr, bytes(msg)):
            raise failure(self.nack_errno)

    def _bits(self, count: int) -> None:
        self.clock.advance(int(count * self.bit_ns))

    def _end(self, begun_ns: int) -> None:
        self._bits(1)
        self.wire.stop()
        self.transfers += 1
        self.busy_ns += self.clock.now_ns() - begun_ns


class OpenBus:
    """One opening of a `SimulatedBus`; useless after the adapter was unplugged, even when it is back."""

    def __init__(self, bus: SimulatedBus) -> None:
        self._bus = bus
        self._generation = bus.generation
        self.closed = False

    def i2c_rdwr(self, *i2c_msgs: i2c_msg) -> None:
        """Do one transaction."""
        self._check()
        self._bus.i2c_rdwr(*i2c_msgs)

    def write_quick(self, i2c_addr: int, force: bool | None = None) -> None:
        """Ask whether anybody answers at this address."""
        self._check()
        self._bus.write_quick(i2c_addr, force)

    def read_byte(self, i2c_addr: int, force: bool | None = None) -> int:
        """Read one byte."""
        self._check()
        return self._bus.read_byte(i2c_addr, force)

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def _check(self) -> None:
        if self.closed:
            raise failure(errno.EBADF)
        if self._generation != self._bus.generation:
            raise failure(self._bus.gone_errno)
