"""Converter and contact."""

from bench import Taker, clock, equal, near, net, run, signed, stream, volts
from machine_bench import ADC, Pin
from sensors.analog import Analog
from sensors.switch import Switch


def scenario_a_transducer():
    faults = []
    adc = ADC(Pin(26))
    per_count = 3.3 / 32767
    zero = round(0.5 / 1.5 / per_count)
    volts[26] = 0.5 / 1.5
    sensor = Analog(
        "transducer at pin 26",
        [stream("pressure", 50, ("p",))],
        faults,
        lambda: adc.read_u16() >> 1,
        zero,
        zero // 2,
    )
    sensor.switch_on()
    sensor.start()
    taker = Taker(sensor, 2)
    taker.turns(1)
    near(len(taker.samples), 50, 1, "samples in 1 s")
    near(signed(taker.samples[-1], 0, 2), 0, 8, "counts at 0.5 V")
    volts[26] = 2.5 / 1.5
    taker.turns(1)
    near(signed(taker.samples[-1], 0, 2) * per_count * 1.5, 2.0, 0.002, "volts above zero")
    near(taker.times_us[1][1] - taker.times_us[0][1], 20_000, 3000, "spacing in µs")
    clock.advance(200_000)
    taker.turn()
    near(taker.skipped[0][1], 9, 1, "missed in 0.2 s")
    volts[26] = 0.0
    taker.turns(1)
    assert "no transducer" in faults[0][2], faults
    volts[26] = 2.5 / 1.5
    taker.turns(1)
    equal(faults[-1][2:], ("", ""), "well again")


def scenario_a_contact_is_debounced():
    level = [1]
    net(22).driver = lambda: level[0]
    sensor = Switch("contact at pin 22", [stream("lid", 10, ("closed",))], [], Pin(22, Pin.IN), 0, 20)
    sensor.switch_on()
    sensor.start()
    taker = Taker(sensor, 1)
    taker.turns(0.5)
    equal(set(taker.samples), {b"\0"}, "open")
    for _ in range(40):  # bounces for 0.24 s
        level[0] ^= 1
        taker.turns(0.006)
    level[0] = 1
    taker.turns(0.3)
    equal(set(taker.samples), {b"\0"}, "open, though it bounced")
    level[0] = 0
    taker.turns(0.3)
    equal(taker.samples[-1], b"\x01", "closed")
    equal(taker.skipped, [], "skipped")


def scenario_a_contact_that_moved_between_two_sessions():
    level = [1]
    net(22).driver = lambda: level[0]
    sensor = Switch("contact at pin 22", [stream("lid", 10, ("closed",))], [], Pin(22, Pin.IN), 0, 20)
    sensor.switch_on()
    sensor.start()
    Taker(sensor, 1).turns(0.5)
    level[0] = 0
    clock.advance(3_600_000_000)
    sensor.start()
    taker = Taker(sensor, 1)
    taker.turns(0.5)
    equal(set(taker.samples), {b"\x01"}, "closed from the first sample on")


run(globals())
