"""``[[source.i2c]]``: what is read, and what is wrong with it in the words of whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.commands.source import source_of, words_of
from agent.config import Config, load_config
from agent.errors import ConfigError
from agent.sources.drivers import CHIPS
from agent.sources.i2c_bus import I2cBus
from agent.sources.i2c_settings import DEFAULT_SPEED_HZ, I2cSettings, speed_hz_of
from agent.sources.serial_box import SerialBox
from agent.sources.several import SeveralSources


def loaded(tmp_path: Path, *lines: str) -> Config:
    path = tmp_path / "cargobox.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return load_config(path)


def on_bus(tmp_path: Path, *chips: str, bus: str = "1") -> Config:
    return loaded(tmp_path, "[[source.i2c]]", f"bus = {bus}", f"chips = [{', '.join(chips)}]")


@pytest.mark.parametrize("written", ["1", '"i2c-1"', '"/dev/i2c-1"'])
def test_a_bus_has_one_form(tmp_path: Path, written: str) -> None:
    (bus,) = on_bus(tmp_path, '{chip = "BME280"}', bus=written).source.i2c
    assert (bus.bus, bus.name) == ("/dev/i2c-1", "i2c-1")


def test_defaults(tmp_path: Path) -> None:
    (bus,) = on_bus(tmp_path, '{chip = "BME280"}').source.i2c
    assert (bus.speed_hz, bus.timeout_ms, bus.latency_ms) == (None, 50, 10.0)
    assert bus.chips[0].address == 0x76


FOUR = [f'{{chip = "NAU7802", mux = 0x70, channel = {n}, cell = "{c}"}}' for n, c in enumerate("abcd")]


def test_four_cells_of_one_stream(tmp_path: Path) -> None:
    (bus,) = on_bus(tmp_path, *FOUR).source.i2c
    assert [(chip.mux, chip.channel) for chip in bus.chips] == [(0x70, n) for n in range(4)]


INPUT = '{input = "AIN0", stream = "leak", unit = "V"}'
SECTION = "[[source.i2c]] 1"

WRONG = {
    "a chip misspelt": (
        ['{chip = "BME28"}'],
        f"chip = 'BME28' in {SECTION}, chips 1 (did you mean 'BME280'?)",
        "one of ",
    ),
    "no chip named": (["{address = 0x76}"], f"no 'chip' in {SECTION}, chips 1", "chip = one of "),
    "a key of no chip": (
        ['{chip = "BME280"}', '{chip = "SHT4x", rate = 1}'],
        f"a key 'rate' in {SECTION}, chips 2 (SHT4x) (did you mean 'rate_hz'?)",
        "only chip, address, mux, channel, rate_hz",
    ),
    "a key of another chip": (
        ['{chip = "BME280", gain = 128}'],
        f"a key 'gain' in {SECTION}, chips 1 (BME280)",
        "humidity_oversampling",
    ),
    "a value of the wrong kind": (
        ['{chip = "SHT4x", rate_hz = "fast"}'],
        f"rate_hz = 'fast' in {SECTION}, chips 1 (SHT4x)",
        "a number, without quotes",
    ),
    "a value that the chip has not": (
        ['{chip = "NAU7802", rate_hz = 100}'],
        f"rate_hz = 100 in {SECTION}, chips 1 (NAU7802)",
        "one of 10, 20, 40, 80, 320",
    ),
    "an entry within an entry": (
        ['{chip = "ADS1115", inputs = [{input = "AIN4", stream = "leak", unit = "V"}]}'],
        f"input = 'AIN4' in {SECTION}, chips 1 (ADS1115), inputs 1 (did you mean 'AIN",
        "one of AIN0, ",
    ),
    "a number without end": (
        ['{chip = "SHT4x", rate_hz = inf}'],
        f"rate_hz = inf in {SECTION}, chips 1 (SHT4x)",
        "",
    ),
    "a rate of which no period can be reckoned": (
        ['{chip = "SHT4x", rate_hz = 1e-300}'],
        f"rate_hz = 1e-300 in {SECTION}, chips 1 (SHT4x)",
        "at least 0.001",
    ),
    "a name with a line's end": (
        ['{chip = "ADXL345", stream = "accel\\n"}'],
        f"stream = 'accel\\n' in {SECTION}, chips 1 (ADXL345)",
        "letters, digits",
    ),
    "a stream that is called like a cell of another": (
        [*FOUR, '{chip = "ADXL345", stream = "load.a"}'],
        "the stream 'load.a' besides the cell that is called so: ADXL345 at i2c-1 0x53",
        "one source of it",
    ),
    "an address of another chip": (
        ['{chip = "BME280", address = 0x75}'],
        f"address = 0x75 in {SECTION}, chips 1 (BME280)",
        "at least 0x76",
    ),
    "two at one place": (
        ['{chip = "BME280"}', '{chip = "BME280", temperature = "t2"}'],
        f"two BME280 at 0x76 in {SECTION[:-2]} i2c-1",
        "one chip at each address",
    ),
    "two kinds at one place behind a multiplexer": (
        [FOUR[0], '{chip = "NAU7802", mux = 0x70, channel = 0, cell = "e"}'],
        "two NAU7802 at 0x2A behind 0x70/0",
        "one chip at each address",
    ),
    "behind it and beside it": (
        [FOUR[0], '{chip = "NAU7802", cell = "e"}'],
        "the NAU7802 at 0x2A behind 0x70/0 in [[source.i2c]] i2c-1, and the NAU7802 at 0x2A beside it",
        "both would answer",
    ),
    "at the multiplexer's own address": (
        ['{chip = "BME280"}', '{chip = "SHT4x", mux = 0x76, channel = 1}'],
        "the BME280 at 0x76 in [[source.i2c]] i2c-1, and a TCA9548A at the same address",
        "an address for each",
    ),
    "a multiplexer without channel": (
        ['{chip = "SHT4x", mux = 0x70}'],
        "mux without channel for the SHT4x in [[source.i2c]] i2c-1",
        "both, or neither",
    ),
    "a channel without multiplexer": (['{chip = "SHT4x", channel = 1}'], "channel without mux", "both"),
    "a stream twice": (
        ['{chip = "BME280"}', '{chip = "SHT4x"}'],
        "the stream 'temperature' twice: BME280 at i2c-1 0x76, SHT4x at i2c-1 0x44",
        "one source of it",
    ),
    "a cell twice": (
        [FOUR[0], FOUR[1].replace('"b"', '"a"')],
        "the stream 'load' with a cell given twice: NAU7802 at i2c-1 0x2A behind 0x70/0, ",
        "one source of it",
    ),
    "cells that are not alike": (
        [FOUR[0], FOUR[1].replace("cell", "rate_hz = 10, cell")],
        "the stream 'load' with cells that are not alike",
        "one source of it",
    ),
    "what the driver itself refuses": (
        ['{chip = "BME280", temperature = "air", humidity = "air"}'],
        "for the BME280 at i2c-1 0x76",
        "three names",
    ),
    "no chip at all": ([], "no chip in [[source.i2c]] i2c-1", "at least one"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_named(tmp_path: Path, what: str) -> None:
    chips, got, expected = WRONG[what]
    with pytest.raises(ConfigError) as caught:
        on_bus(tmp_path, *chips)
    error = caught.value
    assert got in error.got, error
    assert expected in error.expected, error
    assert "cargobox.toml" in error.doing and error.remedy, error


@pytest.mark.parametrize(
    "bus", ['"i2c1"', '"/dev//"', '"ttyS0"', "-1", "1.5", r'"/dev/\u0000"', r'"/dev/i2c-1\n"']
)
def test_what_is_no_bus(tmp_path: Path, bus: str) -> None:
    with pytest.raises(ConfigError, match=r"bus = .* in \[\[source.i2c\]\] 1"):
        on_bus(tmp_path, '{chip = "BME280"}', bus=bus)


def test_two_entries_for_one_bus(tmp_path: Path) -> None:
    entry = ["[[source.i2c]]", "bus = 1", 'chips = [{chip = "BME280"}]']
    other = [
        "[[source.i2c]]",
        'bus = "i2c-1"',
        'chips = [{chip = "SHT4x", temperature = "t", humidity = "h"}]',
    ]
    with pytest.raises(ConfigError, match=r"two \[\[source.i2c\]\] with bus /dev/i2c-1"):
        loaded(tmp_path, *entry, *other)


def test_cells_on_two_buses(tmp_path: Path) -> None:
    lines = []
    for bus, chip in ((1, FOUR[0]), (2, FOUR[1])):
        lines += ["[[source.i2c]]", f"bus = {bus}", f"chips = [{chip}]"]
    with pytest.raises(ConfigError, match=r"the stream 'load' on two buses: NAU7802 at i2c-1 .* at i2c-2 "):
        loaded(tmp_path, *lines)


def test_the_second_bus_is_named_as_the_second(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"a key 'spede_hz' in \[\[source.i2c\]\] 2 \(did you mean 'speed_hz'"
    ):
        loaded(
            tmp_path,
            "[[source.i2c]]\nbus = 1\nchips = [{chip = 'BME280'}]",
            "[[source.i2c]]\nbus = 2\nspede_hz = 400_000",
        )


def test_one_table_in_place_of_a_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="double brackets"):
        loaded(tmp_path, "[source.i2c]\nbus = 1")


def test_speed_from_the_device_tree(tmp_path: Path) -> None:
    settings = I2cSettings(bus="/dev/i2c-1")
    assert speed_hz_of(settings, tmp_path) == DEFAULT_SPEED_HZ == 100_000
    node = tmp_path / "i2c-1" / "of_node"
    node.mkdir(parents=True)
    (node / "clock-frequency").write_bytes(bytes.fromhex("00061a80"))
    assert speed_hz_of(settings, tmp_path) == 400_000
    assert speed_hz_of(I2cSettings(bus="/dev/i2c-1", speed_hz=50_000), tmp_path) == 50_000


def test_what_the_sources_are(tmp_path: Path) -> None:
    i2c = on_bus(tmp_path, '{chip = "BME280"}')
    assert isinstance(source_of(i2c, None, None), I2cBus) and words_of(i2c, None) == "i2c-1"
    assert isinstance(source_of(Config(), None, "/dev/ttyACM0"), SerialBox)
    assert isinstance(source_of(i2c, None, "/dev/ttyACM0"), SeveralSources)
    assert words_of(i2c, "/dev/ttyACM0") == "/dev/ttyACM0 and i2c-1"
    serial = loaded(tmp_path, '[source.serial]\nport = "/dev/ttyUSB0"')
    assert words_of(serial, None) == "/dev/ttyUSB0" and words_of(serial, "/dev/x") == "/dev/x"


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_the_table_fits_the_drivers(chip: object) -> None:
    assert chip in CHIPS
    (line,) = [c for c in CHIPS if c is chip]
    assert line.settings.__struct_config__.tag == line.name == line.driver.chip
    assert line.settings.__struct_config__.forbid_unknown_fields, "a misspelt key would be passed over"
    assert line.driver.addresses
