"""Four cables between a box and the host: a good one and three bad ones, the same each time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

SEED = 20_260_101
LOSS = 0.2

Spoil = Callable[[bytes], list[bytes]]


@dataclass(frozen=True)
class Transport:
    """What a cable does: `spoil` makes, of a seed, what one direction of it does to the bytes.

    `delay_s`: how long bytes are under way.
    """

    name: str
    spoil: Callable[[int], Spoil]
    delay_s: float = 0.0


def _clean(_seed: int) -> Spoil:
    return lambda data: [data]


def _byte_by_byte(_seed: int) -> Spoil:
    return lambda data: [data[i : i + 1] for i in range(len(data))]


def _lossy(seed: int) -> Spoil:
    """Of each five frames one is lost, cut short, damaged in a byte, or struck by a burst of 16 bits."""
    chance = random.Random(seed)
    partial = b""

    def spoil(data: bytes) -> list[bytes]:
        nonlocal partial
        *frames, partial = (partial + data).split(b"\0")
        return [_spoilt(chance, frame) if chance.random() < LOSS else frame + b"\0" for frame in frames]

    return spoil


def _spoilt(chance: random.Random, frame: bytes) -> bytes:
    if not frame:
        return b"\0"
    where = chance.randrange(len(frame))
    match chance.randrange(4):
        case 0:
            return b""
        case 1:
            return frame[:where]  # and no delimiter: the next frame is spoilt too
        case 2:
            return (
                frame[:where] + bytes([frame[where] ^ chance.randrange(1, 256)]) + frame[where + 1 :] + b"\0"
            )
        case _:
            bits = int.from_bytes(frame, "little") ^ chance.randrange(1, 1 << 16) << chance.randrange(
                8 * len(frame)
            )
            return (bits & (1 << 8 * len(frame)) - 1).to_bytes(len(frame), "little") + b"\0"


def _chopped(seed: int) -> Spoil:
    """Pieces of any size, cut anywhere."""
    chance = random.Random(seed)

    def spoil(data: bytes) -> list[bytes]:
        pieces = []
        while data:
            size = chance.choice([1, 7, 33, 500, 3000])
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    return spoil


TRANSPORTS = (
    Transport("normal", _clean),
    Transport("one byte at a time", _byte_by_byte),
    Transport("20 % of frames lost or damaged", _lossy),
    Transport("delayed and re-chunked", _chopped, delay_s=0.15),
)
