"""Samples through the third octaves, as the engine feeds them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Clock, QualityFlags, RegularClock, SiBlock
from agent.features.engine import Family
from agent.features.table import F64, Layout, Table
from agent.features.third_octave import ThirdOctaves
from agent.features.windows import Windows
from agent.streams import TABLE, StreamSpec


def accel(rate_hz: float) -> StreamSpec:
    return msgspec.structs.replace(TABLE["accel"], rate_hz=rate_hz)


def block(
    values: npt.NDArray[np.floating],
    rate_hz: float,
    *,
    clock: Clock | None = None,
    start_ns: int = 0,
    quality: QualityFlags | None = None,
) -> SiBlock:
    """One block of (n, axes), or of one axis for (n,)."""
    clock = clock or RegularClock.of_rate(rate_hz, anchor_ns=start_ns)
    columns = values if values.ndim == 2 else values[:, None]
    times = clock.times_ns(0, len(values))
    return SiBlock("accel", 0, times, clock.period_ps // 1000, columns.astype(np.float32), quality)


def pieces(whole: SiBlock, cuts: Sequence[int]) -> list[SiBlock]:
    edges = [0, *sorted(cuts), len(whole)]
    return [
        SiBlock(
            whole.stream,
            whole.first + a,
            whole.times_ns[a:b],
            whole.period_ns,
            whole.values[a:b],
            None if whole.quality is None else whole.quality[a:b],
        )
        for a, b in itertools.pairwise(edges)
        if b > a
    ]


def table_of(family: Family, blocks: Sequence[SiBlock]) -> Table:
    """What the family comes to when it is asked after each block."""
    windows, layout = Windows(), Layout({f"accel.{k}": v for k, v in family.names.items()})
    tables = []
    for i, each in enumerate(blocks):
        windows.feed(each)
        over = int(each.times_ns[-1]) // NS_PER_S if i + 1 < len(blocks) else 1 << 32
        if (window := windows.take(over)) is not None:
            table = layout.empty(window.index)
            for key, array in family.accumulate(window).items():
                table[f"accel.{key}"][:] = array
            tables.append(table)
    return Table.joined(tables)


def mean_squares(values: npt.NDArray[np.floating], rate_hz: float, clock: Clock | None = None) -> F64:
    """Mean square in each band over the whole of one axis: (bands,)."""
    whole = block(np.stack([values, 0 * values, 0 * values + 9.81], axis=1), rate_hz, clock=clock)
    family = ThirdOctaves(accel(rate_hz))
    seconds = np.flatnonzero(np.diff(whole.times_ns // NS_PER_S)) + 1
    table = table_of(family, pieces(whole, seconds[::7].tolist()))
    found, other, constant = family.mean_squares(table.part("accel").whole())[0]
    assert not other.any(), other.max()
    assert constant.max() < 1e-12, constant.max()
    return np.asarray(found, dtype=np.float64)
