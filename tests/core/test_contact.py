"""Contacts and voltages, such as the lid's and a leak rope's, on their way up."""

from __future__ import annotations

import numpy as np

from agent.blocks import NS_PER_S, SiBlock
from agent.features.engine import FAMILIES, Features
from agent.streams import TABLE, StreamClass


def told(stream: str, values: list[float], span: int = 1) -> dict[str, object]:
    """Return the columns of samples that are equally spaced over `span` seconds."""
    features = Features([TABLE[stream]])
    times_ns = np.arange(len(values), dtype=np.int64) * span * NS_PER_S // len(values)
    column = np.array(values, np.float32)[:, None]
    features.feed(SiBlock(stream, 0, times_ns, NS_PER_S // 10, column))
    table = features.advance(span * NS_PER_S)
    assert table is not None
    columns: dict[str, object] = features.told(table.merged(span))["columns"]
    return columns


def test_every_class_of_stream_has_its_features() -> None:
    assert set(FAMILIES) == set(StreamClass)


def test_a_lid_is_told_as_the_part_of_the_time_that_it_was_closed() -> None:
    assert told("lid", [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]) == {"lid_closed": [0.7]}


def test_a_leak_rope_is_told_as_its_mean_and_its_smallest_voltage() -> None:
    volts = [2.5, 3.3, 0.4, 3.8]
    assert told("leak", volts) == {"leak_mean_v": [2.5], "leak_min_v": [0.4]}


def test_the_pressure_of_the_air_is_told_as_its_mean() -> None:
    assert told("air_pressure", [101_300, 101_350, 101_350, 101_300], 4) == {"air_pressure_pa": [101_325.0]}
