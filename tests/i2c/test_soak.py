"""A box's sensors on the virtual Pi's bus for ten minutes: no sample lost, and how good their times are."""

from __future__ import annotations

import os

import pytest

from agent.sources.drivers.adxl345 import Adxl345Settings
from agent.sources.drivers.bme280 import Bme280Settings
from agent.sources.drivers.nau7802 import Nau7802Settings
from tests.i2c.cases import BY_NAME, truth_of
from tests.i2c.conftest import IN_THE_GUEST
from tests.i2c.rig import Rig, check_order, check_sum, sample
from tests.i2c.wiring import box_chips

SECONDS = float(os.environ.get("CARGOBOX_SOAK_S", "600" if IN_THE_GUEST else "60"))


@pytest.mark.slow
def test_nothing_is_lost(rig: Rig) -> None:
    chips = box_chips(rig.now_ns)
    rig.put(chips)
    pressure = BY_NAME["ADS1115"]
    settings = [
        Adxl345Settings(rate_hz=200),
        Nau7802Settings(rate_hz=80),
        Bme280Settings(rate_hz=1),
        pressure.settings(10),
    ]
    taken = sample(rig, settings, seconds=SECONDS, from_first=True)
    check_order(taken)
    passed_s = (rig.now_ns() - taken.begun_ns) / 1e9
    port = taken.bus.port
    print(
        f"\n{SECONDS:g} s: {sum(taken.counts.values())} samples, {port.transfers / passed_s:.0f} transfers "
        f"a second, the bus busy for {port.busy_ns / 1e9 / passed_s:.1%} of the time, {port.retried} retried"
    )
    for chip, name in zip(chips, ("ADXL345", "NAU7802", "BME280", "ADS1115"), strict=True):
        case = BY_NAME[name]
        truth = truth_of(case, taken, chip)
        print(f"  {name}: {truth}")
        assert len(set(truth.offsets)) == 1, f"{name}: not every sample in its place"
        for stream in case.streams:
            check_sum(taken, stream)
    assert not taken.faults, taken.kinds()
    assert not taken.gaps, taken.gaps
