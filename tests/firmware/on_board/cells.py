"""HX711s, by pulses and by the PIO's program, against models at the level of their pins."""

import sys

import machine_pio
from bench import Taker, clock, equal, near, net, run, signed, stream
from chips.hx711 import Hx711Chip

sys.modules["rp2"] = machine_pio

from machine_bench import Pin, disable_irq, enable_irq  # noqa: E402
from sensors.hx711 import PulsedCells  # noqa: E402
from sensors.hx711_pio import PioCells, cells_program  # noqa: E402

VALUES = (0x000001, 0xFFFFFF, 0x7FFFFF, 0x800000)  # +1, -1, and both ends: saturated
AXES = ("fl", "fr", "rl", "rr")


def chips(cells, value=None, rate_hz=80):
    return [
        Hx711Chip(
            9,
            10 + i,
            value(i) if value else (lambda k, i=i: VALUES[i]),
            rate_hz,
            late_us=3000 * i,
        )
        for i in range(cells)
    ]


def pulsed(cells, gain=128, rate_hz=80):
    faults = []
    pins = tuple([Pin(10 + i, Pin.IN) for i in range(cells)])
    sensor = PulsedCells(
        "HX711 at clock pin 9",
        [stream("load", rate_hz, AXES[:cells])],
        faults,
        Pin(9, Pin.OUT, value=0),
        pins,
        gain,
        disable_irq,
        enable_irq,
    )
    return sensor, faults


def pio(cells, gain=128, rate_hz=80):
    faults = []
    sensor = PioCells(
        "HX711 at clock pin 9", [stream("load", rate_hz, AXES[:cells])], faults, 9, 10, cells, gain, 0
    )
    return sensor, faults


def counts(sample, cells):
    return [signed(sample, 3 * i, 3) for i in range(cells)]


def sign_and_order(make, cells):
    models = chips(cells)
    sensor, faults = make(cells)
    sensor.switch_on()
    sensor.start()
    for model in models:
        assert model.longest_high_us > 60, "the converters were not switched off and on"
        model.longest_high_us = 0
    taker = Taker(sensor, 3 * cells)
    taker.turns(1)
    equal(faults, [], "faults")
    expected = [1, -1, 0x7FFFFF, -0x800000][:cells]
    for sample in taker.samples:
        equal(counts(sample, cells), expected, "counts of the cells")
    near(len(taker.samples), 80 - 8, 4, "samples in 1 s, but for those before it settled")
    equal(taker.skipped, [], "skipped")
    for model in models:
        assert model.longest_high_us < 50, f"the clock was high for {model.longest_high_us} µs"
        equal(model.gain, 128, "gain")


def scenario_pulsed_sign_and_order():
    sign_and_order(pulsed, 4)
    import machine_bench

    assert machine_bench.held > 0, "interrupts stayed on while the clock was high"


def scenario_pio_sign_and_order_of_4_cells():
    sign_and_order(pio, 4)


def scenario_pio_sign_and_order_of_3_cells():
    sign_and_order(pio, 3)


def scenario_pio_sign_and_order_of_1_cell():
    sign_and_order(pio, 1)


def one_bit(cell):
    return lambda conversion: 1 << (conversion + 6 * cell) % 24


def scenario_each_bit_has_its_place():
    for make in (pulsed, pio):
        net(9).listeners.clear()
        models = chips(4, one_bit)
        sensor, _ = make(4)
        sensor.switch_on()
        sensor.start()
        taker = Taker(sensor, 12)
        taker.turns(0.6)
        assert len(taker.samples) > 30
        for i in range(4):
            given = models[i].given[-len(taker.samples) :]
            got = [int.from_bytes(s[3 * i : 3 * i + 3], "little") for s in taker.samples]
            equal(got, [1 << (k + 6 * i) % 24 for k in given], f"cell {i}")


def scenario_the_gain_is_chosen():
    for make in (pulsed, pio):
        for gain in (128, 32, 64):
            net(9).listeners.clear()
            models = chips(2)
            sensor, _ = make(2, gain)
            sensor.switch_on()
            sensor.start()
            taker = Taker(sensor, 6)
            taker.turns(0.3)
            assert taker.samples
            equal([m.gain for m in models], [gain, gain], "gain of what comes next")


def scenario_a_cell_that_does_not_answer_is_named():
    for make in (pulsed, pio):
        net(9).listeners.clear()
        models = chips(4)
        sensor, faults = make(4)
        sensor.switch_on()
        sensor.start()
        taker = Taker(sensor, 12)
        taker.turns(0.5)
        models[2].stuck = 1
        taker.turns(2)
        equal(
            faults,
            [
                (
                    "load",
                    "HX711 at clock pin 9",
                    "DOUT high for 1 s at cell rl",
                    "low, a cell's sample is ready",
                )
            ],
            "faults",
        )
        models[2].stuck = None
        taker.turns(3)
        equal([f[2:] for f in faults[-1:]], [("", "")], "well again")
        missing = sum(n for _, n in taker.skipped)
        near(missing + len(taker.samples), 5.5 * 80, 16, "samples and missing ones in 5.5 s")


def scenario_a_cell_that_is_always_low_is_told():
    for make in (pulsed, pio):
        net(9).listeners.clear()
        models = chips(2)
        sensor, faults = make(2)
        sensor.switch_on()
        sensor.start()
        models[1].stuck = 0
        taker = Taker(sensor, 6)
        taker.turns(0.5)
        equal(taker.samples, [], "samples of a broken wire")
        equal(
            faults[0][2:], ("DOUT low after the 25th pulse at cell fr", "high"), f"faults of {make.__name__}"
        )


def scenario_what_was_not_fetched_is_counted():
    for make in (pulsed, pio):
        net(9).listeners.clear()
        chips(4)
        sensor, _ = make(4)
        sensor.switch_on()
        sensor.start()
        taker = Taker(sensor, 12)
        taker.turns(1)
        clock.advance(1_000_000 // 2)
        taker.turns(1)
        equal(len(taker.skipped), 1, "holes")
        near(len(taker.samples) + taker.skipped[0][1], 200 - 8, 6, f"in 2.5 s, {make.__name__}")


def scenario_a_clock_that_was_held_high_spoils_no_sample():
    """What switches a converter off also switches its gain back, and breaks the word that is read."""
    for gain in (128, 64):
        net(9).listeners.clear()
        models = chips(4)
        for i, model in enumerate(models):
            model.value = lambda k, m=model, i=i, gain=gain: VALUES[i] if m.gain == gain else 0x123456
        sensor, faults = pulsed(4, gain)
        sensor.switch_on()
        sensor.start()
        taker = Taker(sensor, 12)
        taker.turns(0.5)
        rises = [0]

        def stall(level, rises=rises):
            rises[0] += level
            if level and rises[0] in (7, 200, 201, 1003):
                clock.advance(70)

        net(9).listeners.append(stall)
        taker.turns(2)
        equal(faults, [], "faults")
        for sample in taker.samples:
            equal(counts(sample, 4), [1, -1, 0x7FFFFF, -0x800000], "counts of the cells")
        assert len(taker.skipped) >= 3, taker.skipped
        missing = sum(n for _, n in taker.skipped)
        near(missing + len(taker.samples), 2.5 * 80 - 8, 6, "samples and missing ones in 2.5 s")
        equal([m.gain for m in models], [gain] * 4, "gain")


def scenario_slow_converters_are_no_loss():
    """Their oscillators are off by some per cent."""
    for make in (pulsed, pio):
        net(9).listeners.clear()
        chips(2, rate_hz=72)
        sensor, _ = make(2)
        sensor.switch_on()
        sensor.start()
        taker = Taker(sensor, 6)
        taker.turns(3)
        equal(taker.skipped, [], "skipped")


def scenario_the_program_fits():
    for gain in (128, 32, 64):
        for cells in (1, 2, 3, 4):
            program = cells_program(cells, {128: 1, 32: 2, 64: 3}[gain])
            assert len(program.instructions) <= 32, len(program.instructions)
            highs = [i for i in program.instructions if i.side_level == 1]
            for high in highs:
                equal((high.name, high.delay), ("nop", 0), "nothing waits while the clock is high")


run(globals())
