"""Maps: what they may say, what it means, and the words for what they may not."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.blocks import Quality
from agent.errors import ConfigError
from agent.sources.csv_map import CsvForm, StreamMap, TimeMap, load_map
from agent.streams import TABLE, StreamClass, Unit
from calibration.gravity import STANDARD_GRAVITY_MPS2 as G
from tests.logs.reading import ACCEL_MAP, MAPS, Csv

TIME = '[time]\ncolumn = "t"\nformat = "s"\n'


@pytest.mark.parametrize(
    ("text", "got", "expected"),
    [
        ("", "no 'time' in it", "of time, streams, csv"),
        (TIME, "no 'streams' in it", "a key 'streams'"),
        (ACCEL_MAP.replace("format", "fromat"), "'fromat' in [time] (did you mean 'format'?)", "only column"),
        (ACCEL_MAP.replace("columns", "colums"), "'colums' in [streams.accel] (did you mean", "only columns"),
        (ACCEL_MAP + "[csvs]\n", "a key 'csvs' (did you mean 'csv'?)", "only time, streams, csv"),
        (ACCEL_MAP.replace('"mg"', '"m/s2"'), "unit = 'm/s2' (did you mean 'mps2'?)", "one of mg, g, mps2"),
        (ACCEL_MAP.replace('"mg"', '"degC"'), "unit = 'degC'", "one of mg, g, mps2, count"),
        (ACCEL_MAP.replace('"ms"', '"iso"'), "time.format = 'iso' (did you mean", "one of iso8601, unix_s"),
        (ACCEL_MAP.replace('format = "ms"', ""), "a column without its format", "either column and format"),
        (ACCEL_MAP.replace("[streams", "rate_hz = 5\n[streams"), "both column and rate_hz", "either column"),
        (ACCEL_MAP.replace('column = "t"\nformat = "ms"', 'order = "sort"'), "neither column nor", "either"),
        (ACCEL_MAP.replace('column = "t"\nformat = "ms"', "rate_hz = -1"), "rate_hz = -1", "more than 0"),
        (ACCEL_MAP.replace(', "z"', ""), "with 2 columns", "3, one for each of x, y, z"),
        (ACCEL_MAP.replace('"mg"', '"count"'), 'unit = "count" and no scale', "how much one count is"),
        (ACCEL_MAP + "scale = 2\n", "scale and unit = 'mg'", 'only with unit = "count"'),
        (ACCEL_MAP + "full_scale = 0\n", "full_scale = 0", "more than 0"),
        (ACCEL_MAP + 'up = "w"\n', "up = 'w'", "x, y or z"),
        (ACCEL_MAP + "up = [0, 0, 0]\n", "up = [0, 0, 0]", "a direction"),
        (ACCEL_MAP.replace("accel", "acel"), "without axes (did you mean 'accel'?)", "one of accel, gyro"),
        (ACCEL_MAP.replace("accel", "Foo"), "[streams.Foo] as a name", "small letters"),
        (ACCEL_MAP + "[csv]\ndelimiter = ', '\n", "delimiter = ', '", "length <= 1"),
        (
            ACCEL_MAP + "[streams.humidity]\nunit = 'percent'\n",
            "no 'columns' in [streams.humidity]",
            "a key 'columns'",
        ),
        (
            ACCEL_MAP + "[streams.humidity]\ncolumns = ['h']\nunit='percent'\nup='z'\n",
            "with up",
            "acceleration",
        ),
        ("[time", "Expected ']'", "valid TOML"),
    ],
)
def test_mistakes_are_told_with_the_key_what_came_and_what_was_wanted(
    tmp_path: Path, text: str, got: str, expected: str
) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_map(path)
    assert caught.value.doing == f"reading the map {path}"
    assert got in caught.value.got
    assert expected in caught.value.expected
    assert caught.value.remedy


def test_a_map_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_map(tmp_path / "no.toml")


@pytest.mark.parametrize(
    ("stream", "unit", "text", "value"),
    [
        ("accel", "g", "1", 9.80665),
        ("accel", "mg", "1000", 9.80665),
        ("accel", "mps2", "9.5", 9.5),
        ("gyro", "dps", "180", math.pi),
        ("gyro", "mdps", "180000", math.pi),
        ("gyro", "radps", "1.5", 1.5),
        ("temperature", "degC", "21.5", 21.5),
        ("temperature", "degF", "-40", -40.0),
        ("temperature", "degF", "212", 100.0),
        ("humidity", "percent", "50", 50.0),
        ("pressure", "Pa", "101325", 101325.0),
        ("pressure", "hPa", "1013.25", 101325.0),
        ("pressure", "kPa", "101.325", 101325.0),
        ("load", "kg", "2", 2.0),
        ("load", "lb", "10", 4.5359237),
    ],
)
def test_units_become_si(csv: Csv, stream: str, unit: str, text: str, value: float) -> None:
    columns = [f"c{i}" for i in range(len(TABLE[stream].axes))]
    mapped = f'{TIME}[streams.{stream}]\ncolumns = {columns}\nunit = "{unit}"\n'
    row = ",".join([text] * len(columns))
    got = csv.read([",".join(["t", *columns]), *(f"{i},{row}" for i in range(3))], mapped)
    values = got.lanes[stream].array
    assert values.dtype == np.float32
    assert values == pytest.approx(value, rel=1e-7)
    assert (got.specs[0].unit, got.specs[0].scale) == (TABLE[stream].unit, 1.0)
    assert got.specs[0].sample_bits == TABLE[stream].sample_bits


def test_counts_stay_counts(csv: Csv) -> None:
    mapped = (
        f'{TIME}[streams.load]\ncolumns = ["raw"]\naxes = ["m"]\nunit = "count"\nscale = 0.5\n'
        "zero = 1000\nfull_scale = 8388608\nsample_bits = 24\n"
    )
    got = csv.read(["t,raw", "0,1.53151e+06", "1,1000", "2,-8388608", "3,8388607"], mapped)
    lane, (spec,) = got.lanes["load"], got.specs
    assert lane.array.dtype == np.int32
    assert lane.array[:, 0].tolist() == [1530510, 0, -8389608, 8387607]
    assert lane.quality == [0, 0, 1, 1]
    assert (spec.unit, spec.scale, spec.full_scale, spec.sample_bits, spec.axes) == (
        Unit.KG, 0.5, 4194304.0, 24, ("m",),
    )  # fmt: skip


def test_samples_at_the_end_of_the_scale_are_saturated(csv: Csv) -> None:
    """Two's complement: -2000 and +1999 are the two ends."""
    rows = ["0,1998,0,0", "10,1999,0,0", "20,0,-2000,0", "30,0,-1999,0", "40,0,0,2100"]
    got = csv.rows(rows, ACCEL_MAP + "full_scale = 2000\n")
    assert got.lanes["accel"].quality == [0, Quality.SATURATED, Quality.SATURATED, 0, Quality.SATURATED]
    assert got.specs[0].full_scale == pytest.approx(2 * 9.80665)


def test_a_stream_that_the_table_does_not_know(csv: Csv) -> None:
    mapped = (
        f'{TIME}[streams.door_tilt]\ncolumns = ["a", "b"]\naxes = ["u", "v"]\nkind = "motion"\nunit = "dps"\n'
    )
    got = csv.read(["t,a,b", "0,1,2", "1,3,4"], mapped)
    (spec,) = got.specs
    assert (spec.name, spec.axes) == ("door_tilt", ("u", "v"))
    assert (spec.kind, spec.unit) == (StreamClass.MOTION, Unit.RADPS)


@pytest.mark.parametrize(
    ("word", "up"),
    [('"z"', (0, 0, 1)), ('"-x"', (-1, 0, 0)), ("[0, 3, 4]", (0, 0.6, 0.8)), ("[0.0, 0, -2]", (0, 0, -1))],
)
def test_up_goes_to_the_identity(csv: Csv, word: str, up: tuple[float, float, float]) -> None:
    got = csv.rows(["0,1,2,3", "10,1,2,3"], ACCEL_MAP + f"up = {word}\n")
    assert got.source.identity.mount_up == pytest.approx(up)


def test_a_log_is_named_by_what_it_and_its_map_say(csv: Csv) -> None:
    rows = ["0,1,2,3", "10,1,2,3"]
    boot = csv.rows(rows).source.identity.boot
    assert len(boot) == 16 and int(boot, 16) >= 0
    assert csv.rows(rows, "# a remark\n" + ACCEL_MAP).source.identity.boot == boot
    assert csv.rows(rows, ACCEL_MAP.replace('"mg"', '"g"')).source.identity.boot != boot
    assert csv.rows(["0,1,2,3", "10,1,2,4"]).source.identity.boot != boot


@pytest.mark.parametrize("path", sorted(MAPS.glob("*.toml")), ids=lambda p: p.stem)
def test_the_maps_of_the_documentation_are_maps(path: Path) -> None:
    load_map(path)


def test_the_example_of_the_documentation_does_what_it_says(csv: Csv) -> None:
    page = (MAPS.parent / "csv-maps.md").read_text()
    content, text = (
        re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[0] for kind in ("", "toml")
    )
    got = csv.read(content, text)
    assert got.lanes["accel"].array[1] == pytest.approx([-0.02 * G, 0.01 * G, 0.99 * G])
    assert got.lanes["temperature"].array.tolist() == [[21.5]]
    assert got.source.identity.mount_up == (0.0, 0.0, 1.0)
    assert got.source.counters.unreadable_rows == 0


@pytest.mark.parametrize("kind", [TimeMap, CsvForm, StreamMap])
def test_the_documentation_knows_every_key(kind: type[msgspec.Struct]) -> None:
    page = (MAPS.parent / "csv-maps.md").read_text()
    assert not [key for key in kind.__struct_fields__ if f"`{key}`" not in page]
