"""The self-tests of motion sensors: what passes, what fails, and what a shaken box must not make fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agent.blocks import FaultKind
from agent.sources.drivers import motion
from agent.sources.drivers.base import ChipError
from agent.sources.drivers.mpu6050 import factory_trim
from tests.i2c.motion_bench import Bench, every_chip


@every_chip
def test_a_healthy_chip_passes_its_own_test(name: str) -> None:
    bench = Bench(name)
    bench.place.finish(bench.driver.self_test(bench.place))
    bench.set_up()
    bench.driver.check(bench.place)


@every_chip
def test_a_dead_chip_fails_its_own_test(name: str) -> None:
    bench = Bench(name)
    bench.chip.self_test_fails = True
    bench.chip.signal = lambda k: (k % 2,) * bench.chip.axes
    with pytest.raises(ChipError) as error:
        bench.place.finish(bench.driver.self_test(bench.place))
    assert error.value.kind is FaultKind.SELF_TEST
    assert "x by" in error.value.got


@every_chip
def test_a_chip_without_samples_does_not_pass_its_own_test(name: str) -> None:
    bench = Bench(name)
    bench.chip.stopped = True
    with pytest.raises(ChipError) as error:
        bench.place.finish(bench.driver.self_test(bench.place))
    assert error.value.kind is FaultKind.SILENT


# counts of one g in the range of each self-test
ONE_G = {"ADXL345": 256, "ADXL355": 64_000, "LIS3DH": 250, "MPU-6050": 4096}


@every_chip
@pytest.mark.parametrize("swing_hz", [0.3, 0.7, 1.0, 1.9, 4.0, 11.0, 37.0])
@pytest.mark.parametrize("swing_g", [0.2, 1.0, 3.0])
def test_a_shaken_box_does_not_fail_its_chip(name: str, swing_hz: float, swing_g: float) -> None:
    for phase in np.linspace(0, 2 * np.pi, 5, endpoint=False):
        bench = Bench(name)
        chip = bench.chip

        def swing(k: int, chip: Any = chip, phase: float = phase) -> tuple[int, ...]:
            value = round(ONE_G[name] * swing_g * np.sin(2e-9 * np.pi * swing_hz * chip.time_ns(k) + phase))
            return tuple([value] * chip.axes)

        chip.signal = swing
        bench.place.finish(bench.driver.self_test(bench.place))


def test_a_dead_chip_fails_even_while_it_drifts() -> None:
    bench = Bench("LIS3DH")
    bench.chip.self_test_fails = True
    bench.chip.signal = lambda k: (k % 500, -k % 500, 250)
    with pytest.raises(ChipError):
        bench.place.finish(bench.driver.self_test(bench.place))


def test_one_failure_is_not_believed() -> None:
    tries: list[bool] = []

    def measure(on: bool) -> Any:
        yield 0.1
        tries.append(on)
        dead = len(tries) <= 5
        return np.full((4, 1), 100 if on and not dead else 0)

    list(motion.run_self_test(measure, ("x",), (50,), (150,), end=1000))
    assert tries == [False, True, False, True, False] * 2


def test_an_mpu6050_without_factory_trim_is_not_judged() -> None:
    bench = Bench("MPU-6050")
    bench.chip.self_test_fails = True
    read = bench.place.read_registers
    bench.place.read_registers = lambda register, count=1: (  # type: ignore[method-assign]
        bytes(4) if register == 0x0D else read(register, count)
    )
    bench.place.finish(bench.driver.self_test(bench.place))


def test_the_factory_trim_is_that_of_the_register_map() -> None:
    # the ends of each code, by the formulas of the register map: 0.34 g and 0.92 g at 4096 LSB/g
    lowest = factory_trim(bytes((0x01, 0x01, 0x01, 0b010101)))
    assert lowest == pytest.approx([1392.64] * 3 + [3275, -3275, 3275])
    highest = factory_trim(bytes((0xFF, 0xFF, 0xFF, 0xFF)))
    assert highest[:3] == pytest.approx([3768.32] * 3)
    assert highest[3:] == pytest.approx(np.array([1, -1, 1]) * 3275 * 1.046**30)
