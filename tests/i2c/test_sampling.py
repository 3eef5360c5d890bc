"""Ten thousand samples of each chip: the right values, at the right times, none missing, none twice."""

from __future__ import annotations

import pytest

from tests.i2c.cases import CASES, Case, truth_of
from tests.i2c.rig import Rig, check_order, check_sum, sample

SAMPLES = 10_000


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ten_thousand_samples(case: Case, rig: Rig) -> None:
    settings, chip = case.make(rig)
    rig.put([chip])
    name = case.streams[0]
    taken = sample(rig, [settings], until=lambda t: t.counts[name] >= SAMPLES)
    check_order(taken)
    truth = truth_of(case, taken, chip)
    print(f"\n{case.name} at {case.rate_on(rig):g} Hz: {truth}, bus {taken.bus.load:.0%}")
    assert not taken.faults, taken.kinds()
    assert not taken.gaps, taken.gaps
    for stream in case.streams:
        check_sum(taken, stream)
    assert set(truth.offsets) == {truth.offsets[0]}, f"not every sample in its place: {truth}"
    assert taken.samples[name][0].index == 0
    period_us = 1e6 / case.rate_on(rig)
    settled = truth.errors_us[len(truth.errors_us) // 4 :]
    # a measurement that the host starts is as late as its thread; one that the chip times is not
    # (on the emulated bus a look takes milliseconds, and is all that the host knows)
    limit_us = period_us * (0.25 if case.triggered else 0.1 if rig.simulated else 0.5)
    assert abs(settled).max() < limit_us, f"{truth}, limit {limit_us:.0f} µs"
    if rig.simulated and not case.triggered:
        assert settled.std() < 60, f"{truth}"
