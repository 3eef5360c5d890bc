"""The hand at the bench: what it does, and the file by which the box's own process hears of it.

The file is a journal: one JSON line a move, appended by a single write, and read only up to its last line
end. So nobody reads half a move. The bench writes another beside it: which move it felt, and when.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.virtual.calibration_truth import CELLS

PLACES = ("centre", *CELLS)
COLDEST_DEGC = -40.0
HOTTEST_DEGC = 85.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Turn the box until `up`, a unit vector in its axes, points up: nearly, for it is a hand."""

    up: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Put:
    """Let `mass_kg` stand on the platform at `place`, and nothing else; 0 kg: take off all.

    At the same place, some is put on top or taken from it; where it stands already, it is lifted and put
    back.
    """

    mass_kg: float
    place: str = "centre"


@dataclass(frozen=True, slots=True)
class Heat:
    """Bring the air around the box to `temperature_degc`."""

    temperature_degc: float


Move = Turn | Put | Heat


@dataclass(frozen=True, slots=True)
class Timed:
    """A move, and when it begins, in the bench's own time."""

    begin_s: float
    move: Move


class Hand:
    """Moves what is on the bench; each call returns at once, and is felt after a second or so.

    `journal` is the file through which the bench hears of it, `answer` the one in which it says what it felt.
    """

    def __init__(self, journal: Path, answer: Path) -> None:
        self._journal = journal
        self._answer = answer

    @property
    def felt(self) -> bool:
        """Whether all that was done is in seconds that are made up; they are about to be sampled."""
        return len(read_felt(self._answer)) >= len(MovesReader(self._journal).newer())

    def turn(self, up: tuple[float, float, float]) -> None:
        """Turn the box until `up`, a direction in its axes of any length, points up, then let it lie.

        Raises ValueError for a vector that points nowhere.
        """
        self._do(checked(Turn((float(up[0]), float(up[1]), float(up[2])))))

    def put(self, mass_kg: float, place: str = "centre") -> None:
        """Let `mass_kg` stand at `place`, "centre" or over a cell, in place of what stood anywhere before.

        At the same place, some is put on top or taken from it; where it stands already, it is lifted and
        put back. Raises ValueError for a mass below zero and for a place that there is not.
        """
        self._do(checked(Put(float(mass_kg), place)))

    def take_off(self) -> None:
        """Take everything off the platform."""
        self._do(Put(0.0))

    def heat(self, degc: float) -> None:
        """Bring the air around to `degc`; it takes minutes. Raises ValueError beyond -40 to +85 °C."""
        self._do(checked(Heat(float(degc))))

    def _do(self, move: Move) -> None:
        line = json.dumps(_written(move)).encode() + b"\n"
        fd = os.open(self._journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)


class MovesReader:
    """Reads the moves that came since the last time; nothing that is not there in whole."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._read = 0

    def newer(self) -> list[Move]:
        """Return the moves that were appended since."""
        return [_read(json.loads(line)) for line in self._lines()]

    def _lines(self) -> list[bytes]:
        try:
            with self._journal.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.splitlines()


def tell_felt(path: Path, felt: list[Timed]) -> None:
    """Append what was felt to the bench's own journal."""
    if felt:
        with path.open("ab") as file:
            file.write(
                b"".join(
                    json.dumps({"begin_s": t.begin_s, **_written(t.move)}).encode() + b"\n" for t in felt
                )
            )


def read_felt(path: Path) -> tuple[Timed, ...]:
    """Return what has been felt so far."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    documents = [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
    return tuple(Timed(float(d.pop("begin_s")), _read(d)) for d in documents)


def checked(move: Move) -> Move:
    """Return the move as it can be made. Raises ValueError for one that cannot."""
    match move:
        case Turn(up):
            length = math.hypot(*up)
            if not math.isfinite(length) or length < 1e-9:
                raise ValueError(f"turning the box: up is {up}, expected a direction")
            return Turn((up[0] / length, up[1] / length, up[2] / length))
        case Put(mass_kg, place):
            if not math.isfinite(mass_kg) or mass_kg < 0:
                raise ValueError(f"putting a mass on the platform: {mass_kg} kg, expected 0 or more")
            if place not in PLACES:
                raise ValueError(f"putting a mass on the platform: place {place!r}, expected {PLACES}")
        case Heat(degc):
            if not COLDEST_DEGC <= degc <= HOTTEST_DEGC:
                raise ValueError(
                    f"heating the bench: {degc} °C, expected {COLDEST_DEGC:.0f} to {HOTTEST_DEGC:.0f} °C"
                )
    return move


def _written(move: Move) -> dict[str, object]:
    match move:
        case Turn(up):
            return {"do": "turn", "up": list(up)}
        case Put(mass_kg, place):
            return {"do": "put", "mass_kg": mass_kg, "place": place}
        case Heat(degc):
            return {"do": "heat", "degc": degc}


def _read(document: dict[str, object]) -> Move:
    match document:
        case {"do": "turn", "up": [float(x) | int(x), float(y) | int(y), float(z) | int(z)]}:
            return Turn((float(x), float(y), float(z)))
        case {"do": "put", "mass_kg": float(mass_kg) | int(mass_kg), "place": str(place)}:
            return Put(float(mass_kg), place)
        case {"do": "heat", "degc": float(degc) | int(degc)}:
            return Heat(float(degc))
    raise ValueError(f"reading a move of the hand: {document}, expected turn, put or heat")
