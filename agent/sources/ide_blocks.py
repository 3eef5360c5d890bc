"""What an .IDE file tells of its own soundness: lengths, checksums, statistics, and bits that stand still.

EBML elements say their length and lie within one another, so a cut, or a damaged length, shows where the
chain breaks; what stands before is whole. An element that has a checksum is held to it. Most recorders write
minimum, mean and maximum of a block's counts beside it: a block that contradicts them is damaged. Some (the
digital accelerometers with tags among their counts) write something else there, which contradicts itself:
nothing follows from that. Counts narrower than their word leave its lowest bits as they are: a sample with
others is damaged.
"""

from __future__ import annotations

import enum
import itertools
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 0xA1
CHANNEL_OF_BLOCK = 0xB0
CRC32 = 0xBF
USER_DATA = frozenset({0x10200000, 0x10200001})
"""What the maker's own program adds behind a recording: how a person had it shown."""
MEAN_TOLERANCE = 1.01
"""Counts: recorders cut the mean to a whole number."""
SURE_SHARE, SURE_BLOCKS = 0.75, 4
"""Where so many blocks have the mean cut off to the very number, the others must have it, too."""
FEWEST_SAMPLES = 50  # less does not show which bits stand still
ODD_SHARE = 0.02
"""A bit that is another in more samples than this share is one that is measured."""

BLOCK_SAMPLES = 64
"""A block of so many tells its rate well enough to compare it with the others."""
RATE_TOLERANCE = 0.1

Bools = npt.NDArray[np.bool_]


class Kind(enum.Enum):
    """What an element holds."""

    ELEMENTS = "elements"
    TEXT = "text"
    OTHER = "other"


@dataclass(slots=True)
class Chain:
    """The elements of a file, from its start as far as they hold together.

    ``wrong``: what is behind ``whole`` bytes, in words. ``garbled``: how many texts are none. ``blocks``: how
    many there are of each channel.
    """

    whole: int = 0
    wrong: str = ""
    garbled: int = 0
    blocks: Counter[int] = field(default_factory=Counter)


def chain_of(data: bytes, known: Mapping[int, Kind]) -> Chain:
    """Follow the elements of a file. `known`: the number of each that the format has, and what it holds."""
    chain = Chain()
    while chain.whole < len(data):
        try:
            number, begin, end = _element(data, chain.whole, len(data))
            if number not in known and number not in USER_DATA:
                raise ValueError(f"an element 0x{number:x}, which the format has not")
            _look_at(data, number, begin, end, known, chain)
        except ValueError as error:
            chain.wrong = str(error)
            break
        chain.whole = end
    return chain


def _look_at(data: bytes, number: int, begin: int, end: int, known: Mapping[int, Kind], chain: Chain) -> None:
    """Raise ValueError unless what stands in an element fits into it, and its checksum is right.

    Recorders newer than the format known here have more elements; not in a block.
    """
    kind = known.get(number)
    if kind is Kind.TEXT:
        chain.garbled += not _is_text(data[begin:end])
    if kind is not Kind.ELEMENTS:
        return
    at = begin
    while at < end:
        inner, first, after = _element(data, at, end)
        if number == BLOCK:
            if inner not in known:
                raise ValueError(f"an element 0x{inner:x}, which the format has not")
            if inner == CHANNEL_OF_BLOCK:
                chain.blocks[int.from_bytes(data[first:after], "big")] += 1
        if inner == CRC32 and at == begin and after - first == 4:
            if zlib.crc32(data[after:end]) != int.from_bytes(data[first:after], "little"):
                raise ValueError("a checksum does not match")
        else:
            _look_at(data, inner, first, after, known, chain)
        at = after


def _is_text(data: bytes) -> bool:
    try:
        return data.rstrip(b"\0").decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return number, begin and end of the element at `at`. Raises ValueError."""
    width = _width(data, at, end, longest=4)
    number = int.from_bytes(data[at : at + width], "big")
    at += width
    width = _width(data, at, end, longest=8)
    length = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    at += width
    if length > end - at:
        raise ValueError("it is cut off, or a length is damaged")
    return number, at, at + length


def _width(data: bytes, at: int, end: int, *, longest: int) -> int:
    width = 9 - data[at].bit_length() if at < end else longest + 1
    if width > longest or at + width > end:
        raise ValueError("it is cut off, or no element begins there")
    return width


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a channel's blocks tell against its samples: (samples,) each."""

    contradicted: Bools
    """They stand in blocks that contradict their own statistics, or the channel's rate, as others do not."""
    odd: Bools
    """Bits that stand still in all others are others."""
    none_agrees: bool
    """Not one block agrees with statistics that might be true."""
    turned_back: int
    """So many blocks begin before the one before them ends."""


def judge(blocks: Iterable[Any], samples: int) -> Judgement:
    """Judge a channel by its blocks, as idelib has them."""
    contradicted = np.zeros(samples, np.bool_)
    pieces: list[tuple[int, npt.NDArray[Any]]] = []
    judged: list[tuple[_Agreement, tuple[int, int]]] = []
    spans: list[tuple[float, float, int, int]] = []
    for block in blocks:
        counts = np.asarray(block.payload)
        if counts.dtype.names:
            counts = np.stack([counts[name] for name in counts.dtype.names], axis=1)
        counts = counts.reshape(len(counts), -1)
        begin, end = block.indexRange
        if block.startTime is not None and block.endTime is not None:
            spans.append((float(block.startTime), float(block.endTime), begin, end))
        if counts.dtype.kind in "iu" and end - begin == len(counts) and end <= samples:
            pieces.append((begin, counts))
        if block.minMeanMax is not None and block._minMeanMaxEl is not None:
            judged.append((_agreement(block, counts), (begin, end)))
    believable = sum(found.could for found, _ in judged) * 2 > len(judged)
    agreeing = sum(found.nearly for found, _ in judged)
    exact = sum(found.wholly for found, _ in judged) >= max(SURE_BLOCKS, SURE_SHARE * agreeing)
    for found, (begin, end) in judged:
        if believable and agreeing and not (found.wholly if exact else found.nearly):
            contradicted[begin:end] = True
    turned_back = _judge_times(spans, contradicted)
    return Judgement(contradicted, _odd(pieces, samples), believable and not agreeing, turned_back)


def _judge_times(spans: list[tuple[float, float, int, int]], wrong: Bools) -> int:
    """Mark the blocks whose rate is not the channel's; return how many begin before the last one ends."""
    long = [span for span in spans if span[3] - span[2] >= BLOCK_SAMPLES]
    if len(long) < 3:  # of two, nobody knows which is wrong
        return 0
    usual = float(np.median([(until - since) / (end - begin) for since, until, begin, end in long]))
    for since, until, begin, end in long:
        if abs((until - since) / (end - begin) - usual) > RATE_TOLERANCE * abs(usual):
            wrong[begin:end] = True
    return sum(following[0] < span[1] - usual for span, following in itertools.pairwise(long))


@dataclass(frozen=True, slots=True)
class _Agreement:
    """How a block agrees with its statistics: with the mean to a count, or cut off to the very number."""

    nearly: bool
    wholly: bool
    could: bool
    """Whether they could be true of any block."""


def _agreement(block: Any, counts: npt.NDArray[Any]) -> _Agreement:
    told = (np.asarray(word)[: counts.shape[1]] for word in (block.min, block.mean, block.max))
    least, mean, most = told
    could = bool(
        ((least <= mean + MEAN_TOLERANCE) & (mean <= most + MEAN_TOLERANCE)).all()
        and (mean.any() or not (least.any() or most.any()))
    )
    if not len(counts) or (counts.min(axis=0) != least).any() or (counts.max(axis=0) != most).any():
        return _Agreement(False, False, could)
    own = counts.mean(axis=0, dtype=np.float64)
    nearly = bool((np.abs(own - mean) < MEAN_TOLERANCE).all())
    return _Agreement(nearly, bool((np.trunc(own) == mean).all()), could or nearly)


def _odd(pieces: list[tuple[int, npt.NDArray[Any]]], samples: int) -> Bools:
    """Return which samples have others than the usual in the lowest bits of their words."""
    odd = np.zeros(samples, np.bool_)
    if sum(len(counts) for _, counts in pieces) < FEWEST_SAMPLES:
        return odd
    places = np.concatenate([np.arange(begin, begin + len(counts)) for begin, counts in pieces])
    for axis in range(pieces[0][1].shape[1]):
        counts = np.concatenate([part[:, axis] for _, part in pieces])
        usual, width = _standing_bits(counts)
        if width:
            other = (counts & counts.dtype.type((1 << width) - 1)) != usual
            # a sensor at the end of its scale may fill the whole word
            odd[places[other & (counts != counts.min()) & (counts != counts.max())]] = True
    return odd


def _standing_bits(counts: npt.NDArray[Any]) -> tuple[int, int]:
    """Return how many of the lowest bits of (n,) counts stand still, and what they are: value, width."""
    usual = width = 0
    while width < 8 * counts.dtype.itemsize - 1:
        ones = float(((counts >> width) & 1).mean())
        if ODD_SHARE < ones < 1 - ODD_SHARE:
            break
        usual |= (ones > 0.5) << width
        width += 1
    _, times = np.unique(counts >> width, return_counts=True)
    # where the whole signal stands still, no bit is known for one that is not measured
    return (usual, width) if times.max() * 2 < len(counts) else (0, 0)
