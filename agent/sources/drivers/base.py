"""What a driver of a chip looks like, what of the bus it sees, and what it says when something is wrong.

A driver knows one chip's registers and nothing else: no clock, no thread, no file, no retry. Whoever runs
it (``chip_life.py``) decides when to look, what a fault costs, and which time a sample has.

Two kinds of chips:

* `FreeRunning`: samples by its own oscillator and keeps them in a FIFO, if only of one sample. It is asked
  how many wait, and gives them.
* `Triggered`: measures once when it is told to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import FaultKind
from agent.ranges import NAME
from agent.streams import StreamSpec

Counts = npt.NDArray[Any]
"""(n, axes): integers as the chip counts, or float32 in SI units where the chip's own formula gives those."""

StreamName = Annotated[str, msgspec.Meta(pattern=NAME)]
Address = Annotated[int, msgspec.Meta(ge=0x08, le=0x77)]
"""7 bits. UM10204, table 4: 0x00-0x07 and 0x78-0x7F are reserved."""
Channel = Annotated[int, msgspec.Meta(ge=0, le=7)]
SLOWEST_HZ = 0.001
"""As in the protocol of the boards (docs/protocol.md): what is rarer is no stream."""


class Place(Protocol):
    """A chip's place: on one bus, at one address, perhaps behind a multiplexer.

    Each call is one transaction on the bus: a START, a STOP, and at most one repeated START. All raise
    `ChipError` when it fails.
    """

    address: int

    def write(self, *data: int) -> None:
        """Write these bytes."""

    def read(self, count: int) -> bytes:
        """Read `count` bytes without saying first from where."""

    def write_register(self, register: int, *values: int) -> None:
        """Write `values` from `register` on, in one transaction."""

    def read_registers(self, register: int, count: int = 1) -> bytes:
        """Read `count` bytes from `register` on, in one transaction with a repeated START."""


class ChipError(Exception):
    """A chip, or the bus to it, does not do what it must: in what way, what came, what was expected."""

    def __init__(self, kind: FaultKind, doing: str, *, got: str, expected: str, remedy: str = "") -> None:
        super().__init__(f"{doing}: {got}, expected {expected}{f'. {remedy}' if remedy else ''}")
        self.kind = kind
        self.doing = doing
        self.got = got
        self.expected = expected


class NotReady(Exception):
    """A conversion that was started is not over yet."""


def wrong_chip(doing: str, *, got: str, expected: str) -> ChipError:
    """Return the error for an identity that is another's."""
    return ChipError(FaultKind.WRONG_CHIP, doing, got=got, expected=expected)


def check_identity(place: Place, register: int, expected: int, chip: str, mask: int = 0xFF) -> None:
    """Raise `ChipError` unless `register` holds `expected` under `mask`."""
    found = place.read_registers(register)[0] & mask
    if found != expected:
        raise wrong_chip(
            f"reading the identity (register 0x{register:02X})",
            got=f"0x{found:02X}",
            expected=f"0x{expected:02X} ({chip})",
        )


def set_and_check(place: Place, register: int, value: int, mask: int = 0xFF) -> None:
    """Write a register and read it back; only the bits of `mask` must hold. Raises `ChipError`."""
    place.write_register(register, value)
    check_setting(place, register, value, mask)


def check_setting(place: Place, register: int, value: int, mask: int = 0xFF) -> None:
    """Raise `ChipError` of kind REGISTERS unless `register` still holds what it was set to."""
    expect(register, place.read_registers(register)[0] & mask, value & mask)


def expect(register: int, found: int, value: int) -> None:
    """Raise `ChipError` (REGISTERS) unless `found` is what the register was set to."""
    if found != value:
        raise ChipError(
            FaultKind.REGISTERS,
            f"reading back register 0x{register:02X}",
            got=f"0x{found:02X}",
            expected=f"0x{value:02X}, as it was set",
        )


@dataclass(frozen=True, slots=True)
class ChipStream:
    """One stream that a chip gives.

    ``rails``: values at or beyond which (low, high) a sample is saturated, in what `take` or `collect`
    give; None where it cannot be.
    ``still_s``: a living sensor of this kind moves at least a bit within this time; None where it may not.
    """

    spec: StreamSpec
    rails: tuple[float, float] | None = None
    still_s: float | None = None


@dataclass(frozen=True, slots=True)
class BusCost:
    """What something costs on the bus: transactions, and bytes with addresses and register numbers."""

    transfers: float
    octets: float

    def __add__(self, other: BusCost) -> BusCost:
        return BusCost(self.transfers + other.transfers, self.octets + other.octets)

    def __mul__(self, times: float) -> BusCost:
        return BusCost(self.transfers * times, self.octets * times)


def read_cost(count: int) -> BusCost:
    """Cost of `read_registers` of `count` bytes: address, register, address again, the bytes."""
    return BusCost(1, 3 + count)


def write_cost(count: int) -> BusCost:
    """Cost of `write_register` of `count` bytes: address, register, the bytes."""
    return BusCost(1, 2 + count)


class Driver(ABC):
    """One chip. Methods that wait are generators: they yield how many seconds they want to wait."""

    chip: ClassVar[str]
    """Its name, as on the data sheet."""
    addresses: ClassVar[tuple[int, ...]]
    """Where it can be, by its address pins."""

    streams: tuple[ChipStream, ...]
    rate_hz: float
    """Samples a second of each stream, nominally."""

    @classmethod
    @abstractmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` (WRONG_CHIP) unless this chip answers. Changes nothing that a user could miss."""

    @abstractmethod
    def set_up(self, place: Place) -> Iterator[float]:
        """Reset, write every setting, read each back, start to measure. Raises `ChipError`."""

    def self_test(self, place: Place) -> Iterator[float]:
        """Let the chip test itself, where it can; before `set_up`. Raises `ChipError` (SELF_TEST)."""
        return iter(())

    @abstractmethod
    def check(self, place: Place) -> None:
        """Raise `ChipError` (REGISTERS) unless all settings still are as `set_up` left them."""

    @property
    @abstractmethod
    def check_cost(self) -> BusCost:
        """What `check` costs."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many samples wait in a chip, and whether it has lost some since it was last asked."""

    count: int
    overflowed: bool = False


class FreeRunning(Driver):
    """A chip that samples by its own oscillator."""

    depth: int
    """Samples that it keeps; with 1, an older one is overwritten and nobody is told."""
    burst: int
    """Samples that one call of `take` may fetch in one transaction."""
    tolerance: float
    """How far its oscillator may be off, as a part (data sheet)."""

    @abstractmethod
    def look(self, place: Place) -> Waiting:
        """Ask how many samples wait. One transaction, where the chip allows it."""

    @abstractmethod
    def take(self, place: Place, count: int) -> tuple[Counts, ...]:
        """Fetch the `count` oldest samples: for each stream (count, axes). Raises `ChipError`."""

    @abstractmethod
    def restart(self, place: Place) -> None:
        """Empty the FIFO after an overflow; the settings stay."""

    @property
    @abstractmethod
    def look_cost(self) -> BusCost:
        """What `look` costs."""

    @abstractmethod
    def take_cost(self, count: int) -> BusCost:
        """What `take` of `count` samples costs."""


class Triggered(Driver):
    """A chip that measures when it is told to."""

    conversions: tuple[tuple[int, ...], ...]
    """Each conversion that makes up one round at `rate_hz`: which of `streams` (by place) it gives."""

    @abstractmethod
    def start(self, place: Place, conversion: int) -> None:
        """Begin conversion number `conversion`."""

    @abstractmethod
    def conversion_s(self, conversion: int) -> float:
        """Longest time until `collect` gives it (data sheet's maximum)."""

    def centre_s(self, conversion: int) -> float:
        """From the end of `start` to the middle of what is measured."""
        return self.conversion_s(conversion) / 2

    @abstractmethod
    def collect(self, place: Place, conversion: int) -> tuple[Counts, ...]:
        """Fetch the conversion: for each of its streams (1, axes). Raises NotReady, `ChipError`."""

    @property
    @abstractmethod
    def round_cost(self) -> BusCost:
        """What all conversions of one round cost."""


class ChipSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="chip"):
    """What all chips have in the configuration; each driver adds its own.

    ``mux`` and ``channel``: the TCA9548A that it is behind, if it is.
    """

    address: Address
    mux: Annotated[int, msgspec.Meta(ge=0x70, le=0x77)] | None = None
    channel: Channel | None = None

    def make(self) -> Driver:
        """Return the driver with these settings. Raises ConfigError for what the chip cannot do."""
        raise NotImplementedError


def signed(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.int32]:
    """Return two's complement numbers of `bits` bits: any unsigned array in, int32 out."""
    wide = values.astype(np.int64)
    half = np.int64(1 << (bits - 1))
    return ((wide ^ half) - half).astype(np.int32)


def one_signed(value: int, bits: int) -> npt.NDArray[np.int32]:
    """Return one two's complement number of `bits` bits as (1, 1) int32."""
    half = 1 << (bits - 1)
    return np.array(((value ^ half) - half,), np.int32).reshape(1, 1)
