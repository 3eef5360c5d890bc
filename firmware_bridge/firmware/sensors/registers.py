"""A chip's registers, on I2C or on SPI; and what was written there, so that it can be read again."""

import time

from sensors.base import Trouble, hexadecimal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Bus = Any  # machine.I2C or machine.SoftI2C: the stubs give them no common type
    ReadPin = Any


class Registers:
    """Registers of one byte each, by their number."""

    def __init__(self) -> None:
        self.one = bytearray(1)
        self._written: "list[tuple[int, int]]" = []
        self._next = 0

    def read_into(self, register: int, buffer: "bytearray | memoryview") -> None:
        """Fill `buffer` from `register` on; raise OSError. Allocates nothing."""

    def write(self, register: int, value: int) -> None:
        """Write one register; raise OSError."""

    def read(self, register: int) -> int:
        """Return one register; raise OSError. Allocates nothing."""
        self.read_into(register, self.one)
        return self.one[0]

    def identify(self, register: int, expected: int, chip: str) -> None:
        """Raise `Trouble` where the chip is another one."""
        if (got := self.read(register)) != expected:
            raise Trouble("device id " + hexadecimal(got), hexadecimal(expected) + " (" + chip + ")")

    def forget(self) -> None:
        """Begin another set-up."""
        self._written.clear()
        self._next = 0

    def set(self, register: int, value: int) -> None:
        """Write a setting, read it back, and keep it for `check`."""
        self.write(register, value)
        self._compare(register, value)
        self._written.append((register, value))

    def check(self) -> None:
        """Read one of the settings again, another one each time."""
        if self._written:
            self._next = (self._next + 1) % len(self._written)
            setting = self._written[self._next]
            self._compare(setting[0], setting[1])

    def check_all(self) -> None:
        """Read all settings again."""
        for setting in self._written:
            self._compare(setting[0], setting[1])

    def _compare(self, register: int, value: int) -> None:
        got = self.read(register)
        if got != value:
            raise Trouble("register " + hexadecimal(register) + " is " + hexadecimal(got), hexadecimal(value))


class I2cRegisters(Registers):
    """Registers behind an I2C address."""

    def __init__(self, bus: "Bus", address: int, burst_bit: int = 0) -> None:
        """`burst_bit`: what to add to the register's number where several follow one another."""
        super().__init__()
        self._bus = bus
        self._address = address
        self._burst_bit = burst_bit

    def read_into(self, register: int, buffer: "bytearray | memoryview") -> None:
        """Fill `buffer` from `register` on."""
        if len(buffer) > 1:
            register |= self._burst_bit
        self._bus.readfrom_mem_into(self._address, register, buffer)

    def write(self, register: int, value: int) -> None:
        """Write one register."""
        self.one[0] = value
        self._bus.writeto_mem(self._address, register, self.one)


class SpiRegisters(Registers):
    """Registers behind a chip select, as Analog Devices and ST lay them out: bit 7 reads, bit 6 goes on."""

    def __init__(self, bus: "Bus", select: "ReadPin") -> None:
        super().__init__()
        self._bus = bus
        self._select = select
        self._command = bytearray(1)
        self._pair = bytearray(2)

    def read_into(self, register: int, buffer: "bytearray | memoryview") -> None:
        """Fill `buffer` from `register` on."""
        self._command[0] = register | (0xC0 if len(buffer) > 1 else 0x80)
        self._select(0)
        self._bus.write(self._command)
        self._bus.readinto(buffer)
        self._select(1)

    def write(self, register: int, value: int) -> None:
        """Write one register."""
        self._pair[0] = register
        self._pair[1] = value
        self._select(0)
        self._bus.write(self._pair)
        self._select(1)


def wait_ms(milliseconds: int) -> None:
    """Wait while a chip starts: in a set-up only."""
    time.sleep_ms(milliseconds)
