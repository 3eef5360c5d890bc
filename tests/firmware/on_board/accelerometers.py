"""ADXL345 and LIS3DH against their models."""

from bench import STEP_US, Taker, clock, equal, near, net, plug, run, signed, spi_chips, stream
from chips.adxl345 import Adxl345Chip
from chips.lis3dh import Lis3dhChip
from machine_bench import I2C, SPI, Pin
from sensors.adxl345 import Adxl345
from sensors.lis3dh import Lis3dh
from sensors.registers import I2cRegisters, SpiRegisters


def adxl345(rate_hz=3200, spi=True):
    faults = []
    chip = Adxl345Chip()
    if spi:
        spi_chips[0] = {17: chip}
        registers = SpiRegisters(SPI(0), Pin(17, Pin.OUT, value=1))
    else:
        plug(0, 0x53, chip)
        registers = I2cRegisters(I2C(0), 0x53)
    return (
        chip,
        Adxl345("ADXL345 at spi0 select pin 17", [stream("accel", rate_hz)], faults, registers, 16),
        faults,
    )


def lis3dh(rate_hz=400):
    faults = []
    chip = plug(0, 0x18, Lis3dhChip())
    registers = I2cRegisters(I2C(0), 0x18, 0x80)
    return chip, Lis3dh("LIS3DH at i2c0 0x18", [stream("accel", rate_hz)], faults, registers, 2), faults


def check_order(taker, first=0):
    numbers = [signed(s, 0, 2) & 0xFFFF for s in taker.samples]
    for i in range(len(numbers) - 1):
        if i + 1 in [at for at, _ in taker.skipped]:
            continue
        equal(numbers[i + 1], (numbers[i] + 1) & 0xFFFF, f"sample {i + 1}")
    for sample in taker.samples[:50]:
        k = signed(sample, 0, 2)
        equal((signed(sample, 2, 2), signed(sample, 4, 2)), (-k, 2 * k), "y and z")


def scenario_adxl345_is_set_up():
    chip, sensor, faults = adxl345()
    sensor.switch_on()
    equal(faults, [], "faults")
    assert sensor.working
    equal(chip.registers[0x2C], 0x0F, "BW_RATE for 3200 Hz")
    equal(chip.registers[0x31], 0x0B, "DATA_FORMAT: full resolution, 16 g")
    equal(chip.registers[0x38], 0x80, "FIFO_CTL: stream")
    equal(chip.registers[0x2D], 0x08, "POWER_CTL: measure")


def both_in_order(chip, sensor, rate_hz):
    sensor.switch_on()
    sensor.start()
    begin_us = clock.now_us()
    taker = Taker(sensor, 6)
    taker.turns(4)  # the ticks wrap in there
    near(len(taker.samples), 3.999 * rate_hz, 2, "samples in 1333 turns of 3 ms")
    check_order(taker)
    equal(taker.skipped, [], "skipped")
    equal(chip.lost, 0, "lost in the chip")
    period_us = 1_000_000 / rate_hz
    for index, ticks in taker.times_us:
        due_us = begin_us + (index + 1) * period_us
        off_us = (ticks - int(due_us) + (1 << 29)) % (1 << 30) - (1 << 29)
        near(off_us, 0, period_us + 1500, f"time of sample {index}")


def scenario_adxl345_gives_each_sample_once_and_in_order():
    chip, sensor, _ = adxl345()
    both_in_order(chip, sensor, 3200)


def scenario_adxl345_on_i2c():
    chip, sensor, _ = adxl345(800, spi=False)
    both_in_order(chip, sensor, 800)


def scenario_lis3dh_gives_each_sample_once_and_in_order():
    chip, sensor, faults = lis3dh()
    both_in_order(chip, sensor, 400)
    equal(faults, [], "faults")
    equal(chip.registers[0x20], 0x77, "CTRL_REG1: 400 Hz, all axes")
    equal(chip.registers[0x23], 0x88, "CTRL_REG4: block update, 2 g, high resolution")
    equal(chip.registers[0x24], 0x40, "CTRL_REG5: FIFO")


def overrun(chip, sensor, pause_us, exact):
    sensor.switch_on()
    sensor.start()
    taker = Taker(sensor, 6)
    for times in (1, 2):  # at the very beginning, and later
        lost_before = chip.lost
        clock.advance(pause_us)
        taker.turn()
        equal(len(taker.skipped), times, "times that samples ran over")
        near(taker.skipped[-1][1], chip.lost - lost_before, exact, "skipped")
        taker.turns(0.5)
    check_order(taker)
    equal(len(taker.skipped), 2, "times that samples ran over")


def scenario_adxl345_counts_what_ran_over():
    chip, sensor, _ = adxl345()
    overrun(chip, sensor, 100_000, 1)


def scenario_lis3dh_counts_what_ran_over():
    chip, sensor, _ = lis3dh()
    overrun(chip, sensor, 1_000_000, 0)


def scenario_lis3dh_on_spi():
    chip = Lis3dhChip()
    spi_chips[0] = {17: chip}
    registers = SpiRegisters(SPI(0), Pin(17, Pin.OUT, value=1))
    sensor = Lis3dh("LIS3DH at spi0 select pin 17", [stream("accel", 400)], [], registers, 2)
    original = chip.read_into
    # on SPI bit 6 lets the address count on; the bench keeps it out of the register's number
    chip.read_into = lambda register, buffer: original(register | 0x80, buffer)
    both_in_order(chip, sensor, 400)


def scenario_another_chip_is_refused():
    chip, sensor, faults = adxl345()
    chip.registers[0] = 0x48
    sensor.switch_on()
    equal(
        faults,
        [("accel", "ADXL345 at spi0 select pin 17", "device id 0x48", "0xE5 (ADXL345)")],
        "faults",
    )
    chip, sensor, faults = lis3dh()
    chip.registers[0x0F] = 0x32
    sensor.switch_on()
    equal(faults[0][2:], ("device id 0x32", "0x33 (LIS3DH)"), "faults")


def scenario_a_register_that_does_not_take_its_value_is_told():
    chip, sensor, faults = lis3dh()
    chip.set = lambda register, value: None
    sensor.switch_on()
    equal(faults[0][2:], ("register 0x23 is 0x00", "0x88"), "faults")


def scenario_a_chip_that_vanishes_and_returns():
    chip, sensor, faults = lis3dh()
    sensor.switch_on()
    sensor.start()
    taker = Taker(sensor, 6)
    taker.turns(1)
    before = len(taker.samples)
    chip.present = False
    taker.turns(2)
    equal(faults, [("accel", "LIS3DH at i2c0 0x18", "no answer (error 19)", "an answer")], "told once")
    equal(len(taker.samples), before, "samples while it was away")
    chip.power_cycle()
    chip.present = True
    taker.turns(3)
    equal(faults[1:], [("accel", "LIS3DH at i2c0 0x18", "", "")], "told that it is back")
    equal(len(taker.skipped), 1, "holes")
    near(len(taker.samples) + taker.skipped[0][1], 6 * 400, 12, "samples and missing ones in 6 s")


def scenario_a_chip_that_forgot_its_settings_is_set_up_again():
    for chip, sensor, faults in (adxl345(400), lis3dh()):
        sensor.switch_on()
        sensor.start()
        taker = Taker(sensor, 6)
        taker.turns(0.5)
        chip.power_cycle()  # answers, and is in its reset state
        taker.turns(1)
        assert len(faults) == 2, faults
        assert "register" in faults[0][2], faults
        equal(faults[1][2:], ("", ""), "well again")
        near(len(taker.samples) + taker.skipped[0][1], 600, 12, "samples and missing ones in 1.5 s")


def scenario_a_setting_that_changes_is_found():
    chip, sensor, faults = lis3dh()
    sensor.switch_on()
    sensor.start()
    taker = Taker(sensor, 6)
    chip.registers[0x23] = 0  # another range, and it goes on sampling
    taker.turns(5)
    equal([f[2:] for f in faults], [("register 0x23 is 0x00", "0x88"), ("", "")], "faults")
    equal(chip.registers[0x23], 0x88, "CTRL_REG4")


def scenario_an_empty_spi_bus_is_told():
    chip, sensor, faults = adxl345()
    chip.present = False
    sensor.switch_on()
    equal(faults[0][2:], ("device id 0xFF", "0xE5 (ADXL345)"), "faults")
    equal(net(17).level, 1, "chip select")


def scenario_attempts_become_rarer():
    chip, sensor, faults = lis3dh()
    chip.present = False
    sensor.switch_on()
    sensor.start()
    tries = []
    chip_set_up = sensor.set_up

    def counted():
        tries.append(clock.now_us())
        chip_set_up()

    sensor.set_up = counted
    taker = Taker(sensor, 6)
    taker.turns(100)
    equal(len(faults), 1, "faults")
    gaps_ms = [(tries[i + 1] - tries[i]) // 1000 for i in range(len(tries) - 1)]
    assert len(tries) < 14, tries
    near(gaps_ms[-1], 30_000, 2 * STEP_US // 1000, "longest pause in ms")


def scenario_a_session_that_starts_does_not_wait_for_the_next_attempt():
    chip, sensor, _ = lis3dh()
    chip.present = False
    sensor.switch_on()
    sensor.start()
    taker = Taker(sensor, 6)
    taker.turns(70)  # attempts are half a minute apart by now
    chip.present = True
    sensor.start()
    taker.turns(0.2)
    assert taker.samples, "nothing 0.2 s after the start"


run(globals())
