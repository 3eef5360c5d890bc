"""A slow computer, held up for longer than a sample takes: what it loses it knows to the sample."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from agent.sources.drivers.adxl345 import Adxl345Settings
from agent.sources.drivers.bme280 import Bme280Settings
from agent.sources.drivers.nau7802 import Nau7802Settings
from agent.sources.i2c_bus import PRIORITY, take_precedence
from tests.i2c.cases import BY_NAME, truth_of
from tests.i2c.rig import check_order, check_sum, sample
from tests.i2c.slow_computer import SlowComputer
from tests.i2c.wiring import box_chips

NAMES = ("ADXL345", "NAU7802", "BME280", "ADS1115")


@pytest.mark.parametrize("seed", range(3))
def test_a_box_of_sensors_on_a_slow_computer_loses_nothing(seed: int) -> None:
    rig = SlowComputer(seed, held_up=0.0)
    chips = box_chips(rig.clock.now_ns)
    rig.put(chips)
    pressure = BY_NAME["ADS1115"]
    settings = [
        Adxl345Settings(rate_hz=200),
        Nau7802Settings(rate_hz=80),
        Bme280Settings(rate_hz=1),
        pressure.settings(10),
    ]
    taken = sample(rig, settings, seconds=30, from_first=True)
    check_order(taken)
    for chip, name in zip(chips, NAMES, strict=True):
        truth = truth_of(BY_NAME[name], taken, chip)
        assert len(set(truth.offsets)) == 1, f"{name}: {truth}"
    assert not taken.faults, taken.kinds()
    assert not taken.gaps, taken.gaps


@pytest.mark.parametrize("seed", range(6))
def test_what_a_chip_without_a_fifo_loses_is_counted_to_the_sample(seed: int) -> None:
    rig = SlowComputer(seed, held_up=0.002)
    case = BY_NAME["NAU7802"]
    settings, chip = case.make(rig)
    chip.now_ns = rig.clock.now_ns  # the chip is not slow
    rig.put([chip])
    taken = sample(rig, [settings], seconds=60, from_first=True)
    check_order(taken)
    truth = truth_of(case, taken, chip)
    assert len(set(truth.offsets)) == 1, f"a sample in the place of another: {truth}"
    assert taken.gaps, "nothing was lost: this test shows nothing"
    for stream in case.streams:
        check_sum(taken, stream)


def test_the_thread_that_samples_goes_before_others() -> None:
    policies: list[int] = []

    def run() -> None:
        take_precedence()
        policies.append(os.sched_getscheduler(0))

    may = threading.Thread(target=_try_it, args=(policies,))
    may.start()
    may.join()
    if policies.pop() != os.SCHED_FIFO:
        pytest.skip("this user may not")
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert policies == [os.SCHED_FIFO]
    take_precedence()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "only that thread, and never the main one"


def _try_it(policies: list[int]) -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    policies.append(os.sched_getscheduler(0))
