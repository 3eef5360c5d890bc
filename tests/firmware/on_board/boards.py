"""Both board modules: configuration, description, outputs, boots."""

import json

import bench
import board_esp32
import board_rp2
import machine_bench
from bench import clock, configure, drain, equal, near, net, plug, run
from chips.bme280 import Bme280Chip
from usual_wiring import connect_defaults

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
    ("{", "config.json", "a JSON document"),
    ("[]", "config.json", "an object in braces"),
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
    ({"output_key": "xyz"}, "config.json output_key", "32 hexadecimal digits or more, an even number"),
    ({"output_key": "00" * 15}, "config.json output_key", None),
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
            assert doing != "config.json output_key" or faults[0][2] == '"(hidden)"', "a secret is told"
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


def scenario_what_a_bad_sensor_claimed_is_free_again():
    lid = {"chip": "switch", "pin": 22}
    for module in BOARDS:
        configure({"sensors": [dict(lid, debounce_ms=-1), dict(lid, rate_hz=1, closed=1), lid]})
        board = module.Board()
        equal(len(drain(board)), 2, "faults")
        equal([s["rate_hz"] for s in json.loads(board.streams_text)], [10], "the lid of the third")


def scenario_a_file_of_garbage_is_told():
    for garbage in (b"\xff\xfe\x00{", b"[" * 5000, b"\0" * 100, b""):
        with open("config.json", "wb") as file:
            file.write(garbage)
        for module in BOARDS:
            board = module.Board()
            equal([f[1] for f in drain(board)], ["config.json"], f"faults of {garbage[:9]}")
            equal(board.streams_text, "[]", "streams")


class Refuses:
    ATTN_11DB = 3

    def __init__(self, *arguments, **named):
        raise ValueError("bad pin")


def scenario_what_this_very_board_cannot_do_is_told():
    machine_bench.ADC = machine_bench.PWM = Refuses
    for module, pin in ((board_rp2, 26), (board_esp32, 34)):
        configure(
            {
                "sensors": [{"chip": "analog", "pin": pin, "pa_per_v": 1}, {"chip": "switch", "pin": 22}],
                "outputs": [{"name": "fan", "kind": "pwm", "pin": 13}],
            }
        )
        board = module.Board()
        faults = drain(board)
        equal([f[1] for f in faults], ["config.json outputs[0]", "config.json sensors[0]"], "faults")
        equal([f[2] for f in faults], ["ValueError bad pin"] * 2, "got")
        equal([s["name"] for s in json.loads(board.streams_text)], ["lid"], "streams")
        equal(board.set_output(0, 1), False, "moved")


def scenario_each_of_several_mistakes_is_told():
    configure({"sensors": [{"chip": "adxl346"}, {"chip": "bme280"}], "output_key": "xyz"})
    for module in BOARDS:
        told = {fault[0]: fault[1] for fault in drain(module.Board())}
        wrong = ("output_key", "sensors[0].chip", "sensors[1].bus")
        equal(
            sorted(told.values()),
            ["config.json " + key for key in wrong],
            "what is wrong, under names of its own",
        )


def scenario_a_bad_key_costs_nothing_else():
    configure({"output_key": "xyz", "mount_up": [0, 1, 0]})
    for module in BOARDS:
        board = module.Board()
        equal([f[1] for f in drain(board)], ["config.json output_key"], "faults")
        equal((board.output_key, board.mount_up), (b"", [0, 1, 0]), "key, and which way is up")


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


run(globals())
