"""Trips to put into logs: blocks of every kind that can flow, and hypothesis strategies for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from agent.blocks import (
    Block,
    Clock,
    FaultKind,
    FaultPhase,
    ListedClock,
    RegularClock,
    SensorFault,
    Silence,
)
from agent.sources import Item
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark, TimeQuality

DTYPES = (np.int16, np.int32, np.float32, np.float64)
STREAMS = ("accel", "load", "temperature")
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Trip:
    """What a source gave."""

    specs: tuple[StreamSpec, ...]
    items: tuple[Item, ...]


def values(rng: np.random.Generator, dtype: Any, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Any bits that are a value of `dtype`, NaN and infinities and negative zero too."""
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    some: npt.NDArray[Any] = rng.integers(0, 256, size, np.uint8).view(dtype).reshape(shape)
    return some


@st.composite
def trips(draw: st.DrawFn) -> Trip:
    """Streams of any dtype and clock, cut anywhere, with gaps, flags, silences, faults and marks."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    names = draw(st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3, unique=True))
    specs = tuple(TABLE[name] for name in names)
    dtypes = {name: draw(st.sampled_from(DTYPES)) for name in names}
    listed = {name: draw(st.booleans()) for name in names}
    index = {name: draw(st.integers(0, 1 << 40)) for name in names}
    time_ns = {name: draw(st.integers(0, 1 << 50)) for name in names}
    clocks: dict[str, Clock] = {}
    items: list[Item] = []
    for _ in range(draw(st.integers(1, 25))):
        name = draw(st.sampled_from(names))
        what = draw(st.sampled_from(["block", "block", "block", "gap", "silence", "fault", "mark"]))
        if what == "mark":
            offset_ns = draw(st.integers(-(1 << 60), 1 << 60))
            items.append(TimeMark(time_ns[name], offset_ns, draw(st.sampled_from(list(TimeQuality)))))
            continue
        if what == "silence":
            time_ns[name] += draw(st.integers(1, 5 * SECOND_NS))
            items.append(Silence(name, time_ns[name]))
            clocks.pop(name, None)
            continue
        if what == "fault":
            items.append(draw(faults(name, time_ns[name], names)))
            continue
        count = draw(st.integers(1, 700 if draw(st.booleans()) else 10))
        reason = ""
        if what == "gap":
            index[name] += draw(st.integers(1, 1000))
            reason = draw(st.sampled_from(["log", "cable", "", "Kabel ö"]))
            if draw(st.booleans()):
                clocks.pop(name, None)
        clock = clocks.get(name)
        if clock is None or listed[name]:
            period_ps = draw(st.integers(1_000_000, 10**12))
            if listed[name]:
                steps = rng.integers(1, 2 * period_ps // 1000, count)
                clock = ListedClock(index[name], time_ns[name] + np.cumsum(steps), period_ps)
            else:
                clock = RegularClock(index[name], time_ns[name], period_ps)
            clocks[name] = clock
        axes = len(TABLE[name].axes)
        quality = rng.integers(0, 8, count).astype(np.uint8) if draw(st.booleans()) else None
        block = Block(name, index[name], clock, values(rng, dtypes[name], (count, axes)), quality, reason)
        index[name] = block.end
        time_ns[name] = block.last_ns + 1
        items.append(block)
    return Trip(specs, tuple(items))


def faults(name: str, at_ns: int, names: list[str]) -> st.SearchStrategy[SensorFault]:
    """Any word on a sensor of `name`, with words of any length and of any script."""
    words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    others = st.lists(st.sampled_from(names), max_size=3).map(lambda more: (name, *more))
    return st.builds(
        SensorFault,
        st.just(name),
        st.just(at_ns),
        st.sampled_from(FaultPhase),
        st.sampled_from(FaultKind),
        words,
        others,
        words,
        words,
    )


def drive(seconds: float = 20.0, seed: int = 1, step_s: float = 0.01) -> Trip:
    """A box as it lives: int16 at 1 kHz, int32 at 80 Hz, float32 at 1 Hz, in short blocks; marks between."""
    rng = np.random.default_rng(seed)
    kinds = {"accel": np.int16, "load": np.int32, "temperature": np.float32}
    clocks = {name: RegularClock.of_rate(TABLE[name].rate_hz, anchor_ns=5 * SECOND_NS) for name in kinds}
    sent = dict.fromkeys(kinds, 0)
    items: list[Item] = [TimeMark(0, 0, TimeQuality.UNSET)]
    for step in range(1, round(seconds / step_s) + 1):
        for name, dtype in kinds.items():
            end = int(step * step_s * TABLE[name].rate_hz + 1e-9)
            if end > sent[name]:
                shape = (end - sent[name], len(TABLE[name].axes))
                items.append(
                    Block(name, sent[name], clocks[name], rng.integers(-2000, 2000, shape).astype(dtype))
                )
                sent[name] = end
        if step == round(seconds / step_s / 2):
            items.append(TimeMark(clocks["accel"].time_ns(sent["accel"]), 10**18, TimeQuality.SYNCED))
    return Trip(tuple(TABLE[name] for name in kinds), tuple(items))
