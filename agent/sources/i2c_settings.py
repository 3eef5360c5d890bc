"""``[[source.i2c]]``: one bus of this computer and the chips on it, and what can be wrong with them.

What is checked here needs no bus: it is said before anything is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from agent.errors import ConfigError
from agent.ranges import I2C_BUS, Positive
from agent.sources.drivers import AnyChip, chip_of
from agent.sources.drivers.base import ChipSettings, Driver
from agent.streams import StreamSpec

I2C_DEVICES = Path("/sys/bus/i2c/devices")
DEFAULT_SPEED_HZ = 100_000  # of a Raspberry Pi whose config.txt says nothing
REMEDY = "docs/sensors.md shows each chip with its addresses and keys."

if TYPE_CHECKING:
    BusName = str
else:
    BusName = Annotated[str, msgspec.Meta(pattern=I2C_BUS)] | Annotated[int, msgspec.Meta(ge=0)]


class I2cSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bus. ``bus`` may be written "/dev/i2c-1", "i2c-1" or 1; here it is always the first."""

    bus: BusName
    speed_hz: Annotated[int, msgspec.Meta(ge=1_000, le=5_000_000)] | None = None
    """What the bus runs at; None: what the device tree says, or else `DEFAULT_SPEED_HZ`."""
    timeout_ms: Annotated[int, msgspec.Meta(ge=10, le=10_000)] = 50
    """The kernel gives up a transaction after so long."""
    latency_ms: Positive = 10.0
    """How old a sample may be when it is handed on, if the bus can."""
    chips: tuple[AnyChip, ...] = ()

    def __post_init__(self) -> None:
        """Bring ``bus`` into its one form."""
        name = str(self.bus)
        path = (
            name
            if name.startswith("/")
            else f"/dev/{name}"
            if name.startswith("i2c-")
            else f"/dev/i2c-{name}"
        )
        msgspec.structs.force_setattr(self, "bus", path)

    @property
    def name(self) -> str:
        """The bus in words: "i2c-1"."""
        return self.bus.removeprefix("/dev/")


def speed_hz_of(settings: I2cSettings, devices: Path = I2C_DEVICES) -> int:
    """Return what the bus runs at: as configured, or as the device tree has it, or the usual."""
    if settings.speed_hz is not None:
        return settings.speed_hz
    name = Path(settings.bus).resolve().name
    with contextlib.suppress(OSError):
        said = int.from_bytes((devices / name / "of_node" / "clock-frequency").read_bytes()[:4], "big")
        return said or DEFAULT_SPEED_HZ
    return DEFAULT_SPEED_HZ


def place_words(chip: ChipSettings) -> str:
    """Return where a chip is, on its bus: "0x53", or "0x2A behind 0x70/0"."""
    behind = "" if chip.mux is None else f" behind 0x{chip.mux:02X}/{chip.channel}"
    return f"0x{chip.address:02X}{behind}"


def chip_name(chip: ChipSettings) -> str:
    """Return the name that the configuration has for this kind of chip."""
    return chip_of(chip).name


def cell_of(chip: ChipSettings) -> str | None:
    """Return which axis of a stream this chip gives, where several chips make up one."""
    cell: str | None = getattr(chip, "cell", None)
    return cell


def check_buses(buses: Sequence[I2cSettings], doing: str) -> None:
    """Raise ConfigError for what cannot be: places that collide, or a stream from two sources."""
    for number, settings in enumerate(buses):
        if settings.bus in [other.bus for other in buses[:number]]:
            raise ConfigError(
                doing,
                got=f"two [[source.i2c]] with bus {settings.bus}",
                expected="one for each bus",
                remedy="Put the chips of both into one.",
            )
        if not settings.chips:
            raise ConfigError(
                doing,
                got=f"no chip in [[source.i2c]] {settings.name}",
                expected="at least one in chips",
                remedy=f"`cargobox doctor` lists what answers on {settings.bus}, ready to be pasted.",
            )
        for chip in settings.chips:
            _check_place(chip, settings, doing)
        _check_collisions(settings, doing)
    _check_streams(buses, doing)


def _check_place(chip: ChipSettings, settings: I2cSettings, doing: str) -> None:
    words = f"{chip_name(chip)} in [[source.i2c]] {settings.name}"
    possible = chip_of(chip).driver.addresses
    if chip.address not in possible:
        raise ConfigError(
            doing,
            got=f"address = 0x{chip.address:02X} for the {words}",
            expected=f"{'one of ' if len(possible) > 1 else ''}{_hex(possible)}, as its data sheet has it",
            remedy=REMEDY,
        )
    if (chip.mux is None) != (chip.channel is None):
        given, absent = ("mux", "channel") if chip.channel is None else ("channel", "mux")
        raise ConfigError(
            doing,
            got=f"{given} without {absent} for the {words}",
            expected="both, or neither",
            remedy="mux is the address of the TCA9548A, channel 0 to 7 its output that the chip is on.",
        )


def _check_collisions(settings: I2cSettings, doing: str) -> None:
    where = f"[[source.i2c]] {settings.name}"
    muxes = {chip.mux for chip in settings.chips if chip.mux is not None}
    direct = {chip.address: chip for chip in settings.chips if chip.mux is None}
    taken: dict[tuple[int | None, int | None, int], ChipSettings] = {}
    for chip in settings.chips:
        words = f"the {chip_name(chip)} at {place_words(chip)}"
        place = (chip.mux, chip.channel, chip.address)
        other = taken.setdefault(place, chip)
        if other is not chip:
            raise ConfigError(
                doing,
                got=f"{_both(other, chip)} at {place_words(chip)} in {where}",
                expected="one chip at each address",
                remedy="Give one of them its other address, by its address pin, or put it behind a TCA9548A.",
            )
        if chip.address in muxes:
            raise ConfigError(
                doing,
                got=f"{words} in {where}, and a TCA9548A at the same address",
                expected="an address for each",
                remedy="Give the TCA9548A another address (A0 to A2), or the chip its other one.",
            )
        if chip.mux is not None and chip.address in direct:
            beside = direct[chip.address]
            raise ConfigError(
                doing,
                got=f"{words} in {where}, and the {chip_name(beside)} at {place_words(beside)} beside it",
                expected="behind a TCA9548A no address that the bus itself has: both would answer",
                remedy="Put both behind the TCA9548A, on channels of their own, or change one's address.",
            )


def _check_streams(buses: Sequence[I2cSettings], doing: str) -> None:
    """Raise ConfigError for a stream that two chips give, unless each gives another cell of it."""
    givers: dict[str, list[_Giver]] = {}
    for settings in buses:
        for chip in settings.chips:
            for stream in _made(chip, settings, doing).streams:
                givers.setdefault(stream.spec.name, []).append(_Giver(settings, chip, stream.spec))
    parts = {f"{name}.{axis}" for name, some in givers.items() if len(some) > 1 for axis in _axes(some)}
    for name, some in givers.items():
        wrong, remedy = _quarrel(some)
        if not wrong and name in parts:
            wrong, remedy = "besides the cell that is called so", "Give the stream a name without a dot."
        if wrong:
            listed = ", ".join(f"{chip_name(g.chip)} at {g.bus.name} {place_words(g.chip)}" for g in some)
            raise ConfigError(
                doing,
                got=f"the stream {name!r} {wrong}: {listed}",
                expected="one source of it",
                remedy=remedy,
            )


@dataclass(frozen=True, slots=True)
class _Giver:
    """A chip that gives a stream, or an axis of it."""

    bus: I2cSettings
    chip: ChipSettings
    spec: StreamSpec


def _axes(givers: Sequence[_Giver]) -> list[str]:
    return [axis for giver in givers for axis in giver.spec.axes]


def _made(chip: ChipSettings, settings: I2cSettings, doing: str) -> Driver:
    """Return a driver for what it says of itself; its refusal is told with the file and the place."""
    try:
        return chip.make()
    except ConfigError as error:
        raise ConfigError(
            doing,
            got=f"{error.got} for the {chip_name(chip)} at {settings.name} {place_words(chip)}",
            expected=error.expected,
            remedy=error.remedy,
        ) from error


def _quarrel(givers: Sequence[_Giver]) -> tuple[str, str]:
    """Return what is wrong with several chips for one stream, and the remedy; empty if nothing is."""
    if len(givers) == 1:
        return "", ""
    cells = [cell_of(giver.chip) for giver in givers]
    if None in cells:
        return "twice", 'Name the stream of one of them otherwise: stream = "…", or take the chip out.'
    if len(set(cells)) < len(cells):
        return "with a cell given twice", 'Each chip has a cell = "…" of its own: fl, fr, rl, rr.'
    if len({giver.bus.bus for giver in givers}) > 1:
        return "on two buses", "Put all cells of a scale on one bus, behind a TCA9548A."
    if len({msgspec.json.encode(msgspec.structs.replace(giver.spec, axes=())) for giver in givers}) > 1:
        return (
            "with cells that are not alike",
            "Give all chips of a scale the same rate, gain and cell; a certificate has what differs.",
        )
    return "", ""


def _both(one: ChipSettings, other: ChipSettings) -> str:
    names = chip_name(one), chip_name(other)
    return f"two {names[0]}" if names[0] == names[1] else f"{names[0]} and {names[1]}"


def _hex(addresses: Sequence[int]) -> str:
    return ", ".join(f"0x{address:02X}" for address in addresses)
