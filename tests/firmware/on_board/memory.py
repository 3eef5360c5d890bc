"""Sampling and the cable allocate nothing: what MicroPython's heap says before and after."""

import gc
import json

import bench  # noqa: F401 - first of all: it puts `machine` and `time` in their places
import board_esp32
import board_rp2
from bench import clock, configure, drain, equal, plug, run
from chips.lis3dh import Lis3dhChip
from chips.sht4x import Sht4xChip
from usual_wiring import connect_defaults

BOARDS = (board_rp2, board_esp32)


class QuietBus:
    """Answers at once and allocates nothing: the models do."""

    def __init__(self, values):
        self.values = values
        self.command = 0

    def readfrom_mem_into(self, address, register, buffer):
        self.fill(register, buffer)

    def fill(self, register, buffer):
        for i in range(len(buffer)):
            buffer[i] = self.values[(register + i) & 0xFF]

    def readfrom_into(self, address, buffer):
        for i in range(len(buffer)):
            buffer[i] = self.values[i]

    def writeto_mem(self, address, register, data):
        pass

    def writeto(self, address, data):
        pass

    def write(self, data):
        self.command = data[0]

    def readinto(self, buffer):
        self.fill(self.command & 0x3F, buffer)


class QuietMachine:
    def rx_fifo(self):
        return 4 if clock._now_us & 2 else 0

    def get(self, words):
        words[3] = 15
        clock._now_us ^= 2

    def active(self, on):
        pass


class QuietPin:
    """The clock and the data of four cells: ready, 24 zeros, high once behind the 25th pulse."""

    pulses = 0
    reads = 0

    def __call__(self, level=None):
        if level is not None:
            QuietPin.pulses += level
            return None
        if QuietPin.pulses < 25:
            return 0
        QuietPin.reads += 1
        if QuietPin.reads == 4:
            QuietPin.reads = QuietPin.pulses = 0
        return 1


def ignore(level):
    pass


class QuietOut:
    def write(self, buffer, offset=0, length=0):
        return length

    def ipoll(self, timeout):
        return self  # a tuple of one would have to be made

    def __iter__(self):
        return self

    def __next__(self):
        return 1


def volts_like():
    return 9000


def quiet(board):
    """Put what allocates nothing into the places of the models."""
    from sensors.hx711 import PulsedCells
    from sensors.hx711_pio import PioCells

    for sensor in board._sensors:
        registers = getattr(sensor, "registers", None)
        values = bytearray(256)
        if registers is not None:
            for register, value in registers._written:
                values[register] = value
            values[0x39] = 9  # ADXL345: FIFO
            values[0x2F] = 9  # LIS3DH
            values[0xFA:0xFF] = b"\x7e\xed\x00\x6d\x60"  # BME280
            registers._bus = QuietBus(values)
            if hasattr(registers, "_select"):
                registers._select = ignore
        if hasattr(sensor, "_least_count"):
            sensor._read = volts_like
        if hasattr(sensor, "_bus"):
            sensor._bus = QuietBus(b"\xbe\xef\x92\xbe\xef\x92")
        if isinstance(sensor, PioCells):
            sensor._machine = QuietMachine()
        elif isinstance(sensor, PulsedCells):
            sensor.clock = QuietPin()
            sensor.data = (QuietPin(),) * 4


def scenario_sampling_and_the_cable_allocate_nothing():
    connect_defaults()
    plug(0, 0x18, Lis3dhChip())
    plug(0, 0x44, Sht4xChip())
    for module in BOARDS:
        settings = json.loads(module.DEFAULTS)
        settings["sensors"] += [
            {"chip": "lis3dh", "bus": "i2c0", "stream": "accel2"},
            {"chip": "sht4x", "bus": "i2c0", "temperature": "t2", "humidity": "h2"},
        ]
        configure(settings)
        board = module.Board()
        board.start()
        equal(drain(board), [], "faults")
        body = bytearray(2000)
        for _ in range(30):  # the converters settle
            clock.advance(12_500)
            for i in range(8):
                board.take(i, body, 13, 60)
        quiet(board)
        board._out = board._out_poll = QuietOut()
        counts = [0] * 9
        gc.collect()
        gc.disable()
        first = measured = gc.mem_alloc()
        measured = gc.mem_alloc()
        own = measured - first
        before = gc.mem_alloc()
        for _ in range(5000):
            clock.advance(3002)
            board.wait(0)
            board.read_host(body)
            for i in range(9):
                counts[i] += board.take(i, body, 13, 60)
            board.write_host(body, 0, 500)
            board.ticks_us()
            board.feed()
            fault = board.next_fault()
            if fault is not None:
                raise AssertionError(fault)
        used = gc.mem_alloc() - before - own
        gc.enable()
        assert min(counts) >= 14, counts
        # a few words for the reading itself; one allocation a turn would be 160 kB
        assert used <= 64, f"{used} bytes in 5000 turns on {module.__name__}, counts {counts}"


run(globals())
