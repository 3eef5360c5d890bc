"""One I2C bus of this computer, through the kernel (``/dev/i2c-N``): transactions, and what errors mean.

A transaction is ``[write]``, ``[read]`` or ``[write, read]`` and never longer: the controller of a Raspberry
Pi takes one read message, and only as the last (drivers/i2c/busses/i2c-bcm2835.c). Error numbers: the
kernel's Documentation/i2c/fault-codes.rst.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable
from typing import Protocol

from smbus2 import SMBus, i2c_msg
from smbus2.smbus2 import I2C_RDWR, i2c_rdwr_ioctl_data

from agent.blocks import FaultKind
from agent.sources.drivers.base import ChipError
from agent.sources.drivers.tca9548a import Tca9548a

_I2C_RETRIES = 0x0701  # linux/i2c-dev.h
_I2C_TIMEOUT = 0x0702  # in units of 10 ms

NOBODY = frozenset({errno.ENXIO, errno.EREMOTEIO})
GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.EBADF, errno.ESHUTDOWN})
KEPT_REQUESTS = 256
TRIES = 3  # another master won, or a spike on the line: once more costs less than a fault
STUCK_AFTER = 3  # time-outs in a row: a line is held down, and each further transaction costs a time-out

SWITCH_ON = (
    "On a Raspberry Pi: `sudo raspi-config nonint do_i2c 0`. An adapter on USB: plug it in, and "
    "`sudo modprobe i2c-dev`."
)
_NO_SUCH_BUS = ("there is no such bus", SWITCH_ON)
_NOT_ALLOWED = (
    "permission denied",
    "`sudo usermod -aG i2c $USER`, then log in again; for a service `SupplementaryGroups=i2c`.",
)
# error number on opening → what it means, and what to do
_CANNOT_OPEN = {
    errno.ENOENT: _NO_SUCH_BUS,
    errno.ENODEV: _NO_SUCH_BUS,
    errno.ENXIO: _NO_SUCH_BUS,
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
    errno.ENOTTY: ("it is no I2C bus", "`ls /dev/i2c-*` shows those that there are; correct `bus`."),
}


class Bus(Protocol):
    """What of ``smbus2.SMBus`` is used here; all raise OSError."""

    def i2c_rdwr(self, *i2c_msgs: i2c_msg) -> None:
        """Do these messages in one transaction."""

    def close(self) -> None:
        """Let go of the bus."""


OpenBus = Callable[[str, int], Bus]


def why_not_open(error: OSError) -> tuple[str, str]:
    """Return in words why a bus cannot be opened, and what to do about it."""
    words = error.strerror or str(error)
    return _CANNOT_OPEN.get(error.errno or 0, (words, "`dmesg | grep -i i2c` tells more."))


def open_kernel_bus(path: str, timeout_ms: int) -> KernelBus:
    """Open ``/dev/i2c-N``; the kernel then waits at most `timeout_ms` for a transaction. Raises OSError."""
    bus = SMBus()
    try:
        bus.open(path)
    except OSError:
        bus.close()  # it was a file, but no bus: smbus2 leaves it open
        raise
    fd: int = bus.fd  # type: ignore[assignment]  # None only before it is open
    # not every controller listens to these; its own time-out then holds
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, _I2C_TIMEOUT, max(1, round(timeout_ms / 10)))
        fcntl.ioctl(fd, _I2C_RETRIES, 0)
    # holds nobody off; it shows other users' programs, as the doctor, that the bus is in use (/proc/locks)
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return KernelBus(bus)


class KernelBus:
    """smbus2's bus, with the kernel's request for a pair of messages that comes again made only once."""

    def __init__(self, bus: SMBus) -> None:
        self._bus = bus
        # by the identity of the first message, which is kept alive with it
        self._requests: dict[int, tuple[tuple[i2c_msg, ...], i2c_rdwr_ioctl_data]] = {}

    def i2c_rdwr(self, *i2c_msgs: i2c_msg) -> None:
        """Do these messages in one transaction. Raises OSError."""
        kept = self._requests.get(id(i2c_msgs[0])) if len(i2c_msgs) == 2 else None
        if kept is not None and kept[0][1] is i2c_msgs[1]:
            request = kept[1]
        else:
            request = i2c_rdwr_ioctl_data.create(*i2c_msgs)  # type: ignore[arg-type]  # its stub is wrong
            # single messages are made for one use
            if len(i2c_msgs) == 2 and len(self._requests) < KEPT_REQUESTS:
                self._requests[id(i2c_msgs[0])] = (i2c_msgs, request)
        fd = self._bus.fd
        if fd is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        fcntl.ioctl(fd, I2C_RDWR, request)

    def write_quick(self, i2c_addr: int) -> None:
        """Address a chip to write, and write nothing, as the doctor does. Raises OSError: nobody answers."""
        self._bus.write_quick(i2c_addr)

    def read_byte(self, i2c_addr: int) -> int:
        """Read one byte from a chip, as the doctor does. Raises OSError: nobody answers."""
        return self._bus.read_byte(i2c_addr)

    def close(self) -> None:
        """Let go of the bus."""
        self._bus.close()


class I2cPort:
    """One bus, open or not.

    While it is not open, or a line is held down, each transaction fails at once and costs nothing, until it
    is opened anew. ``begun_ns`` and ``ended_ns``: when the transactions since `mark` began and
    ended, by the host's clock: whatever a chip answered, it answered in between.
    """

    def __init__(
        self,
        path: str,
        *,
        timeout_ms: int = 50,
        open_bus: OpenBus = open_kernel_bus,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.path = path
        self.name = path.removeprefix("/dev/")
        self.stuck = False
        self.busy_ns = 0
        """Time spent in transactions."""
        self.transfers = 0
        self.octets = 0
        self.refused = 0
        """Transactions that failed, each try by itself: nobody answered, or not to the end."""
        self.retried = 0
        """Transactions that were done once more, and then well."""
        self.reopened = 0
        self.begun_ns = self.ended_ns = 0
        self.now_ns = now_ns
        self._timeout_ms = timeout_ms
        self._open_bus = open_bus
        self._bus: Bus | None = None
        self._timeouts = 0
        self._selected: tuple[int, int] | None = None
        self._marked = True
        self._was_open = False
        self._shut = "the bus is gone"
        """Why it is not open, in words."""

    @property
    def is_open(self) -> bool:
        """Whether the bus is there."""
        return self._bus is not None

    def open(self) -> None:
        """Open the bus. Raises `ChipError`: BUS_GONE."""
        try:
            self._bus = self._open_bus(self.path, self._timeout_ms)
        except OSError as error:
            words, remedy = why_not_open(error)
            if not self._was_open:
                self._shut = words
            raise ChipError(
                FaultKind.BUS_GONE,
                f"opening {self.path}",
                got=words,
                expected="an I2C bus of this computer",
                remedy=remedy,
            ) from error
        self._was_open = True
        self._shut = "the bus is gone"
        self.stuck = False
        self._timeouts = 0
        self._selected = None

    def close(self) -> None:
        """Let go of the bus. While it is held, the kernel cannot take a pulled adapter away."""
        bus, self._bus = self._bus, None
        self._selected = None
        if bus is not None:
            with contextlib.suppress(OSError):
                bus.close()

    def place(self, address: int, *, mux: int | None = None, channel: int | None = None) -> BusPlace:
        """Return the place at `address`, behind `channel` of the multiplexer at `mux` if there is one."""
        return BusPlace(self, address, mux, channel)

    def mark(self) -> None:
        """Let `begun_ns` be the beginning of the next transaction."""
        self._marked = True

    def transact(self, address: int, *messages: i2c_msg, octets: int) -> None:
        """Do one transaction of `octets` bytes, addresses included. Raises `ChipError`."""
        for tried in range(1, TRIES + 1):
            bus = self._usable()
            began_ns = self.now_ns()
            if self._marked:
                self._marked = False
                self.begun_ns = began_ns
            try:
                bus.i2c_rdwr(*messages)
            except OSError as error:
                self._count(began_ns, octets)
                again = error.errno in NOBODY or error.errno == errno.EAGAIN
                if tried == TRIES or not again:
                    raise self._failure(address, error, began_ns) from error
            else:
                self._count(began_ns, octets)
                self._timeouts = 0
                self.retried += tried > 1
                return

    def select(self, mux: int | None, channel: int | None) -> None:
        """Connect this channel of this multiplexer, and none of another's. Raises `ChipError`."""
        if mux is None or channel is None or (mux, channel) == self._selected:
            return  # a chip right on the bus is reached through any selection
        last, self._selected = self._selected, None
        if last is not None and last[0] != mux:
            # chips of the same address sit behind several: one that stays connected would answer too
            with contextlib.suppress(ChipError):
                Tca9548a.deselect(BusPlace(self, last[0]))
        Tca9548a.select(BusPlace(self, mux), channel)
        self._selected = (mux, channel)

    def forget_selection(self) -> None:
        """Do not trust what was selected: a multiplexer may have lost its power too."""
        self._selected = None

    def _usable(self) -> Bus:
        if self._bus is None:
            raise ChipError(FaultKind.BUS_GONE, self.name, got=self._shut, expected=self.path)
        if self.stuck:
            raise ChipError(
                FaultKind.STUCK_BUS, self.name, got="a line is held down", expected="SDA and SCL that rise"
            )
        return self._bus

    def _count(self, began_ns: int, octets: int) -> None:
        self.ended_ns = self.now_ns()
        self.busy_ns += self.ended_ns - began_ns
        self.transfers += 1
        self.octets += octets

    def _failure(self, address: int, error: OSError, began_ns: int) -> ChipError:
        self.refused += 1
        took_ms = (self.now_ns() - began_ns) / 1e6
        words = error.strerror or os.strerror(error.errno or 0)
        doing = f"{self.name} 0x{address:02X}"
        code = error.errno
        self._selected = None
        if code in GONE or (code in (errno.EIO, *NOBODY) and self._has_vanished()):
            self.close()
            return ChipError(FaultKind.BUS_GONE, doing, got=f"the bus is gone ({words})", expected=self.path)
        if code == errno.ETIMEDOUT or (code == errno.EIO and took_ms >= self._timeout_ms):
            self._timeouts += 1
            self.stuck = self._timeouts >= STUCK_AFTER
            kind = FaultKind.STUCK_BUS if self.stuck else FaultKind.TIMEOUT
            return ChipError(kind, doing, got=f"no end after {took_ms:.0f} ms", expected="an answer")
        self._timeouts = 0
        if code == errno.EAGAIN:
            got = f"arbitration lost {TRIES} times: another master, or a disturbed line"
            return ChipError(FaultKind.TIMEOUT, doing, got=got, expected="the bus to itself")
        got = "nobody answers" if code in NOBODY else words
        return ChipError(FaultKind.NACK, doing, got=got, expected="an answer")

    def _has_vanished(self) -> bool:
        """Whether a pulled adapter's node has gone from the kernel; an open one then answers EIO, mostly."""
        try:
            self._open_bus(self.path, self._timeout_ms).close()
        except OSError as error:
            return error.errno in GONE
        return False


class BusPlace:
    """A chip's place on an `I2cPort`; implements ``drivers.base.Place``."""

    __slots__ = ("_channel", "_mux", "_port", "_reads", "address")

    def __init__(
        self, port: I2cPort, address: int, mux: int | None = None, channel: int | None = None
    ) -> None:
        self.address = address
        self._port = port
        self._mux = mux
        self._channel = channel
        self._reads: dict[tuple[int, int], tuple[i2c_msg, i2c_msg]] = {}

    @property
    def channel(self) -> tuple[int, int] | None:
        """The multiplexer that it is behind, and the channel; None where it is right on the bus."""
        return None if self._mux is None or self._channel is None else (self._mux, self._channel)

    def __str__(self) -> str:
        """Where it is, in the words of every message."""
        behind = "" if self._mux is None else f" 0x{self._mux:02X}/{self._channel}"
        return f"{self._port.name}{behind} 0x{self.address:02X}"

    def write(self, *data: int) -> None:
        """Write these bytes. Raises `ChipError`."""
        self._port.select(self._mux, self._channel)
        message = i2c_msg.write(self.address, data)
        self._port.transact(self.address, message, octets=1 + len(data))

    def read(self, count: int) -> bytes:
        """Read `count` bytes without saying first from where. Raises `ChipError`."""
        self._port.select(self._mux, self._channel)
        message = i2c_msg.read(self.address, count)
        self._port.transact(self.address, message, octets=1 + count)
        return bytes(message)

    def write_register(self, register: int, *values: int) -> None:
        """Write `values` from `register` on. Raises `ChipError`."""
        self.write(register, *values)

    def read_registers(self, register: int, count: int = 1) -> bytes:
        """Read `count` bytes from `register` on. Raises `ChipError`."""
        self._port.select(self._mux, self._channel)
        messages = self._reads.get((register, count))
        if messages is None:
            messages = (i2c_msg.write(self.address, (register,)), i2c_msg.read(self.address, count))
            if len(self._reads) < 64:
                self._reads[register, count] = messages
        self._port.transact(self.address, *messages, octets=3 + count)
        answer: bytes = messages[1].buf[:count]  # a fifth of the time of bytes(message)
        return answer
