"""Whether a sensor still measures: only time in which it was sampled counts against it."""

from __future__ import annotations

import numpy as np

from agent.blocks import NS_PER_S, FaultKind
from agent.sources.drivers.adxl345 import Adxl345Settings
from agent.sources.life_sign import SATURATED_NS, LifeSign

RATE_HZ = 200.0
PERIOD_NS = round(NS_PER_S / RATE_HZ)


def sign() -> LifeSign:
    return LifeSign(Adxl345Settings(rate_hz=200).make().streams[0])


def feed(life: LifeSign, value: int, first_ns: int, seconds: float) -> list[FaultKind | None]:
    """Feed the same value for so long, ten samples at a time."""
    said = []
    for k in range(0, round(seconds * RATE_HZ), 10):
        begin_ns = first_ns + k * PERIOD_NS
        said.append(life.feed(np.full((10, 3), value, np.int16), begin_ns, begin_ns + 9 * PERIOD_NS))
    return said


def test_a_value_that_stands_still_for_too_long() -> None:
    said = feed(sign(), 7, NS_PER_S, 8)
    first = next(i for i, one in enumerate(said) if one is not None)
    assert 4.9 < first * 10 / RATE_HZ < 5.2, said
    assert set(said[first:]) == {FaultKind.STUCK_VALUE}


def test_the_same_value_after_a_pause_is_no_value_that_stood_still() -> None:
    life = sign()
    feed(life, 7, NS_PER_S, 1)
    assert life.feed(np.full((1, 3), 7, np.int16), 60 * NS_PER_S, 60 * NS_PER_S) is None
    said = feed(life, 7, 60 * NS_PER_S + PERIOD_NS, 5)
    assert FaultKind.STUCK_VALUE in said, "but what it stood still before the pause counts"


def test_a_single_shock_after_a_pause_is_no_saturation() -> None:
    life = sign()
    feed(life, 7, NS_PER_S, 1)
    assert life.feed(np.full((1, 3), 4095, np.int16), 60 * NS_PER_S, 60 * NS_PER_S) is None
    said = feed(life, 4095, 60 * NS_PER_S + PERIOD_NS, 2 * SATURATED_NS / NS_PER_S)
    assert FaultKind.SATURATED in said


def test_a_pause_makes_nothing_good_that_stood_still() -> None:
    life = sign()
    feed(life, 7, NS_PER_S, 6)
    again_ns = 60 * NS_PER_S
    assert life.feed(np.full((10, 3), 7, np.int16), again_ns, again_ns) is FaultKind.STUCK_VALUE
    assert life.feed(np.full((10, 3), 8, np.int16), again_ns + NS_PER_S, again_ns + NS_PER_S) is None
