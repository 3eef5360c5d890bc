"""The motion sensors' settings: what is offered, and what a stream then says of itself."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from agent.errors import ConfigError
from agent.sources.drivers import mpu6050
from tests.i2c.motion_bench import DRIVERS, Bench, every_chip

G = 9.80665

SCALES: list[tuple[str, dict[str, Any], int, float]] = [
    ("ADXL345", {"range_g": 16}, 256, G),
    ("ADXL345", {"range_g": 2}, 256, G),
    ("ADXL355", {"range_g": 2}, 256_000, G),
    ("ADXL355", {"range_g": 8}, 64_000, G),
    ("LIS3DH", {"range_g": 2}, 250, G),
    ("LIS3DH", {"range_g": 16}, 125, 6 * G),
    ("MPU-6050", {"range_g": 16}, 2048, G),
]


@pytest.mark.parametrize(("name", "settings", "counts", "mps2"), SCALES)
def test_one_g_is_one_g(name: str, settings: dict[str, Any], counts: int, mps2: float) -> None:
    spec = Bench(name, **settings).driver.streams[0].spec
    assert counts * spec.scale == pytest.approx(mps2, rel=2e-3)
    assert spec.full_scale == pytest.approx(settings["range_g"] * G, rel=0.03)


def test_a_turn_is_in_radians() -> None:
    gyro = Bench("MPU-6050", range_dps=250).driver.streams[1].spec
    assert gyro.name == "gyro"
    assert 131 * 180 * gyro.scale == pytest.approx(np.pi)


RAILS = [
    ("ADXL345", 16, (-4096, 4095)),
    ("ADXL345", 2, (-512, 511)),
    ("ADXL355", 8, (-524288, 524287)),
    ("LIS3DH", 2, (-500, 500)),
    ("LIS3DH", 16, (-333, 333)),
    ("MPU-6050", 4, (-32768, 32767)),
]


@pytest.mark.parametrize(("name", "range_g", "rails"), RAILS)
def test_the_ends_of_the_range(name: str, range_g: int, rails: tuple[int, int]) -> None:
    assert Bench(name, range_g=range_g).driver.streams[0].rails == rails


def test_a_value_may_stand_still_only_where_steps_are_coarse() -> None:
    still = {
        (name, range_g): Bench(name, range_g=range_g).driver.streams[0].still_s
        for name, ranges in (
            ("ADXL345", (2, 16)),
            ("ADXL355", (2, 8)),
            ("LIS3DH", (2, 16)),
            ("MPU-6050", (16,)),
        )
        for range_g in ranges
    }
    assert [place for place, still_s in still.items() if still_s is None] == [("LIS3DH", 16)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"rate_hz": 3200}, "rate_hz"),
        ({"rate_hz": 201}, "rate_hz"),
        ({"range_g": 3}, "range_g"),
        ({"address": 0x78}, "address"),
        ({"colour": "red"}, "colour"),
    ],
)
@every_chip
def test_what_a_chip_cannot_do_is_refused(name: str, line: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"chip": name} | line, DRIVERS[name][1])


@every_chip
def test_every_rate_that_is_offered_is_the_chips(name: str) -> None:
    settings_type = DRIVERS[name][1]
    fields = {field.name: field.type for field in msgspec.structs.fields(settings_type)}
    for rate_hz in fields["rate_hz"].__args__:
        bench = Bench(name, rate_hz=rate_hz).set_up()
        bench.driver.look(bench.place)
        before = bench.chip.made
        bench.place.wait(2.0)
        bench.driver.look(bench.place)
        made = bench.chip.made - before
        assert made == pytest.approx(2 * rate_hz, rel=0.02, abs=1), f"{made} samples in 2 s at {rate_hz} Hz"


def test_two_streams_need_two_names() -> None:
    settings = mpu6050.Mpu6050Settings(stream="motion", gyro_stream="motion")
    with pytest.raises(ConfigError, match="two names"):
        settings.make()


def test_names_reach_the_streams() -> None:
    driver = mpu6050.Mpu6050Settings(stream="lid_accel", gyro_stream="lid_gyro").make()
    assert [stream.spec.name for stream in driver.streams] == ["lid_accel", "lid_gyro"]
    assert [stream.spec.axes for stream in driver.streams] == [("x", "y", "z")] * 2
