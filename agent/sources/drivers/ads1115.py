"""ADS1115, 16-bit converter with four inputs: Texas Instruments SBAS444, revision E.

Registers: section 8.1 (conversion, config, Lo_thresh, Hi_thresh), the config register's bits: table 8-3.
Full-scale ranges: table 7-1. A conversion ends within one cycle, 1/rate ± 10 % (section 5.5), after some
25 µs for waking up (7.4.2.1).

One conversion at a time, each started by writing all of its settings: the chip forgets nothing that matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec

from agent.blocks import FaultKind
from agent.errors import ConfigError
from agent.sources.drivers.base import (
    SLOWEST_HZ,
    BusCost,
    ChipError,
    ChipSettings,
    ChipStream,
    Counts,
    NotReady,
    Place,
    StreamName,
    Triggered,
    one_signed,
    read_cost,
    write_cost,
    wrong_chip,
)
from agent.streams import StreamClass, StreamSpec, Unit

CONVERSION = 0x00
CONFIG = 0x01
LO_THRESH = 0x02
HI_THRESH = 0x03

OS = 0x8000  # written: start; read: no conversion is under way
SINGLE_SHOT = 0x0100
COMPARATOR_OFF = 0x0003
SETTINGS = 0x7FFF  # all but OS
LOWEST = 0x8000  # Lo_thresh after a reset
HIGHEST = 0x7FFF  # Hi_thresh after a reset
FINEST_BITS = 0x0005  # of a threshold: the ADS1015 has 12 bits, and its last four cannot be written

MUX_CODES = {  # table 8-3
    "AIN0-AIN1": 0,
    "AIN0-AIN3": 1,
    "AIN1-AIN3": 2,
    "AIN2-AIN3": 3,
    "AIN0": 4,
    "AIN1": 5,
    "AIN2": 6,
    "AIN3": 7,
}
GAIN_CODES = {6.144: 0, 4.096: 1, 2.048: 2, 1.024: 3, 0.512: 4, 0.256: 5}  # table 8-3, in V
RATE_CODES = {8: 0, 16: 1, 32: 2, 64: 3, 128: 4, 250: 5, 475: 6, 860: 7}  # table 8-3, in samples/s

BITS = 16
SLOWEST = 1.1  # a conversion may take 10 % longer
WAKE_S = 50e-6  # twice the typical time
TYPICAL_WAKE_S = 25e-6

Input = Literal["AIN0", "AIN1", "AIN2", "AIN3", "AIN0-AIN1", "AIN0-AIN3", "AIN1-AIN3", "AIN2-AIN3"]


class Ads1115Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input and its stream.

    ``input``: against ground, or one against another. ``gain_v``: the voltage that fills the range, either
    way. ``unit``: "V", or "Pa" for a transducer that gives ``zero_v`` without pressure and one more volt for
    ``pa_per_v``. ``data_rate``: conversions a second while it converts: fewer are quieter; left away, the
    slowest that leaves half of the time free.
    """

    stream: StreamName
    input: Input
    unit: Literal["Pa", "V"]
    gain_v: float = 4.096
    data_rate: Literal[8, 16, 32, 64, 128, 250, 475, 860] | None = None
    pa_per_v: Annotated[float, msgspec.Meta(gt=0)] | None = None
    zero_v: float | None = None


class Ads1115Settings(ChipSettings, frozen=True, kw_only=True, tag="ADS1115"):
    """The converter: each of its ``inputs`` once in a round, ``rate_hz`` rounds a second.

    ``supply_v``: what it is fed with. No input may be higher.
    """

    address: Annotated[int, msgspec.Meta(ge=0x48, le=0x4B)] = 0x48
    rate_hz: Annotated[float, msgspec.Meta(ge=SLOWEST_HZ, le=860)] = 10.0
    supply_v: Annotated[float, msgspec.Meta(ge=2.0, le=5.5)] = 3.3
    inputs: Annotated[tuple[Ads1115Input, ...], msgspec.Meta(min_length=1, max_length=4)]

    def make(self) -> Ads1115:
        """Return the driver. Raises ConfigError."""
        names = [item.stream for item in self.inputs]
        for name in names:
            if names.count(name) > 1:
                raise _refusal(
                    got=f"two inputs with the stream {name!r}",
                    expected="a stream of its own for each",
                    remedy="Give each input another name.",
                )
        for item in self.inputs:
            self._check_input(item)
        rates = [item.data_rate or self._quiet_rate() for item in self.inputs]
        needed_s = sum(_longest_s(rate) for rate in rates)
        if needed_s * self.rate_hz > 1:
            raise _refusal(
                got=f"rate_hz = {self.rate_hz:g} with {len(rates)} conversions, {needed_s * 1000:.1f} ms",
                expected=f"at most {1 / needed_s:.4g} rounds a second",
                remedy="Lower rate_hz, raise data_rate (860 at most), or take an input out.",
            )
        return Ads1115(self, rates)

    def _quiet_rate(self) -> int:
        """Return the slowest conversion of which all inputs fit into half a round."""
        at_most_s = 0.5 / (self.rate_hz * len(self.inputs))
        return next((rate for rate in RATE_CODES if _longest_s(rate) <= at_most_s), max(RATE_CODES))

    def _check_input(self, item: Ads1115Input) -> None:
        where = f"in the input {item.input}"
        if item.gain_v not in GAIN_CODES:
            raise _refusal(
                got=f"gain_v = {item.gain_v:g} {where}",
                expected=f"one of {', '.join(f'{v:g}' for v in GAIN_CODES)}",
                remedy="Take the smallest that the signal does not exceed.",
            )
        if item.unit == "V" and (item.pa_per_v is not None or item.zero_v is not None):
            raise _refusal(
                got=f'pa_per_v or zero_v with unit = "V" {where}',
                expected="these with a pressure only",
                remedy='Say unit = "Pa", or take them out.',
            )
        if item.unit == "Pa" and item.pa_per_v is None:
            raise _refusal(
                got=f'unit = "Pa" without pa_per_v {where}',
                expected="how many Pa a volt is",
                remedy="Reckon it from the transducer's label: range in Pa, divided by its span in V.",
            )
        highest_v = min(item.gain_v, self.supply_v)
        lowest_v = -highest_v if "-" in item.input else 0.0
        if not lowest_v <= (item.zero_v or 0.0) < highest_v:
            raise _refusal(
                got=f"zero_v = {item.zero_v:g} {where}",
                expected=f"from {lowest_v:g} to below {highest_v:g}: the range, and the supply of "
                f"{self.supply_v:g} V",
                remedy="Correct zero_v, gain_v or supply_v; a transducer of 5 V needs a divider at 3.3 V.",
            )


def _refusal(*, got: str, expected: str, remedy: str) -> ConfigError:
    return ConfigError("setting up the ADS1115", got=got, expected=expected, remedy=remedy)


def _longest_s(data_rate: int) -> float:
    return WAKE_S + SLOWEST / data_rate


def _stream(item: Ads1115Input, rate_hz: float) -> ChipStream:
    v_per_count = item.gain_v / (1 << (BITS - 1))  # table 7-1
    pressure = item.unit == "Pa"
    per_v = item.pa_per_v or 1.0
    spec = StreamSpec(
        name=item.stream,
        axes=("p",) if pressure else ("v",),
        unit=Unit.PA if pressure else Unit.V,
        rate_hz=rate_hz,
        sample_bits=BITS,
        kind=StreamClass.PRESSURE if pressure else StreamClass.VOLTAGE,
        scale=v_per_count * per_v,
        offset=-(item.zero_v or 0.0) * per_v,
    )
    return ChipStream(spec, rails=(-32768, 32767))


class Ads1115(Triggered):
    """The chip in single-shot mode: it sleeps between the conversions."""

    chip: ClassVar[str] = "ADS1115"
    addresses: ClassVar[tuple[int, ...]] = (0x48, 0x49, 0x4A, 0x4B)

    def __init__(self, settings: Ads1115Settings, data_rates: list[int]) -> None:
        self.rate_hz = settings.rate_hz
        self.streams = tuple(_stream(item, settings.rate_hz) for item in settings.inputs)
        self.conversions = tuple((place,) for place in range(len(self.streams)))
        self._data_rates = data_rates
        self._settings = tuple(
            MUX_CODES[item.input] << 12
            | GAIN_CODES[item.gain_v] << 9
            | SINGLE_SHOT
            | RATE_CODES[rate] << 5
            | COMPARATOR_OFF
            for item, rate in zip(settings.inputs, data_rates, strict=True)
        )

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` (WRONG_CHIP) unless the thresholds behave as this chip's.

        It has no identity register. While its comparator is off, a threshold has no effect: two bits of one
        are changed and put back. With the comparator on, another program uses it, and nothing is tried.
        """
        config = _read(place, CONFIG)
        lo, hi = _read(place, LO_THRESH), _read(place, HI_THRESH)
        seen = f"0x{config:04X}, 0x{lo:04X} and 0x{hi:04X}"
        if config in (0x0000, 0xFFFF) or lo == hi:
            raise _stranger(seen)
        if config & COMPARATOR_OFF != COMPARATOR_OFF:
            raise _stranger(f"{seen}: its comparator is on, so another program uses it, or left it so")
        try:
            _write(place, LO_THRESH, lo ^ FINEST_BITS)
            found = _read(place, LO_THRESH)
        finally:
            _write(place, LO_THRESH, lo)
        if found == lo ^ FINEST_BITS:
            return  # also where these bits were set: somebody was cut off right here
        if found == lo & 0xFFF0:
            raise _stranger("thresholds of 12 bits: an ADS1015")
        raise _stranger(f"{seen}, and a threshold that cannot be set")

    def set_up(self, place: Place) -> Iterator[float]:
        """Write the first input's settings, and the thresholds as after a reset."""
        before = _read(place, CONFIG)
        _write(place, CONFIG, self._settings[0])
        if not before & SINGLE_SHOT:
            yield _longest_s(min(RATE_CODES))  # somebody left it converting: the one under way ends first
        found = _read(place, CONFIG) & SETTINGS
        if found != self._settings[0]:
            # nothing that has this register would keep another value
            raise wrong_chip(
                f"writing the settings (register 0x{CONFIG:02X}) and reading them back",
                got=f"0x{found:04X}",
                expected=f"0x{self._settings[0]:04X}, as it was written (ADS1115)",
            )
        _write(place, LO_THRESH, LOWEST)
        _write(place, HI_THRESH, HIGHEST)
        self.check(place)

    def check(self, place: Place) -> None:
        """Raise `ChipError` unless the settings are those of one of the inputs, the thresholds as set."""
        found = _read(place, CONFIG)
        if found & SETTINGS not in self._settings:
            self._restore(place)
            raise _lost(CONFIG, found & SETTINGS, " or ".join(f"0x{wanted:04X}" for wanted in self._settings))
        for register, wanted in ((LO_THRESH, LOWEST), (HI_THRESH, HIGHEST)):
            found = _read(place, register)
            if found != wanted:
                self._restore(place)
                raise _lost(register, found, f"0x{wanted:04X}")

    def _restore(self, place: Place) -> None:
        """Undo what a disturbed transfer did, lest the chip be taken for one that another program uses."""
        _write(place, CONFIG, self._settings[0])
        _write(place, LO_THRESH, LOWEST)
        _write(place, HI_THRESH, HIGHEST)

    @property
    def check_cost(self) -> BusCost:
        """What `check` costs."""
        return read_cost(2) * 3

    def start(self, place: Place, conversion: int) -> None:
        """Write all settings of this input, and start."""
        _write(place, CONFIG, OS | self._settings[conversion])

    def conversion_s(self, conversion: int) -> float:
        """Longest time that it takes."""
        return _longest_s(self._data_rates[conversion])

    def centre_s(self, conversion: int) -> float:
        """From the start to the middle of what is measured."""
        return TYPICAL_WAKE_S + 0.5 / self._data_rates[conversion]

    def collect(self, place: Place, conversion: int) -> tuple[Counts, ...]:
        """Fetch it, (1, 1) int32, once it is seen to be over and to be that of this input."""
        found = _read(place, CONFIG)
        wanted = self._settings[conversion]
        if found & SETTINGS != wanted:
            self._restore(place)
            raise _lost(CONFIG, found & SETTINGS, f"0x{wanted:04X}")
        if not found & OS:
            raise NotReady
        return (one_signed(_read(place, CONVERSION), BITS),)

    @property
    def round_cost(self) -> BusCost:
        """What a round costs: for each input its settings, the look whether it is over, the value."""
        return (write_cost(2) + read_cost(2) * 2) * len(self._settings)


def _read(place: Place, register: int) -> int:
    high, low = place.read_registers(register, 2)
    return high << 8 | low


def _write(place: Place, register: int, value: int) -> None:
    place.write_register(register, value >> 8, value & 0xFF)


def _stranger(got: str) -> ChipError:
    return wrong_chip(
        "reading the settings and the two thresholds (registers 1 to 3)",
        got=got,
        expected="thresholds of 16 bits that can be set, and no comparator at work (ADS1115)",
    )


def _lost(register: int, found: int, wanted: str) -> ChipError:
    return ChipError(
        FaultKind.REGISTERS,
        f"reading back register 0x{register:02X}",
        got=f"0x{found:04X}",
        expected=f"{wanted}, as it was set; no other program may use it",
    )
