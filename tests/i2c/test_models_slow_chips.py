"""The models of BME280, ADS1115, SHT4x and TCA9548A against their data sheets."""

from __future__ import annotations

import struct

import pytest
from smbus2 import i2c_msg

from scripts.virtual_pi.chips.ads1115 import Ads1115
from scripts.virtual_pi.chips.adxl345 import Adxl345
from scripts.virtual_pi.chips.base import Chip
from scripts.virtual_pi.chips.bme280 import Bme280
from scripts.virtual_pi.chips.sht4x import Sht4x, crc8
from scripts.virtual_pi.chips.tca9548a import Tca9548a
from tests.i2c.simulated_bus import SimClock, SimulatedBus

MS = 1_000_000
MEASUREMENT_NS = 9_300_000  # all three once: 1.25 + 2.3 + 2 * (2.3 + 0.575) ms


def register(chip: Chip, at: int, count: int = 1) -> bytes:
    chip.write(bytes((at,)))
    answer = chip.read(count)
    assert answer is not None
    return answer


def bme280() -> tuple[SimClock, Bme280]:
    clock = SimClock()
    return clock, Bme280(now_ns=clock.now_ns)


def raw(chip: Bme280) -> tuple[int, int, int]:
    data = register(chip, 0xF7, 8)
    p, t = (int.from_bytes(data[at : at + 3]) >> 4 for at in (0, 3))
    return t, p, int.from_bytes(data[6:])


def test_bme280_reset_values() -> None:
    clock, chip = bme280()
    assert register(chip, 0xD0) == b"\x60"
    assert register(chip, 0xF3) == b"\x01", "it copies its calibration"
    clock.advance(2 * MS)
    assert register(chip, 0xF2, 4) == bytes(4)
    assert raw(chip) == (0x80000, 0x80000, 0x8000)


def test_bme280_calibration_is_that_of_the_worked_example() -> None:
    _, chip = bme280()
    words = struct.unpack("<HhhHhhhhhhhh", register(chip, 0x88, 24))
    assert words == (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
    h2, h3, e4, e5, e6, h6 = struct.unpack("<hBbBbb", register(chip, 0xE1, 7))
    h4, h5 = e4 << 4 | e5 & 0x0F, e6 << 4 | e5 >> 4
    assert (register(chip, 0xA1)[0], h2, h3, h4, h5, h6) == (75, 362, 0, 313, 50, 30)


def test_bme280_measures_once_when_forced_and_sleeps_again() -> None:
    clock, chip = bme280()
    clock.advance(2 * MS)
    chip.write(b"\xf2\x01\xf4\x25")
    assert register(chip, 0xF3) == b"\x08"
    clock.advance(MEASUREMENT_NS - 1)
    assert (register(chip, 0xF3), raw(chip)[0]) == (b"\x08", 0x80000)
    clock.advance(1)
    assert (register(chip, 0xF3), register(chip, 0xF4)) == (b"\x00", b"\x24")
    assert raw(chip) == (519_888, 415_148, 28_000)
    clock.advance(10**9)
    assert (chip.made, chip.given, chip.time_ns(0)) == (1, 1, 2 * MS + MEASUREMENT_NS)
    chip.write(b"\xf4\x25")
    clock.advance(10 * MS)
    assert chip.number_of(raw(chip)) == 1


def test_bme280_writes_pairs_and_heeds_ctrl_hum_with_ctrl_meas() -> None:
    clock, chip = bme280()
    clock.advance(2 * MS)
    chip.write(b"\xf4\x25\xf2\x01")  # the wrong way round
    assert register(chip, 0xF2, 3) == b"\x01\x08\x25"
    clock.advance(10 * MS)
    assert raw(chip) == (519_888, 415_148, 0x8000), "humidity is off until ctrl_meas is written again"
    chip.write(b"\xf4\x25")
    clock.advance(10 * MS)
    assert raw(chip)[2] == 28_001


def test_bme280_skips_what_is_not_asked_for() -> None:
    clock, chip = bme280()
    chip.write(b"\xf4\x21")
    clock.advance(3_550_000)
    assert raw(chip) == (519_888, 0x80000, 0x8000)


def test_bme280_normal_mode() -> None:
    clock, chip = bme280()
    chip.write(b"\xf2\x01\xf5\xa0\xf4\x27")
    clock.advance(MEASUREMENT_NS)
    assert chip.made == 1
    assert register(chip, 0xF3)[0] & 8 == 0
    clock.advance(1_000 * MS + MEASUREMENT_NS - 1)
    assert (chip.made, register(chip, 0xF3)[0] & 8) == (1, 8)
    clock.advance(1)
    assert (chip.made, chip.lost) == (2, 1)
    chip.write(b"\xf5\x00")
    assert register(chip, 0xF5) == b"\xa0", "config is ignored in normal mode"
    chip.write(b"\xf4\x24")
    clock.advance(10**10)
    assert chip.made == 2


def test_bme280_ways_to_fail() -> None:
    clock, chip = bme280()

    def forced() -> tuple[int, ...]:
        chip.write(b"\xf2\x01\xf4\x25")
        clock.advance(10 * MS)
        return raw(chip)

    chip.raw = (1, 2, 3)
    assert forced() == (1, 2, 3)
    chip.saturated = True
    assert forced() == (0xFFFFF, 0xFFFFF, 0xFFFF)
    chip.saturated = False
    chip.stopped = True
    forced()
    clock.advance(10**9)
    assert register(chip, 0xF3) == b"\x08", "it never ends"
    chip.stopped = False
    chip.identity = 0x58
    assert register(chip, 0xD0) == b"\x58"
    chip.write(b"\xe0\xb6")
    assert register(chip, 0xF2, 4) == b"\0\x01\0\0"
    assert register(chip, 0x88, 2) == (27504).to_bytes(2, "little")


def ads1115(rate_error_ppm: float = 0.0) -> tuple[SimClock, Ads1115]:
    clock = SimClock()
    return clock, Ads1115(now_ns=clock.now_ns, rate_error_ppm=rate_error_ppm)


def word(chip: Ads1115, at: int) -> int:
    return int.from_bytes(register(chip, at, 2))


def test_ads1115_reset_values() -> None:
    _, chip = ads1115()
    assert [word(chip, at) for at in range(4)] == [0, 0x8583, 0x8000, 0x7FFF]
    chip.write(b"\x02\x12\x34")
    chip.write(b"\x00\xff\xff")
    assert (word(chip, 2), word(chip, 0)) == (0x1234, 0), "the conversion is read-only"


@pytest.mark.parametrize("error_ppm", [-90_000, 0, 90_000])
@pytest.mark.parametrize(("code", "rate_hz"), [(0, 8), (4, 128), (7, 860)])
def test_ads1115_single_shot_takes_a_period(code: int, rate_hz: int, error_ppm: int) -> None:
    clock, chip = ads1115(rate_error_ppm=error_ppm)
    chip.write(bytes((0x01, 0xC3, code << 5 | 3)))
    takes_ns = 25_000 + int(1e9 / (rate_hz * (1 + error_ppm * 1e-6)))
    clock.advance(takes_ns - 1)
    assert word(chip, 1) & 0x8000 == 0
    chip.write(bytes((0x01, 0xC3, code << 5 | 3)))  # no effect while it converts
    clock.advance(1)
    assert word(chip, 1) & 0x8000
    assert (chip.number_of((word(chip, 0),)), chip.made) == (0, 1)
    clock.advance(10**9)
    assert chip.made == 1


def test_ads1115_converts_on_and_on() -> None:
    clock, chip = ads1115()
    chip.write(b"\x01\x42\xe3")
    clock.advance(10**9)
    assert (chip.made, word(chip, 1) & 0x8000) == (860, 0)
    assert chip.number_of((word(chip, 0),)) == 859
    assert chip.lost == 859


@pytest.mark.parametrize("value", [0, 1, -1, 0x7FFF, -0x8000])
def test_ads1115_edges_and_inputs(value: int) -> None:
    clock, chip = ads1115()
    chip.inputs[5] = lambda k: (value,)
    chip.write(b"\x01\xd3\xe3")
    clock.advance(2 * MS)
    assert word(chip, 0) == value & 0xFFFF
    chip.saturated = True
    chip.write(b"\x01\xc3\xe3")
    clock.advance(2 * MS)
    assert word(chip, 0) == 0x7FFF
    chip.power_cycle()
    assert word(chip, 1) == 0x8583
    chip.stopped = True
    chip.write(b"\x01\xc3\xe3")
    clock.advance(10**9)
    assert word(chip, 1) & 0x8000 == 0


def sht4x() -> tuple[SimClock, Sht4x]:
    clock = SimClock()
    chip = Sht4x(now_ns=clock.now_ns)
    clock.advance(MS)
    return clock, chip


def words(answer: bytes | None) -> tuple[int, int]:
    assert answer is not None
    assert len(answer) == 6
    for at in (0, 3):
        assert crc8(answer[at : at + 2]) == answer[at + 2], answer.hex()
    return int.from_bytes(answer[0:2]), int.from_bytes(answer[3:5])


def test_sht4x_checksum_is_that_of_the_data_sheet() -> None:
    assert crc8(b"\xbe\xef") == 0x92


@pytest.mark.parametrize(("command", "takes_us"), [(0xFD, 8300), (0xF6, 4500), (0xE0, 1600)])
def test_sht4x_answers_nobody_while_it_measures(command: int, takes_us: int) -> None:
    clock, chip = sht4x()
    assert chip.write(bytes((command,)))
    clock.advance(takes_us * 1000 - 1)
    assert chip.read(6) is None
    assert not chip.write(b"\x89")
    clock.advance(1)
    assert chip.number_of(words(chip.read(6))) == 0
    assert chip.read(6) is None, "an answer is given once"
    assert chip.write(bytes((command,)))
    clock.advance(takes_us * 1000)
    assert chip.number_of(words(chip.read(6))) == 1
    assert (chip.made, chip.given, chip.lost) == (2, 2, 0)


def test_sht4x_serial_reset_and_faults() -> None:
    clock, chip = sht4x()
    chip.write(b"\x89")
    clock.advance(MS - 1)
    assert chip.read(6) is None
    clock.advance(1)
    assert words(chip.read(6)) == (0x0FAB, 0x1234)
    assert not chip.write(b"\x00"), "no such command"
    chip.write(b"\xfd")
    assert chip.write(b"\x94"), "the soft reset is taken at any time"
    clock.advance(10 * MS)
    assert (chip.read(6), chip.made) == (None, 0)

    def measured() -> bytes | None:
        chip.write(b"\xfd")
        clock.advance(10 * MS)
        return chip.read(6)

    chip.damage = True
    answer = measured()
    assert answer is not None
    assert crc8(answer[:2]) != answer[2]
    chip.damage = False
    chip.saturated = True
    assert words(measured()) == (0xFFFF, 0xFFFF)
    chip.saturated = False
    chip.raw = (0x6666, 0x7777)
    assert words(measured()) == (0x6666, 0x7777)
    chip.stopped = True
    assert measured() is None
    chip.stopped = False
    chip.identity = 0x58
    assert chip.read(6) == b"\x58" * 6
    assert chip.made == chip.given + chip.lost + chip.discarded + chip.waiting


def test_tca9548a_lets_hear_whoever_is_connected_from_the_stop_on() -> None:
    clock = SimClock()
    first, second = (Adxl345(now_ns=clock.now_ns) for _ in range(2))
    second.identity = 0x11
    mux = Tca9548a(now_ns=clock.now_ns, channels={0: [first], 7: [second]})
    bus = SimulatedBus(clock, [mux])

    def identity() -> int:
        answer = i2c_msg.read(0x53, 1)
        bus.i2c_rdwr(i2c_msg.write(0x53, [0x00]), answer)
        return bytes(answer)[0]

    assert bus.read_byte(0x70) == 0
    with pytest.raises(OSError, match="No such device"):
        identity()
    for control, found in ((0x01, 0xE5), (0x80, 0x11), (0x81, 0xE5 & 0x11)):
        bus.i2c_rdwr(i2c_msg.write(0x70, [control]))
        assert (bus.read_byte(0x70), identity()) == (control, found)
    mux.write(b"\x00")
    assert mux.behind() == [first, second]
    mux.stop()
    assert mux.behind() == []
    bus.i2c_rdwr(i2c_msg.write(0x70, [0x01]))
    mux.power_cycle()
    assert bus.read_byte(0x70) == 0
