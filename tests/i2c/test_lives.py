"""The life of one chip beside others: what it must not believe, nor let the others pay for."""

from __future__ import annotations

import itertools

import pytest

from agent.blocks import Block, SensorFault, Silence
from scripts.virtual_pi.chips.base import Chip
from tests.i2c.cases import BY_NAME, Case, truth_of
from tests.i2c.rig import SimulatedRig, Taken, check_order, sample
from tests.i2c.simulated_bus import failure


def run(case: Case, rate_hz: float, error_ppm: float, seconds: float) -> tuple[Taken, Chip]:
    """Sample a chip whose oscillator is so far off."""
    rig = SimulatedRig()
    chip = case.model(now_ns=rig.now_ns, rate_error_ppm=error_ppm)
    rig.put([chip])
    taken = sample(rig, [case.settings(rate_hz)], seconds=seconds)
    check_order(taken)
    return taken, chip


@pytest.mark.parametrize("error_ppm", [-150_000, 150_000, 300_000, 900_000])
@pytest.mark.parametrize("name", ["ADXL345", "ADXL355", "NAU7802"])
def test_an_oscillator_that_is_none_of_its_kind_is_told_and_not_followed(name: str, error_ppm: float) -> None:
    case = BY_NAME[name]
    taken, _ = run(case, case.kernel_rate_hz, error_ppm, 20)
    assert not taken.counts, f"{sum(taken.counts.values())} samples whose times nobody knows"
    assert taken.kinds()[-1].endswith(("wrong_chip", "silent", "overflow")), taken.kinds()
    assert len(taken.kinds()) <= 3, f"told again and again: {taken.kinds()}"
    assert taken.bus.load < 0.1, f"the others' bus is busy for {taken.bus.load:.0%} of the time"


@pytest.mark.parametrize("error_ppm", [-95_000, 100_000])
@pytest.mark.parametrize("name", ["ADXL345", "ADXL355", "MPU-6050", "NAU7802"])
def test_one_that_is_far_off_is_followed_all_the_same(name: str, error_ppm: float) -> None:
    case = BY_NAME[name]
    taken, chip = run(case, case.kernel_rate_hz, error_ppm, 12)
    assert not taken.faults and not taken.gaps, taken.kinds()
    truth = truth_of(case, taken, chip)
    assert abs(truth.errors_us).max() < 1000, f"{truth}"


def test_another_oscillator_is_found_after_a_chip_was_replaced() -> None:
    case = BY_NAME["ADXL345"]
    rig = SimulatedRig()
    first = case.model(now_ns=rig.now_ns, rate_error_ppm=20_000.0)
    second = case.model(now_ns=rig.now_ns, rate_error_ppm=-40_000.0)
    second.absent = True
    rig.put([first, second])

    def replace() -> None:
        first.absent, second.absent = True, False

    taken = sample(rig, [case.settings(200)], seconds=14, script=[(6.0, replace)], from_first=True)
    check_order(taken)
    assert taken.kinds()[-1].startswith("end"), taken.kinds()
    late = [s for s in taken.samples["accel"] if s.time_ns > taken.zero_ns + 10_000_000_000]
    errors_us = [
        (s.time_ns - second.time_ns(second.number_of([round(v) for v in s.values]))) / 1e3 for s in late
    ]
    assert len(late) > 500
    assert max(map(abs, errors_us)) < 1000, f"up to {max(map(abs, errors_us)):.0f} µs"


def test_a_set_up_that_was_broken_off_is_not_taken_for_done() -> None:
    """The settings may be right and the chip yet not ready: what it was set up for is not known any more."""
    case = BY_NAME["BME280"]
    rig = SimulatedRig()
    chip = case.model(now_ns=rig.now_ns)
    rig.put([chip])
    check = chip.read
    wrong = [0]

    def disturbed(count: int) -> bytes | None:
        answer = check(count)
        if wrong[0] and count == 4:  # the settings, read again: a bit is wrong, and then nobody answers
            wrong[0] -= 1
            rig.bus.fail_next += [failure(rig.bus.nack_errno)] * 3
            return bytes(b ^ 0x04 for b in answer) if answer is not None else None
        return answer

    def loose() -> None:
        chip.read = disturbed  # type: ignore[method-assign]
        wrong[0] = 1
        rig.bus.fail_next += [failure(rig.bus.nack_errno)] * 3

    taken = sample(rig, [case.settings(50)], seconds=8, script=[(2.0, loose)], from_first=True)
    check_order(taken)
    assert not wrong[0], "it was not disturbed"
    assert taken.kinds()[-1].startswith("end"), taken.kinds()


def test_a_fifo_that_is_full_for_ever_does_not_take_the_bus() -> None:
    case = BY_NAME["LIS3DH"]
    rig = SimulatedRig()
    chip = case.model(now_ns=rig.now_ns)
    rig.put([chip])
    read = chip.read

    def full(count: int) -> bytes | None:
        return bytes((0x80, 0x5F)) if count == 2 else read(count)

    script = [
        (2.0, lambda: setattr(chip, "read", full)),
        (12.0, lambda: setattr(chip, "read", read)),
    ]
    taken = sample(rig, [case.settings(200)], seconds=18, script=script, from_first=True)
    check_order(taken)
    assert taken.kinds() == ["start overflow", "end overflow"]
    assert taken.bus.load < 0.1, f"busy for {taken.bus.load:.0%} of the time"


def test_a_chip_that_tests_itself_does_not_keep_the_others_waiting() -> None:
    """From the beginning on each stream is told of, or has samples."""
    case = BY_NAME["MPU-6050"]
    rig = SimulatedRig()
    rig.put([case.model(now_ns=rig.now_ns)])
    taken = sample(rig, [case.settings(250)], until=lambda t: t.counts["accel"] > 100)
    check_order(taken)
    first = next(i for i, item in enumerate(taken.items) if isinstance(item, Block))
    told_ns = [
        (item.until_ns, handed_ns)
        for item, handed_ns in zip(taken.items[:first], taken.handed_ns, strict=False)
        if isinstance(item, Silence) and item.stream == "accel"
    ]
    waited_ns = taken.handed_ns[first] - taken.begun_ns
    assert waited_ns > 1_000_000_000, "its own test takes longer"
    assert max(b[1] - a[1] for a, b in itertools.pairwise(told_ns)) < 250_000_000
    assert all(handed_ns - until_ns < 250_000_000 for until_ns, handed_ns in told_ns[3:-1])
    assert not any(isinstance(item, SensorFault) for item in taken.items)
    assert taken.samples["accel"][0].index == 0 and not taken.gaps, taken.gaps


def test_a_measurement_that_is_held_up_on_the_bus_is_not_told_as_one_of_its_slot() -> None:
    rig = SimulatedRig()
    case = BY_NAME["ADS1115"]
    settings, chip = case.settings(20), case.model(now_ns=rig.now_ns)
    rig.put([chip])
    write, starts = chip.write, 0

    def held_up(data: bytes) -> bool:
        nonlocal starts
        if len(data) == 3 and data[0] == 1 and data[1] & 0x80:  # CONFIG, with the bit that starts
            starts += 1
            if starts == 30:
                rig.clock.advance(40_000_000)
        return write(data)

    chip.write = held_up  # type: ignore[method-assign]
    taken = sample(rig, [settings], seconds=4.0)
    truth = truth_of(case, taken, chip)
    assert starts > 60
    assert abs(truth.errors_us).max() < 0.25 * 50_000, truth
    assert [(gap.samples, gap.reason) for gap in taken.gaps] == [(1, "busy")], taken.gaps
