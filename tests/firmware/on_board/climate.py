"""BME280 and SHT4x against their models."""

from bench import STEP_US, Taker, clock, equal, near, plug, run, signed, stream
from chips.bme280 import Bme280Chip
from chips.sht4x import Sht4xChip
from machine_bench import I2C
from packing import bme280_fine, bme280_humidity, crc8
from sensors.bme280 import Bme280
from sensors.registers import I2cRegisters
from sensors.sht4x import Sht4x


def streams():
    return [stream("temperature", 1, ("t",)), stream("humidity", 1, ("h",))]


def bme280():
    faults = []
    chip = plug(0, 0x76, Bme280Chip())
    return chip, Bme280("BME280 at i2c0 0x76", streams(), faults, I2cRegisters(I2C(0), 0x76)), faults


def sht4x():
    faults = []
    chip = plug(0, 0x44, Sht4xChip())
    return chip, Sht4x("SHT4x at i2c0 0x44", streams(), faults, I2C(0), 0x44), faults


def both(sensor, seconds):
    temperature = Taker(sensor, 2)
    humidity = Taker(sensor, 2)
    for _ in range(int(seconds * 1_000_000 / STEP_US)):
        clock.advance(STEP_US)
        temperature.turn(0)
        humidity.turn(1)
    return temperature, humidity


def exact_humidity(trim, adc_h, fine):
    """The datasheet's formula in floating point, 8.1: another way to the same value."""
    h1, h2, h3, h4, h5, h6 = trim
    h = fine - 76800.0
    h = (adc_h - (h4 * 64.0 + h5 / 16384.0 * h)) * (
        h2 / 65536.0 * (1.0 + h6 / 67108864.0 * h * (1.0 + h3 / 67108864.0 * h))
    )
    h *= 1.0 - h1 * h / 524288.0
    return min(max(h, 0.0), 100.0)


def scenario_bme280_gives_the_worked_example():
    chip, sensor, faults = bme280()
    sensor.switch_on()
    equal(faults, [], "faults")
    equal(bme280_fine(sensor._trim, 519_888), 128_422, "t_fine of the worked example")
    sensor.start()
    temperature, humidity = both(sensor, 3.1)
    equal(len(temperature.samples), 4, "temperatures in 3.1 s")
    equal(signed(temperature.samples[0], 0, 2), 2508, "25.08 °C")
    exact = exact_humidity((75, 362, 0, 313, 50, 30), 28_000, 128_422)
    near(signed(humidity.samples[0], 0, 2), exact * 100, 2, "humidity in 0.01 %")
    assert 20 < exact < 80, exact
    equal(chip.registers[0xF4], 0x20, "asleep between the measurements, and no pressure")


def scenario_bme280_compensates_over_its_range():
    from array import array

    trims = ((75, 362, 0, 313, 50, 30), (75, 370, 0, 301, 0, 30), (75, 355, 0, 340, -20, -30))
    for trim in trims:
        words = array("H", [27504, 26435, (-1000) & 0xFFFF] + [t & 0xFFFF for t in trim])
        for fine in (-20_000, 0, 128_422, 300_000):
            for adc in range(18_000, 46_000, 1000):
                got = bme280_humidity(words, adc, fine) / 1024
                near(got, exact_humidity(trim, adc, fine), 0.06, f"{trim} {fine} {adc}")
    words = array("H", [27504, 26435, (-1000) & 0xFFFF, 0, 0, 0, 0, 0, 0])
    for adc in range(300_000, 700_000, 10_000):
        var1 = (adc / 16384.0 - 27504 / 1024.0) * 26435
        var2 = (adc / 131072.0 - 27504 / 8192.0) * (adc / 131072.0 - 27504 / 8192.0) * -1000
        near(bme280_fine(words, adc), var1 + var2, 16, f"fine temperature of {adc}")


def scenario_bme280_a_bmp280_is_refused():
    chip, sensor, faults = bme280()
    chip.registers[0xD0] = 0x58
    sensor.switch_on()
    equal(faults[0][2:], ("device id 0x58: a BMP280, which has no humidity", "0x60 (BME280)"), "faults")
    equal([f[0] for f in faults], ["temperature", "humidity"], "each stream is told of")


def scenario_bme280_that_forgot_is_set_up_again():
    chip, sensor, faults = bme280()
    sensor.switch_on()
    sensor.start()
    both(sensor, 1)
    chip.power_cycle()
    temperature, humidity = both(sensor, 3)
    equal(faults[0][2:], ("register 0xF2 is 0x00", "0x01"), "faults")
    equal(len(faults), 4, "faults and recoveries")
    assert len(temperature.samples) >= 2
    equal(signed(humidity.samples[-1], 0, 2), signed(humidity.samples[-2], 0, 2), "humidity")


def scenario_bme280_vanishes_and_returns():
    chip, sensor, faults = bme280()
    sensor.switch_on()
    sensor.start()
    both(sensor, 2.5)
    chip.present = False
    both(sensor, 10)
    chip.power_cycle()
    chip.present = True
    temperature, humidity = both(sensor, 10)
    equal([f[2] for f in faults], ["no answer (error 19)"] * 2 + [""] * 2, "faults")
    for taker in (temperature, humidity):
        equal(len(taker.skipped), 1, "holes")
        near(taker.skipped[0][1] + len(taker.samples) + 3, 23, 1, "samples and missing ones in 22.5 s")


def scenario_sht4x_proves_each_word():
    equal(crc8(b"\xbe\xef", 0, 2), 0x92, "the datasheet's example")
    chip, sensor, faults = sht4x()
    sensor.switch_on()
    equal(faults, [], "faults")
    equal(sensor.serial, 0x0FAB1234, "serial number")
    sensor.start()
    chip.words = (0x6666, 0x8000)
    temperature, humidity = both(sensor, 2)
    equal(signed(temperature.samples[-1], 0, 2), 2500, "25.00 °C is 0x6666")
    near(signed(humidity.samples[-1], 0, 2), (-6 + 125 * 0x8000 / 65535) * 100, 0.5, "humidity")
    chip.words = (0, 0xFFFF)
    temperature, humidity = both(sensor, 2)
    equal(signed(temperature.samples[-1], 0, 2), -4500, "the coldest")
    equal(signed(humidity.samples[-1], 0, 2), 10_000, "119 % is cropped")
    chip.damage = 0x01
    both(sensor, 1.5)
    assert faults[0][2].startswith("checksum 0x"), faults


def scenario_sht4x_misses_nothing_in_silence():
    _, sensor, _ = sht4x()
    sensor.switch_on()
    sensor.start()
    both(sensor, 2.5)
    clock.advance(5_000_000)
    temperature, humidity = both(sensor, 1.5)
    for taker in (temperature, humidity):
        equal(sum(n for _, n in taker.skipped), 4, "missed in 5 s")


run(globals())
