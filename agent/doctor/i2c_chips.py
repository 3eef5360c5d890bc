"""Which chip it is that answers: our drivers are asked first, then the table of strangers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from agent.blocks import FaultKind
from agent.doctor.i2c_scan import Scan
from agent.doctor.strangers import ALIKE, stranger_at, usual_at
from agent.sources.drivers import CHIPS, Chip
from agent.sources.drivers.base import ChipError, ChipSettings, Place
from agent.sources.drivers.tca9548a import Tca9548a
from agent.sources.i2c_settings import cell_of
from firmware_bridge.port_users import PortUser

CELLS = ("fl", "fr", "rl", "rr")
# what a chip cannot do without and has no default for, as an example to begin with
NEEDED = {"inputs": '[{stream = "leak", input = "AIN0", unit = "V"}]'}


@dataclass(frozen=True, slots=True)
class Where:
    """A place in words and figures."""

    address: int
    mux: int | None = None
    channel: int | None = None

    def __str__(self) -> str:
        behind = "" if self.mux is None else f"0x{self.mux:02X}/{self.channel} "
        return f"{behind}0x{self.address:02X}"

    @classmethod
    def of(cls, chip: ChipSettings) -> Where:
        """Return where a configured chip is."""
        return cls(chip.address, chip.mux, chip.channel)


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answers at a place: `name`, and `chip` where it is one that the agent reads.

    ``refusals``: why it is none of those that may be there, in the drivers' own words, by chip.
    """

    where: Where
    name: str = ""
    chip: Chip | None = None
    refusals: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What it is, for people."""
        if self.name:
            alike = ALIKE.get(self.name)
            return f"{self.name} ({alike} would say the same)" if alike else self.name
        return f"somebody ({usual_at(self.where.address)})"


@dataclass(slots=True)
class Seen:
    """All that was found on a bus."""

    scan: Scan = field(default_factory=Scan)
    answers: list[Answer] = field(default_factory=list)
    muxes: list[int] = field(default_factory=list)
    users: tuple[PortUser, ...] = ()
    not_asked: set[Where] = field(default_factory=set)


class HandsOff:
    """A place at which nothing may be written: the agent is measuring there.

    Reading a register is one transaction of its own. A command is not: it could end a measurement.
    """

    def __init__(self, place: Place) -> None:
        self.address = place.address
        self._place = place

    def read_registers(self, register: int, count: int = 1) -> bytes:
        """Read `count` bytes from `register` on."""
        return self._place.read_registers(register, count)

    def read(self, count: int) -> bytes:
        """Refuse: what it gives depends on what was asked before."""
        self._refuse()

    def write(self, *data: int) -> None:
        """Refuse."""
        self._refuse()

    def write_register(self, register: int, *values: int) -> None:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise MayNotAsk


class MayNotAsk(Exception):
    """The chip has no identity that could be read without disturbing who measures with it."""


def recognise(place: Place, where: Where) -> Answer:
    """Ask who is at `place`. Raises MayNotAsk where that is not allowed."""
    refusals: dict[str, str] = {}
    for chip in CHIPS:
        if where.address in chip.driver.addresses:
            try:
                chip.driver.identify(place)
            except ChipError as error:
                refusals[chip.name] = f"{error.got}, expected {error.expected}"
            else:
                return Answer(where, chip.name, chip)
    return Answer(where, stranger_at(place), None, refusals)


def is_there(place: Place, chip: Chip, where: Where) -> Answer | None:
    """Ask a configured chip itself; None where nobody answers.

    Raises MayNotAsk, and `ChipError` where it is the bus that fails.
    """
    for last in (False, False, True):  # a line that is held down shows itself by the third time-out
        try:
            chip.driver.identify(place)
        except ChipError as error:
            if error.kind is FaultKind.TIMEOUT and not last:
                continue
            if error.kind in (FaultKind.TIMEOUT, FaultKind.STUCK_BUS, FaultKind.BUS_GONE):
                raise
            return None if error.kind is FaultKind.NACK else recognise(place, where)
        break
    return Answer(where, chip.name, chip)


def is_mux(place: Place) -> bool:
    """Ask whether a multiplexer is at `place`."""
    try:
        Tca9548a.identify(place)
    except ChipError:
        return False
    return True


def line_for(answer: Answer, streams: set[str], cells: set[str]) -> str:
    """Return a line for the configuration, with names that are free; puts them to `streams` and `cells`."""
    assert answer.chip is not None
    where = answer.where
    parts = [f'chip = "{answer.chip.name}"', f"address = 0x{where.address:02X}"]
    if where.mux is not None:
        parts += [f"mux = 0x{where.mux:02X}", f"channel = {where.channel}"]
    fields = {f.name: f for f in msgspec.structs.fields(answer.chip.settings)}
    one_of_several = "cell" in fields and where.mux is not None
    if one_of_several:
        cell = next(c for c in _names(CELLS, "c") if c not in cells)
        cells.add(cell)
        parts.append(f'cell = "{cell}"')
    for name, about in fields.items():
        if about.required and name in NEEDED:
            parts.append(f"{name} = {NEEDED[name]}")
        elif isinstance(about.default, str) and name != "cell" and not one_of_several:
            free = next(n for n in _names((about.default,), about.default) if n not in streams)
            streams.add(free)
            if free != about.default:
                parts.append(f'{name} = "{free}"')
    return f"{{{', '.join(parts)}}}"


def _names(first: Sequence[str], stem: str) -> Iterator[str]:
    yield from first
    number = len(first) + 1
    while True:
        yield f"{stem}{number}"
        number += 1


def streams_of(chips: Sequence[ChipSettings]) -> tuple[set[str], set[str]]:
    """Return the names of streams and of cells that are in use."""
    streams = {str(stream.spec.name) for chip in chips for stream in chip.make().streams}
    return streams, {cell for chip in chips if (cell := cell_of(chip)) is not None}


def figures_of(bus: str, where: Where, answer: Answer | None, configured: str | None) -> dict[str, Any]:
    """Return a place and who is there, for programs."""
    return {
        "bus": bus,
        "address": f"0x{where.address:02X}",
        "mux": None if where.mux is None else f"0x{where.mux:02X}",
        "channel": where.channel,
        "chip": answer.name or None if answer is not None else None,
        "configured": configured,
    }
