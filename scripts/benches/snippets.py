"""Raw samples, coded in pieces of 1 to 10 s, beside pcodec and zstd: ``scripts/bench snippets``.

Pieces are cut at even distances from every recording that a source opens, in the form in which the agent
holds its values, and from two of them as counts of 16 bits, too. Each is given back before it counts.

The peers get what they can use: pcodec its highest level, each of its ways to take differences, the step of
the scale where there is one, each axis for itself or all interleaved; zstd its highest level on the values,
their differences and those of these, axis by axis or interleaved, with their bytes shuffled or not; FLAC's
way (a fixed polynomial and a Rice code, an axis at a time) where there are integers. Of each the smallest
counts; the last is bare bits without any header, and only told.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, standalone

from agent.blocks import Block
from agent.errors import FourPartError
from agent.sample_codec import decode, encode
from agent.sources.log_file import FORMATS, WITH_MAP, open_log
from scripts.benches.figures import Figure
from scripts.benches.uploads import MAPS, RECORDINGS

Values = npt.NDArray[Any]

LENGTHS_S = (1, 2, 5, 10)
PIECES = 16  # of each length, of each recording
LEAST_RATE_HZ = 10.0  # slower streams are sent whole, as features
COUNTS_PER_MPS2 = {"transit-vibration": 1000.0, "driver-behavior": 8192 / 9.80665}
NAMED = tuple(COUNTS_PER_MPS2)
"""The recordings that the promise names, and how a sensor of 16 bits would count in them."""

MORE = {
    "coffee-scale": ("coffee-scale", ("brew.csv", "coldstart.csv")),
}
OTHER_FORMATS = {"endaq-ide": "*.[Ii][Dd][Ee]", "imu-rosbags": "*.bag"}
_ZSTD = zstandard.ZstdCompressor(level=22)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One stream of one kind of recordings: (n, axes) each, in the form in which the agent holds them."""

    name: str
    rate_hz: float
    parts: tuple[Values, ...]

    def pieces(self, length_s: float) -> list[Values]:
        """Cut pieces at even distances."""
        rows = max(2, round(length_s * self.rate_hz))
        places = [(part, at) for part in self.parts for at in range(0, len(part) - rows + 1, rows)]
        chosen = np.unique(np.linspace(0, len(places) - 1, min(PIECES, len(places))).round().astype(int))
        return [places[i][0][places[i][1] : places[i][1] + rows] for i in chosen]


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    figures = []
    timed: list[Values] = []
    for recorded in recordings(args.data):
        for length_s in LENGTHS_S:
            pieces = recorded.pieces(length_s)
            if not pieces:
                continue
            figures.append(sizes(f"{recorded.name}, {length_s} s", pieces))
            if recorded.name.startswith(NAMED):
                timed += pieces[:4]
    below = sum(figure.kept for figure in figures)
    measured = len(figures)
    figures.append(Figure("snippets, kinds and lengths measured", measured, "", at_least=1))
    figures.append(Figure("snippets, of these below every peer", below, "", at_least=measured))
    return figures + (times(timed) if timed else [])


def recordings(data: Path) -> Iterator[Recorded]:
    """Yield what there is."""
    for map_name, (folder, patterns) in {**RECORDINGS, **MORE}.items():
        logs = [log for pattern in patterns for log in sorted((data / folder).glob(pattern))]
        if not logs:
            print(f"  {folder}: skipped, {data / folder} holds no {patterns[0]}", file=sys.stderr)
        for recorded in streams(map_name, logs, MAPS / f"{map_name}.toml"):
            yield recorded
            per_mps2 = COUNTS_PER_MPS2.get(map_name)
            if per_mps2 is not None:
                counts = [np.rint(part * per_mps2).astype(np.int16) for part in recorded.parts]
                yield Recorded(f"{map_name} accel int16", recorded.rate_hz, tuple(counts))
    for folder, pattern in OTHER_FORMATS.items():
        logs = sorted((data / folder).glob(pattern))
        if not {log.suffix.lower() for log in logs} & (FORMATS.keys() - WITH_MAP):
            print(f"  {folder}: skipped, no source opens {pattern}", file=sys.stderr)
            continue
        for log in logs:
            yield from streams(f"{folder} {log.stem}", [log], None)


def streams(name: str, logs: list[Path], map_path: Path | None) -> Iterator[Recorded]:
    """Yield the streams of like logs."""
    parts: dict[str, list[Values]] = {}
    rates_hz: dict[str, float] = {}
    for log in logs:
        source = open_log(log, map_path=map_path)
        try:
            specs = source.open()
        except FourPartError as error:
            print(f"  {log.name}: skipped, {error}", file=sys.stderr)
            continue
        blocks: dict[str, list[Values]] = {spec.name: [] for spec in specs}
        for item in source.items():
            if isinstance(item, Block):
                blocks[item.stream].append(item.values)
        source.close()
        for spec in specs:
            if spec.rate_hz >= LEAST_RATE_HZ and blocks[spec.name]:
                parts.setdefault(spec.name, []).append(np.concatenate(blocks[spec.name]))
                rates_hz.setdefault(spec.name, spec.rate_hz)
    for stream, found in parts.items():
        same = tuple(part for part in found if part.dtype == found[0].dtype)
        yield Recorded(f"{name} {stream} {same[0].dtype}", rates_hz[stream], same)


def sizes(name: str, pieces: list[Values]) -> Figure:
    """Code the pieces in every way; below the smallest peer is the promise."""
    samples = sum(len(piece) for piece in pieces)
    ours = 0
    for piece in pieces:
        data = encode(piece)
        back = decode(data)
        if back.dtype != piece.dtype or back.tobytes() != piece.tobytes():
            raise ValueError(f"{name}: a piece came back as another")
        ours += len(data)
    peers = {"pcodec": sum(map(by_pcodec, pieces)), "zstd": sum(map(by_zstd, pieces))}
    if pieces[0].dtype.kind == "i":
        peers["rice"] = sum(map(by_rice, pieces))
    bits = 8 * ours / (samples * pieces[0].shape[1])
    told = ", ".join(f"{peer} {size / samples:.3f}" for peer, size in peers.items())
    least = min(peers["pcodec"], peers["zstd"]) / samples
    return Figure(name, ours / samples, "B/sample", f"{bits:.2f} bits a number; {told}", at_most=least)


def by_pcodec(piece: Values) -> int:
    """Return pcodec's least bytes."""
    columns = [np.ascontiguousarray(piece[:, i]) for i in range(piece.shape[1])]
    return min(sum(map(_pcodec, columns)), _pcodec(np.ascontiguousarray(piece.ravel())))


def _pcodec(numbers: Values) -> int:
    modes = [ModeSpec.auto()]
    if numbers.dtype.kind == "f":
        gaps = np.diff(np.unique(numbers.astype(np.float64)))
        modes += [ModeSpec.try_float_mult(step) for step in (0.001, 0.01)]
        modes += [ModeSpec.try_float_mult(float(gaps.min()))] if len(gaps) else []
    deltas = [DeltaSpec.auto(), DeltaSpec.no_op(), DeltaSpec.try_consecutive(1), DeltaSpec.try_consecutive(2)]
    if len(numbers) > 64 and numbers.dtype.itemsize <= 4:  # pcodec convolves no wider ones
        deltas += [DeltaSpec.try_conv1(order) for order in (4, 16)]
    return min(
        len(standalone.simple_compress(numbers, ChunkConfig(12, mode_spec=mode, delta_spec=delta)))
        for mode in modes
        for delta in deltas
    )


def by_zstd(piece: Values) -> int:
    """Return zstd's least bytes."""
    width = piece.dtype.itemsize
    whole = np.ascontiguousarray(piece).view(f"i{width}")
    least = []
    for order in range(3):
        for laid in (whole, whole.T):
            raw = np.ascontiguousarray(laid).tobytes()
            shuffled = np.frombuffer(raw, np.uint8).reshape(-1, width).T.tobytes()
            least += [len(_ZSTD.compress(raw)), len(_ZSTD.compress(shuffled))]
        if order < 2:
            whole = np.diff(whole, axis=0, prepend=np.zeros((1, piece.shape[1]), whole.dtype))
    return min(least)


def by_rice(piece: Values) -> int:
    """Return the bytes of a fixed polynomial and a Rice code, the best of each an axis (FLAC, RFC 9639)."""
    bits = 0
    for axis in piece.astype(np.int64).T:
        best = []
        for order in range(min(5, len(axis))):
            residual = np.diff(axis, order)
            folded = np.where(residual >= 0, 2 * residual, -2 * residual - 1)
            best += [order * 32 + int((folded >> k).sum()) + len(folded) * (k + 1) for k in range(31)]
        bits += min(best)
    return (bits + 7) // 8


def times(pieces: list[Values]) -> list[Figure]:
    """Return the processor time, as ratios; the peers' in one way only, which is set beforehand."""
    numbers = sum(piece.size for piece in pieces)
    coded = [encode(piece) for piece in pieces]
    ours_s = cpu_s(lambda: [encode(piece) for piece in pieces])
    back_s = cpu_s(lambda: [decode(data) for data in coded])
    zstd_s = cpu_s(lambda: [_ZSTD.compress(piece.tobytes()) for piece in pieces])
    config = ChunkConfig(12)
    pco_s = cpu_s(lambda: [standalone.simple_compress(piece.ravel(), config) for piece in pieces])
    per_second = 3000 / numbers  # numbers of 3 axes at 1 kHz
    return [
        Figure("snippets, coding: processor time", ours_s / zstd_s, "x", "zstd, level 22"),
        Figure("snippets, coding: processor time", ours_s / pco_s, "x", "pcodec, level 12"),
        Figure("snippets, decoding against coding", back_s / ours_s, "x"),
        Figure("snippets, coding: share of a core", ours_s * per_second, "", "3 axes at 1 kHz, all of it"),
    ]


def cpu_s(work: Callable[[], object]) -> float:
    """Return the least processor time of three runs."""
    took = []
    for _ in range(3):
        began_s = time.process_time()
        work()
        took.append(time.process_time() - began_s)
    return min(took)
