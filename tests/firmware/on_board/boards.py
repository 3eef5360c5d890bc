"""Both board modules: configuration, description, outputs, the cable, and that sampling allocates nothing."""

import gc
import json
import sys

import bench
import machine_bench
import machine_pio
from bench import clock, configure, drain, equal, near, net, plug, run, spi_chips, volts
from chips.adxl345 import Adxl345Chip
from chips.bme280 import Bme280Chip
from chips.hx711 import Hx711Chip
from chips.lis3dh import Lis3dhChip
from chips.sht4x import Sht4xChip

sys.modules["rp2"] = machine_pio

import board_esp32  # noqa: E402
import board_rp2  # noqa: E402

BOARDS = (board_rp2, board_esp32)
KEYS = {"name", "axes", "unit", "scale", "rate_hz", "bits", "full_scale"}
CLIMATE = {"buses": {"i2c0": {"sda": 4, "scl": 5}}, "sensors": [{"chip": "bme280", "bus": "i2c0"}]}
OUTPUTS = {
    "output_key": "00112233445566778899aabbccddeeff",
    "outputs": [
        {"name": "lock", "kind": "relay", "pin": 15, "safe": "on"},
        {"name": "light", "kind": "relay", "pin": 14, "active_low": True},
        {"name": "fan", "kind": "pwm", "pin": 13, "safe": 0.25},
    ],
}


def connect_defaults():
    spi_chips[0] = {17: Adxl345Chip()}
    spi_chips[2] = {5: Adxl345Chip()}
    plug(0, 0x76, Bme280Chip())
    for clock_pin, data in ((9, (10, 11, 12, 13)), (25, (26, 27, 32, 33))):
        for pin in data:
            Hx711Chip(clock_pin, pin, lambda k: k)
    volts[26] = volts[34] = 1.0


def scenario_without_a_file_the_usual_sensors_are_looked_for():
    connect_defaults()
    for module in BOARDS:
        board = module.Board()
        equal(drain(board), [], "faults")
        streams = json.loads(board.streams_text)
        names = [s["name"] for s in streams]
        equal(names, ["accel", "load", "temperature", "humidity", "pressure", "lid"], "streams")
        for about in streams:
            equal(set(about), KEYS, "keys of a stream")
            assert about["scale"] > 0 and about["rate_hz"] > 0, about
        equal(board.tick_bits, 30, "tick bits")
        equal(board.unique_id, "e6614c311b7e8f29", "unique id")
        equal(json.loads(board.outputs_text), [], "outputs: none moves that nobody asked for")
        equal(bench.WDT.timeout_ms, 8000, "watchdog")
        board.feed()
        equal(bench.WDT.fed, 1, "fed")
        assert 0 <= board.random_u32() < 1 << 32


def scenario_all_streams_flow():
    connect_defaults()
    for module in BOARDS:
        board = module.Board()
        board.start()
        streams = json.loads(board.streams_text)
        body = bytearray(2000)
        counts = [0] * len(streams)
        for _ in range(1000):
            clock.advance(3000)
            for i in range(len(streams)):
                counts[i] += board.take(i, body, 13, 60)
                equal(board.skipped, 0, "skipped of " + streams[i]["name"])
                assert 0 <= board.sample_ticks < 1 << 30
        for i in range(len(streams)):
            settling = 8 if streams[i]["name"] == "load" else 1
            near(counts[i], 3 * streams[i]["rate_hz"], settling + 2, "samples of " + streams[i]["name"])
        equal(drain(board), [], "faults")
        board.stop()


def scenario_nothing_connected_is_told_and_answered():
    configure(CLIMATE)
    for module in BOARDS:
        board = module.Board()
        board.start()
        faults = drain(board)
        equal([f[0] for f in faults], ["temperature", "humidity"], "streams with a fault")
        expected = ("BME280 at i2c0 0x76", "no answer (error 19)", "an answer")
        equal([f[1:] for f in faults], [expected, expected], "faults")
        equal(len(json.loads(board.streams_text)), 2, "streams are described all the same")


BAD = (
    ("{", "config.json config.json", "a JSON document"),
    ("[]", "config.json config.json", "an object in braces"),
    ({"sensors": 3}, "config.json sensors", "a list"),
    ({"sensors": [3]}, "config.json sensors[0]", "an object in braces"),
    ({"sensros": []}, "config.json sensros", None),
    ({"sensors": [{"chip": "adxl346"}]}, "config.json sensors[0].chip", None),
    ({"sensors": [{"chip": "bme280"}]}, "config.json sensors[0].bus", "a text"),
    ({"sensors": [{"chip": "bme280", "bus": "i2c1"}]}, "config.json sensors[0].bus", "a bus under buses"),
    ({"buses": {"i2c7": {}}}, "config.json buses.i2c7", None),
    ({"buses": {"i2c0": {"sda": 4, "scl": 4}}}, "config.json buses.i2c0.scl", None),
    ({"buses": {"i2c0": {"sda": 99, "scl": 4}}}, "config.json buses.i2c0.sda", None),
    ({"sensors": [{"chip": "switch", "pin": 22, "rate_hz": 0}]}, "config.json sensors[0].rate_hz", None),
    ({"sensors": [{"chip": "switch", "pin": 22, "rate": 5}]}, "config.json sensors[0].rate", None),
    (
        {"sensors": [{"chip": "hx711", "clock": 2, "data": [], "capacity_kg": 5}]},
        "config.json sensors[0].data",
        None,
    ),
    (
        {
            "buses": {"i2c0": {"sda": 4, "scl": 5}},
            "sensors": [{"chip": "bme280", "bus": "i2c0", "address": "0x67"}],
        },
        "config.json sensors[0].address",
        'one of "0x76", "0x77"',
    ),
    ({"output_key": "xyz"}, "config.json output_key", "an even number of hexadecimal digits"),
    ({"mount_up": [1, 2]}, "config.json mount_up", "three numbers"),
    ({"outputs": [{"kind": "motor"}]}, "config.json outputs[0].kind", "one of pwm, relay"),
)


def scenario_a_bad_file_is_told_and_does_not_keep_the_board_from_answering():
    for settings, doing, expected in BAD:
        configure(settings)
        for module in BOARDS:
            board = module.Board()
            faults = drain(board)
            equal(len(faults), 1, f"faults of {settings}")
            equal(faults[0][:2], ("config", doing), f"key of {settings}")
            assert faults[0][2] and faults[0][3], faults
            if expected:
                equal(faults[0][3], expected, f"expected of {settings}")
            json.loads(board.streams_text)
            board.start()
            board.make_safe()
            board.wait(0)


def scenario_one_bad_sensor_leaves_the_others():
    plug(0, 0x76, Bme280Chip())
    configure(
        {
            "buses": {"i2c0": {"sda": 4, "scl": 5}},
            "sensors": [
                {"chip": "switch", "pin": 4},
                {"chip": "adxl345", "bus": "i2c0", "rate_hz": 3200},
                {"chip": "bme280", "bus": "i2c0"},
                {"chip": "sht4x", "bus": "i2c0"},
                {"chip": "switch", "pin": 22},
            ],
        }
    )
    for module in BOARDS:
        board = module.Board()
        names = [s["name"] for s in json.loads(board.streams_text)]
        equal(names, ["temperature", "humidity", "lid"], "streams")
        faults = drain(board)
        equal(
            [f[1] for f in faults],
            [f"config.json sensors[{i}]{k}" for i, k in ((0, ".pin"), (1, ".rate_hz"), (3, ".temperature"))],
            "faults",
        )
        equal(faults[0][3], "a free pin: buses.i2c0.sda has this one", "expected")
        equal(faults[1][2:], ("3200", "at most 800 on i2c0 with 400000 Hz; more needs SPI"), "rate")


def scenario_outputs_are_safe_at_boot_and_move_only_when_set():
    configure(OUTPUTS)
    for module in BOARDS:
        for pin in (13, 14, 15):
            net(pin).history.clear()
        machine_bench.duties.clear()
        board = module.Board()
        equal(drain(board), [], "faults")
        equal(board.output_key, bytes(range(0, 256, 17)), "key")
        equal([o["name"] for o in json.loads(board.outputs_text)], ["lock", "light", "fan"], "outputs")
        equal(set(net(15).history), {1}, "the lock is safe when on, and was never off")
        equal(set(net(14).history), {1}, "the light is active low, safe when off, and was never on")
        equal(machine_bench.duties[13], 16384, "the fan's safe share")
        assert board.set_output(0, 0) and board.set_output(1, 65535) and board.set_output(2, 65535)
        equal((net(15).level, net(14).level, machine_bench.duties[13]), (0, 0, 65535), "as commanded")
        for number, value in ((3, 0), (-1, 0), (0, 65536), (0, -1)):
            equal(board.set_output(number, value), False, f"output {number} to {value}")
        board.make_safe()
        equal((net(15).level, net(14).level, machine_bench.duties[13]), (1, 1, 16384), "safe")


def scenario_with_one_output_wrong_none_moves_and_the_others_are_safe():
    settings = dict(OUTPUTS)
    settings["outputs"] = list(OUTPUTS["outputs"])
    settings["outputs"][0] = {"name": "lock", "kind": "relay", "pin": 99}
    configure(settings)
    for module in BOARDS:
        machine_bench.duties.clear()
        board = module.Board()
        equal(len(drain(board)), 1, "faults")
        equal(board.outputs_text, "[]", "outputs")
        equal(board.set_output(0, 65535), False, "moved")
        equal((net(14).level, machine_bench.duties[13]), (1, 16384), "safe")


def scenario_boots_are_counted_and_a_reset_of_ours_is_no_watchdog():
    configure({})
    machine_bench.cause = machine_bench.PWRON_RESET
    board = board_rp2.Board()
    equal((board.boots, board.reset_cause), (1, "power-on"), "first boot")
    machine_bench.cause = machine_bench.WDT_RESET
    board = board_rp2.Board()
    equal((board.boots, board.reset_cause), (2, "watchdog"), "second boot")
    board.reset()
    equal(machine_bench.resets, 1, "resets")
    board = board_rp2.Board()
    equal((board.boots, board.reset_cause), (3, "soft"), "third boot")
    board = board_rp2.Board()
    equal((board.boots, board.reset_cause), (4, "watchdog"), "fourth boot")
    with open("boots", "w"):
        pass  # the power went while it was written
    equal(board_esp32.Board().boots, 1, "boots after an empty file")
    words = ("power-on", "reset button", "watchdog", "deep sleep", "soft")
    for cause in range(1, 6):
        machine_bench.cause = cause
        equal(board_esp32.Board().reset_cause, words[cause - 1], "cause")


class Usb:
    """MicroPython's USB port: a buffer of 256 bytes, and the packet of at most 64 that the host may fetch."""

    def __init__(self):
        self.waiting = 0
        self.packet = 0
        self.got = bytearray()
        self.waits = 0

    def host(self, packets):
        """Fetch so many packets."""
        for _ in range(packets):
            self.packet = min(64, self.waiting)
            self.waiting -= self.packet

    def write(self, data):
        length = len(data)
        assert length <= 64, length
        if length > 256 - self.waiting:
            self.waits += 1
            length = 256 - self.waiting
        self.got += data[:length]
        self.waiting += length
        if not self.packet:  # each write flushes: what there is becomes a packet, full or not
            self.host(1)
        return length

    def ipoll(self, timeout):
        return (1,) if self.waiting < 256 else ()


def scenario_rp2_never_waits_for_a_host_that_reads_slowly_or_not_at_all():
    configure({})
    board = board_rp2.Board()
    usb = board._out = board._out_poll = Usb()
    sent = bytearray()
    for turn in range(600):
        if turn % 3 == 0:
            frames = bytearray([1 + turn % 250] * (1 + turn * 37 % 150)) + b"\0"
            begin = 0
            while begin < len(frames):  # what the cable did not take stays with the program, and goes first
                taken = board.write_host(frames, begin, len(frames))
                sent += frames[begin : begin + taken]
                begin += taken
                if begin < len(frames):
                    usb.host(1)
                    board.wait(0)
        usb.host(0 if 100 < turn < 200 else turn * 7 % 3)
        board.wait(0)
    for _ in range(8):
        usb.host(8)
        board.wait(0)
    equal(usb.waits, 0, "times that a write would have waited")
    told = [f for f in bytes(usb.got).split(b"\0") if f]
    equal(told, [f for f in bytes(sent).split(b"\0") if f], "frames")
    assert len(usb.got) % 64 == 0, len(usb.got)


def scenario_rp2_a_frame_leaves_at_once():
    configure({})
    board = board_rp2.Board()
    usb = board._out = board._out_poll = Usb()
    frame = bytearray([7] * 99) + b"\0"
    equal(board.write_host(frame, 0, 60), 60, "taken of a frame that does not end")
    equal(len(usb.got), 0, "on its way")
    equal(board.write_host(frame, 60, 100), 40, "taken of the rest")
    equal(bytes(usb.got), bytes(frame) + bytes(28), "on its way")


def scenario_rp2_takes_nothing_while_the_buffer_is_full():
    configure({})
    board = board_rp2.Board()
    usb = board._out = board._out_poll = Usb()
    frame = bytearray([7] * 999) + b"\0"
    equal(board.write_host(frame, 0, 1000), 256 + 64 + 64, "taken: buffer, packet, and the one that we fill")
    equal(board.write_host(frame, 384, 1000), 0, "taken while it is full")
    equal(usb.waits, 0, "waits")


class Uart:
    """The ESP32's FIFO of 128 bytes at 921600 baud."""

    def __init__(self):
        self.filled = 0.0
        self.at_us = clock.now_us()
        self.total = 0
        self.waits = 0

    def write(self, buffer, offset, length):
        now_us = clock.now_us()
        self.filled = max(0.0, self.filled - (now_us - self.at_us) * 0.09216)
        self.at_us = now_us
        self.filled += length
        self.total += length
        if self.filled > 128:
            self.waits += 1
        return length


def scenario_esp32_never_writes_more_than_has_room():
    configure({})
    board = board_esp32.Board()
    equal(machine_bench.speeds_baud[0], 921_600, "baud")
    uart = board._out = Uart()
    frames = bytearray([7] * 4000)
    for turn in range(5000):
        clock.advance(50 + turn * 977 % 3000)
        board.write_host(frames, 0, len(frames))
    equal(uart.waits, 0, "times that a write would have waited")
    clock.advance((1 << 29) + 12345)  # so long that the ticks' distance turns negative
    equal(board.write_host(frames, 0, 500), 128, "after a long pause")
    for _ in range(1000):
        clock.advance(1000)
        board.write_host(frames, 0, len(frames))
    near(uart.total, 5000 * 120, 500_000, "bytes")


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
