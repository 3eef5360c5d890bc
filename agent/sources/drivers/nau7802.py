"""NAU7802, 24-bit converter for load cells: Nuvoton's data sheet, revision 1.7.

Power-on sequence: section 9.1. Calibration: 8.6. Registers: 11.1 (PU_CTRL) to 11.10 (0x15), 11.15 (0x1B),
11.16 (0x1C) and 11.19 (revision).

Scale: a count is 2⁻²³ of the full-scale input, and that is 0.5 · VREF / gain (section 7.2). The cell gives
sensitivity · VREF at its capacity, since the bridge is fed with what the converter has for a reference. So
VREF cancels: kg a count = capacity / (2 · gain · 2²³ · sensitivity).

The chip has no copy of its result that would stand still while it is read: a `take` that is late by a whole
period may meet the next result half written. Whoever takes as soon as `look` says so has a period of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec

from agent.blocks import FaultKind
from agent.errors import ConfigError
from agent.sources.drivers.base import (
    BusCost,
    ChipError,
    ChipSettings,
    ChipStream,
    Counts,
    FreeRunning,
    Place,
    StreamName,
    Waiting,
    expect,
    one_signed,
    read_cost,
    set_and_check,
    wrong_chip,
)
from agent.streams import StreamClass, StreamSpec, Unit

PU_CTRL = 0x00
CTRL1 = 0x01
CTRL2 = 0x02
ADCO_B2 = 0x12  # the result, the highest byte first
ADC = 0x15
PGA = 0x1B
POWER = 0x1C
REVISION = 0x1F

RR = 0x01  # PU_CTRL: all registers as after power-up
PUD = 0x02  # power to the digital part
PUA = 0x04  # power to the analogue part
PUR = 0x08  # it is ready
CS = 0x10  # convert, again and again
CR = 0x20  # a result waits; reading it clears this
AVDDS = 0x80  # AVDD from the regulator inside
CALS = 0x04  # CTRL2: calibrate; 0 again when done
CAL_ERR = 0x08
CLOCK_OF_CHOPPER_OFF = 0x30  # 11.10: the only value that is not reserved; 9.1, step 4b
PGA_BITS = 0xF9  # 11.15: bits 1 and 2 are reserved
PGA_CAP_EN = 0x80  # 11.16: a capacitor at the pins of channel 2 filters channel 1
REVISION_NIBBLE = 0x0F

RATE_CODES = {10: 0, 20: 1, 40: 2, 80: 3, 320: 7}  # 11.3, CRS
GAINS = (1, 2, 4, 8, 16, 32, 64, 128)  # 11.2: place is code
LDO_V = (4.5, 4.2, 3.9, 3.6, 3.3, 3.0, 2.7, 2.4)  # 11.2: place is code

BITS = 24
LARGEST = (1 << (BITS - 1)) - 1
POWER_UP_S = 0.001  # 9.1: "about 200 µs"
POWER_UPS = 20
REGULATOR_S = 0.25  # AVDD is the reference: it must stand still before the calibration measures against it
SETTLING = 5  # conversions: the filter remembers four
CALIBRATIONS = 40  # conversions' time in which a calibration ends, and much more than it takes
TOLERANCE = 0.1  # wide on purpose: any chip of any lot; the true rate is measured
LIVELY_GAIN = 32  # 7.5.2: from here on the noise is many counts
STILL_S = 5.0


class Nau7802Settings(ChipSettings, frozen=True, kw_only=True, tag="NAU7802"):
    """One load cell on channel 1.

    ``cell``: the name of its axis. ``capacity_kg`` and ``sensitivity_mv_per_v`` are on the cell's label; a
    certificate corrects what they leave. ``ldo_v``: the chip's own supply for the cell, at least 0.3 V below
    what the chip gets; 0 where AVDD is fed from outside. ``filter_capacitor``: one is fitted between the
    pins of channel 2.
    """

    address: Annotated[int, msgspec.Meta(ge=0x2A, le=0x2A)] = 0x2A
    stream: StreamName = "load"
    cell: StreamName = "load"
    rate_hz: Literal[10, 20, 40, 80, 320] = 80
    gain: Literal[1, 2, 4, 8, 16, 32, 64, 128] = 128
    ldo_v: Annotated[float, msgspec.Meta(ge=0)] = 3.0
    filter_capacitor: bool = True
    capacity_kg: Annotated[float, msgspec.Meta(gt=0)] = 100.0
    sensitivity_mv_per_v: Annotated[float, msgspec.Meta(gt=0)] = 2.0

    def make(self) -> Nau7802:
        """Return the driver. Raises ConfigError."""
        if self.ldo_v and self.ldo_v not in LDO_V:
            raise ConfigError(
                "setting up the NAU7802",
                got=f"ldo_v = {self.ldo_v:g}",
                expected=f"one of {', '.join(f'{v:g}' for v in sorted(LDO_V))}, or 0 for none",
                remedy="Take the largest that is at least 0.3 V below the chip's supply: 3.0 at 3.3 V.",
            )
        at_capacity = 2 * self.gain * self.sensitivity_mv_per_v / 1000
        if at_capacity > 1:
            raise ConfigError(
                "setting up the NAU7802",
                got=f"gain = {self.gain} with a cell of {self.sensitivity_mv_per_v:g} mV/V",
                expected=f"a gain of at most {_largest_gain(self.sensitivity_mv_per_v)}",
                remedy="Lower the gain: the cell would reach the converter's end before its capacity.",
            )
        return Nau7802(self)


def _largest_gain(sensitivity_mv_per_v: float) -> int:
    return max((gain for gain in GAINS if 2 * gain * sensitivity_mv_per_v <= 1000), default=1)


class Nau7802(FreeRunning):
    """The chip, converting without end."""

    chip: ClassVar[str] = "NAU7802"
    addresses: ClassVar[tuple[int, ...]] = (0x2A,)

    def __init__(self, settings: Nau7802Settings) -> None:
        self.rate_hz = float(settings.rate_hz)
        self.depth = 1
        self.burst = 1
        self.tolerance = TOLERANCE
        spec = StreamSpec(
            name=settings.stream,
            axes=(settings.cell,),
            unit=Unit.KG,
            rate_hz=self.rate_hz,
            sample_bits=BITS,
            kind=StreamClass.LOAD,
            scale=settings.capacity_kg
            / (2 * settings.gain * (1 << (BITS - 1)) * settings.sensitivity_mv_per_v / 1000),
        )
        still_s = STILL_S if settings.gain >= LIVELY_GAIN else None
        self.streams = (ChipStream(spec, rails=(-LARGEST - 1, LARGEST), still_s=still_s),)
        regulator = LDO_V.index(settings.ldo_v) << 3 if settings.ldo_v else 0
        self._powered = PUD | PUA | (AVDDS if settings.ldo_v else 0)
        self._running = self._powered | PUR | CS
        self._ctrl1 = regulator | GAINS.index(settings.gain)
        self._ctrl2 = RATE_CODES[settings.rate_hz] << 4
        self._power = PGA_CAP_EN if settings.filter_capacitor else 0

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` unless the revision is the one that all of them have."""
        found = place.read_registers(REVISION)[0]
        # the upper half is not promised, but a line that nobody drives is 0xFF and has the right lower one
        if found & 0x0F != REVISION_NIBBLE or found == 0xFF:
            raise wrong_chip(
                f"reading the revision (register 0x{REVISION:02X})",
                got=f"0x{found:02X}",
                expected="0x0F (NAU7802)",
            )

    def set_up(self, place: Place) -> Iterator[float]:
        """Reset, set, calibrate the offset, convert, and let the filter fill."""
        place.write_register(PU_CTRL, RR)
        place.write_register(PU_CTRL, PUD)
        for _ in range(POWER_UPS):
            yield POWER_UP_S
            if place.read_registers(PU_CTRL)[0] & PUR:
                break
        else:
            raise ChipError(
                FaultKind.SILENT,
                "powering up the converter",
                got=f"not ready after {POWER_UPS * POWER_UP_S * 1000:.0f} ms",
                expected="ready after 0.2 ms",
            )
        # before AVDDS: after a reset the regulator is set to 4.5 V, which the cell need not bear
        set_and_check(place, CTRL1, self._ctrl1)
        set_and_check(place, CTRL2, self._ctrl2)
        set_and_check(place, ADC, CLOCK_OF_CHOPPER_OFF, CLOCK_OF_CHOPPER_OFF)
        set_and_check(place, PGA, 0, PGA_BITS)
        set_and_check(place, POWER, self._power)
        set_and_check(place, PU_CTRL, self._powered, self._powered)
        yield REGULATOR_S
        yield from self._calibrate(place)
        set_and_check(place, PU_CTRL, self._running, 0xFF & ~CR)
        yield SETTLING / self.rate_hz
        self.restart(place)

    def _calibrate(self, place: Place) -> Iterator[float]:
        place.write_register(CTRL2, self._ctrl2 | CALS)
        for _ in range(CALIBRATIONS):
            yield 1 / self.rate_hz
            found = place.read_registers(CTRL2)[0]
            if not found & CALS:
                break
        else:
            raise ChipError(
                FaultKind.SELF_TEST,
                "calibrating the converter's offset",
                got=f"not done after {CALIBRATIONS / self.rate_hz:.1f} s",
                expected="done after a few conversions",
            )
        if found & CAL_ERR:
            raise ChipError(
                FaultKind.SELF_TEST,
                "calibrating the converter's offset",
                got=f"the chip calls it a failure (register 0x{CTRL2:02X} is 0x{found:02X})",
                expected="success: a supply of the cell that stands still",
            )

    def check(self, place: Place) -> None:
        """Read all settings again, in three transactions."""
        control = place.read_registers(PU_CTRL, 3)
        pga, power = place.read_registers(PGA, 2)
        for register, found, mask, wanted in (
            (PU_CTRL, control[0], 0xFF & ~CR, self._running),
            (CTRL1, control[1], 0xFF, self._ctrl1),
            (CTRL2, control[2], 0xFF, self._ctrl2),
            (ADC, place.read_registers(ADC)[0], CLOCK_OF_CHOPPER_OFF, CLOCK_OF_CHOPPER_OFF),
            (PGA, pga, PGA_BITS, 0),
            (POWER, power, 0xFF, self._power),
        ):
            expect(register, found & mask, wanted)

    @property
    def check_cost(self) -> BusCost:
        """What `check` costs."""
        return read_cost(3) + read_cost(2) + read_cost(1)

    def look(self, place: Place) -> Waiting:
        """Ask whether a result waits. The same byte tells when the chip has lost its power meanwhile."""
        found = place.read_registers(PU_CTRL)[0]
        expect(PU_CTRL, found & ~CR, self._running)
        return Waiting(1 if found & CR else 0)

    def take(self, place: Place, count: int) -> tuple[Counts, ...]:
        """Fetch the result: (1, 1) int32."""
        high, middle, low = place.read_registers(ADCO_B2, 3)
        return (one_signed(high << 16 | middle << 8 | low, BITS),)

    def restart(self, place: Place) -> None:
        """Throw away the result that waits."""
        place.read_registers(ADCO_B2, 3)

    @property
    def look_cost(self) -> BusCost:
        """What `look` costs."""
        return read_cost(1)

    def take_cost(self, count: int) -> BusCost:
        """What `take` costs."""
        return read_cost(3)
