"""What a board says of itself: the host needs no table of its own."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from firmware_bridge import wire
from firmware_bridge.errors import ProtocolError

SAMPLE_BITS = (8, 16, 24, 32)
DEFAULT_TICK_BITS = 32
LEAST_TICK_BITS = 24  # a counter of microseconds that wraps sooner than in 16 s cannot be followed
RATE_LEAST_HZ, RATE_MOST_HZ = 0.001, 100_000.0  # beyond them, a period is no time that can be counted with

# what json.loads and the conversions raise on nonsense; so many brackets that they do not fit the stack too
NONSENSE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

OLDER_BOARD = "`cargobox flash` puts the firmware that belongs to this program on the board."
NEWER_BOARD = (
    "The board's firmware is newer than this program: update the program, "
    "or put its own firmware on the board with `cargobox flash --force`."
)


@dataclass(frozen=True, slots=True)
class BoardStream:
    """One stream as the board describes it; `scale` is the number of `unit` in one count."""

    name: str
    axes: tuple[str, ...]
    unit: str
    scale: float
    rate_hz: float
    sample_bits: int
    full_scale: float | None

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of all axes."""
        return len(self.axes) * self.sample_bits // 8

    @property
    def period_ns(self) -> float:
        """Nominal spacing of the samples."""
        return 1e9 / self.rate_hz


@dataclass(frozen=True, slots=True)
class Description:
    """Who a board is and what it measures."""

    firmware: str
    board: str
    unique_id: str
    reset_cause: str
    boots: int
    session: int
    """The session that is under way; 0 when the board is not sampling."""
    tick_bits: int
    mount_up: tuple[float, float, float] | None
    streams: tuple[BoardStream, ...]
    outputs: tuple[str, ...] = ()
    """Names of what can be moved; their place in this list is their number."""
    slot: str = ""
    trial: bool = False
    """The program was just put on the board and has yet to be confirmed."""
    faults: dict[str, str] = field(default_factory=dict)
    """Sensors that fail: stream → what was being done, what came, what was expected."""


def plain(text: object) -> str:
    """Return what a board said with nothing in it that moves a terminal's cursor or begins a line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def parse_description(body: bytes | bytearray, port: str) -> Description:
    """Read the body of a DESCRIBE frame; raise `ProtocolError`."""
    protocol = body[1] if len(body) > 1 else 0
    if protocol != wire.PROTOCOL_VERSION:
        raise ProtocolError(
            f"board on {port}",
            got=f"it speaks protocol {protocol}",
            expected=f"protocol {wire.PROTOCOL_VERSION}",
            remedy=NEWER_BOARD if protocol > wire.PROTOCOL_VERSION else OLDER_BOARD,
        )
    try:
        about = json.loads(bytes(body[2:]))
        description = Description(
            firmware=plain(about["firmware"]),
            board=plain(about["board"]),
            unique_id=plain(about["id"]),
            reset_cause=plain(about["reset"]),
            boots=int(about["boots"]),
            session=int(about["session"]),
            tick_bits=int(about.get("tick_bits", DEFAULT_TICK_BITS)),
            mount_up=_vector(about.get("mount_up")),
            streams=tuple(_stream(s) for s in about["streams"]),
            outputs=tuple(plain(o["name"]) for o in about.get("outputs", ())),
            slot=plain(about.get("slot", "")),
            trial=bool(about.get("trial", False)),
            faults={
                plain(stream): plain(f"{doing}: {got}, expected {expected}")
                for stream, (doing, got, expected) in about.get("faults", {}).items()
            },
        )
        _check(description)
    except NONSENSE as error:
        raise ProtocolError(
            f"board on {port}",
            got=f"a description that cannot be read ({type(error).__name__}: {plain(error)})",
            expected="the keys of docs/protocol.md",
            remedy="`cargobox flash` puts the firmware that belongs to this program on the board.",
        ) from error
    return description


def _check(description: Description) -> None:
    bits = description.tick_bits
    if not LEAST_TICK_BITS <= bits <= DEFAULT_TICK_BITS:
        raise ValueError(f"a tick counter of {bits} bits")
    names = [s.name for s in description.streams]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"streams {', '.join(names) or 'missing'}")


def _stream(about: dict[str, Any]) -> BoardStream:
    full_scale = about.get("full_scale")
    stream = BoardStream(
        name=plain(about["name"]),
        axes=tuple(plain(a) for a in about["axes"]),
        unit=plain(about["unit"]),
        scale=float(about["scale"]),
        rate_hz=float(about["rate_hz"]),
        sample_bits=int(about["bits"]),
        full_scale=None if full_scale is None else float(full_scale),
    )
    counts = RATE_LEAST_HZ <= stream.rate_hz <= RATE_MOST_HZ  # of a NaN nothing is true
    if stream.sample_bits not in SAMPLE_BITS or not stream.axes or not counts:
        raise ValueError(f"stream {stream.name}: {stream.sample_bits} bits, {stream.rate_hz} Hz")
    if not math.isfinite(stream.scale) or not math.isfinite(stream.full_scale or 0.0):
        raise ValueError(f"stream {stream.name}: scale {stream.scale}, full scale {stream.full_scale}")
    return stream


def _vector(about: Any) -> tuple[float, float, float] | None:
    if about is None:
        return None
    x, y, z = (float(v) for v in about)
    if not math.isfinite(x + y + z):
        raise ValueError(f"mount_up {x}, {y}, {z}")
    return x, y, z
