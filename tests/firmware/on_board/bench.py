"""What the scenarios share: the bench by hand, and looking at what a driver gives."""

import json
import sys

import machine_bench as machine
from parts import WDT  # noqa: F401 - and puts `machine` in its place

machine.time_by_hand((1 << 30) - 3_000_000)  # so that the ticks wrap after three seconds

from machine_bench import clock, i2c_chips, net, spi_chips, volts  # noqa: F401, E402 - for the scenarios

ROOM = 60
STEP_US = 3000  # a turn of the program


def equal(got, expected, what):
    assert got == expected, f"{what}: {got!r}, expected {expected!r}"


def near(got, expected, most, what):
    assert abs(got - expected) <= most, f"{what}: {got!r}, expected {expected!r} ± {most!r}"


class Taker:
    """Takes from a sensor as the program's turns do."""

    def __init__(self, sensor, bytes_a_sample):
        self.sensor = sensor
        self.size = bytes_a_sample
        self.body = bytearray(ROOM * bytes_a_sample)
        self.samples = []
        self.skipped = []  # index of the sample and how many before it
        self.times_us = []  # index of the sample and when it was taken

    def turn(self, part=0):
        while True:
            count = self.sensor.take(part, self.body, 0, ROOM)
            if self.sensor.skipped:
                self.skipped.append((len(self.samples), self.sensor.skipped))
            if count:
                self.times_us.append((len(self.samples), self.sensor.sample_ticks))
            for i in range(count):
                self.samples.append(bytes(self.body[i * self.size : (i + 1) * self.size]))
            if count < ROOM:
                return

    def turns(self, seconds, part=0):
        for _ in range(int(seconds * 1_000_000 / STEP_US)):
            clock.advance(STEP_US)
            self.turn(part)


def signed(data, at, size):
    value = int.from_bytes(data[at : at + size], "little")
    return value - (1 << 8 * size) if value >> 8 * size - 1 else value


def stream(name, rate_hz, axes=("x", "y", "z")):
    return {"name": name, "axes": axes, "rate_hz": rate_hz}


def configure(settings):
    with open("config.json", "w") as file:
        file.write(settings if isinstance(settings, str) else json.dumps(settings))


def plug(bus, address, chip):
    i2c_chips.setdefault(bus, {})[address] = chip
    return chip


def drain(board):
    faults = []
    while (fault := board.next_fault()) is not None:
        faults.append(fault)
    return faults


def run(names):
    scenario = names["scenario_" + sys.argv[1]]
    scenario()
    print("done")
