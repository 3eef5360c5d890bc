"""From counts to SI units: by scale and offset, and what is saturated then."""

from __future__ import annotations

import msgspec
import numpy as np

from agent.blocks import Block, Quality, RegularClock
from agent.config import Config, StreamOverride
from agent.correction import Correction
from agent.streams import TABLE, StreamSpec


def corrected(counts: list[int], spec: StreamSpec) -> tuple[list[float], list[int] | None]:
    values = np.array(counts, np.int16)[:, None]
    out = Correction([spec]).apply(Block(spec.name, 0, RegularClock.of_rate(1), values))
    return out.values[:, 0].tolist(), None if out.quality is None else out.quality.tolist()


def spec_of(**changes: float) -> StreamSpec:
    return msgspec.structs.replace(TABLE["temperature"], **changes)


def test_a_count_of_zero_stands_for_the_offset() -> None:
    assert corrected([0, 100, -4], spec_of(scale=0.25, offset=-45.0)) == ([-45.0, -20.0, -46.0], None)


def test_saturation_is_of_the_value_and_not_of_the_count() -> None:
    values, quality = corrected([0, 80, 500], spec_of(scale=0.5, offset=-40.0, full_scale=40.0))
    assert values == [-40.0, 0.0, 210.0]
    assert quality == [Quality.SATURATED, 0, Quality.SATURATED]


def test_without_an_offset_not_a_bit_changes() -> None:
    """Adding nothing would make a zero of a negative zero."""
    values = np.array([[-0.0]], np.float32)
    out = Correction([spec_of()]).apply(Block("temperature", 0, RegularClock.of_rate(1), values))
    assert np.signbit(out.values[0, 0])


def test_the_offset_can_be_overruled() -> None:
    config = Config(streams={"temperature": StreamOverride(offset=2.5)})
    (spec,) = config.apply_to([spec_of(scale=0.5)])
    assert corrected([3], spec) == ([4.0], None)
