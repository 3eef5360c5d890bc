"""Recordings that nobody here made, by the maps of the documentation: what is in them, and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agent.blocks import Quality
from tests.logs.reading import MAPS, Reading, read, recording

# file, map, samples of each stream, missing samples, late rows, repeated rows
RECORDINGS = [
    (
        "fragile-goods-box/dropped_box.csv",
        "fragile-goods-box",
        {"accel": 19716, "gyro": 19716, "temperature": 36, "humidity": 36},
        0,
        1424,
        0,
    ),
    (
        "fragile-goods-box/rough_handling.csv",
        "fragile-goods-box",
        {"accel": 3775, "gyro": 35, "temperature": 35, "humidity": 35},
        0,
        0,
        0,
    ),
    (
        "fragile-goods-box/car_trip_0921.csv",
        "fragile-goods-box",
        dict.fromkeys(["accel", "gyro", "temperature", "humidity"], 2866),
        0,
        0,
        0,
    ),
    ("driver-behavior/17/acelerometro_terra.csv", "driver-behavior", {"accel": 20675}, 0, 0, 0),
    ("driver-behavior/20/acelerometro_terra.csv", "driver-behavior", {"accel": 15268}, 0, 0, 0),
    ("driver-behavior/17/giroscopio_terra.csv", "driver-behavior-gyro", {"gyro": 20675}, 0, 0, 0),
    ("transit-vibration/L3_StnVinohrady_Riazanska.csv", "transit-vibration", {"accel": 120033}, 0, 0, 0),
    (
        "imu-multiposition/example_data_calibration.csv",
        "imu-multiposition",
        {"accel": 10245, "gyro": 10245},
        0,
        0,
        0,
    ),
    ("imu-ferraris/example_ferraris_session.csv", "imu-ferraris", {"accel": 10376, "gyro": 10376}, 0, 0, 0),
    ("container-motion/samples.csv", "container-motion", {"accel": 23599, "gyro": 23599}, 0, 0, 0),
    ("coffee-scale/brew.csv", "coffee-scale", {"load": 3634}, 0, 0, 0),
    ("coffee-scale/coldstart.csv", "coffee-scale", {"load": 7023}, 0, 0, 0),
    (
        "hive-scales/BM2_scale_43106F.csv",
        "hive-scales",
        dict.fromkeys(["load", "temperature", "humidity"], 4328),
        0,
        0,
        0,
    ),
    (
        "hive-scales/BM10_scale_4312BF.csv",
        "hive-scales-raw",
        dict.fromkeys(["load", "temperature", "humidity"], 408),
        0,
        0,
        55,
    ),
]


def read_recording(name: str, map_name: str) -> Reading:
    return read(recording(name), MAPS / f"{map_name}.toml")


@pytest.mark.parametrize(
    ("name", "map_name", "samples", "missing", "late", "repeated"), RECORDINGS, ids=[r[0] for r in RECORDINGS]
)
def test_what_is_in_it(
    name: str, map_name: str, samples: dict[str, int], missing: int, late: int, repeated: int
) -> None:
    got = read_recording(name, map_name)
    lanes, counters = got.lanes, got.source.counters
    assert {stream: len(lane.index) for stream, lane in lanes.items()} == samples
    assert sum(count for lane in lanes.values() for _, count, _ in lane.gaps) == missing
    assert (counters.late_rows, counters.duplicate_rows) == (late, repeated)
    assert (counters.missing_samples, counters.unreadable_rows) == (missing, 0)


def test_dropped_box_is_put_in_order() -> None:
    """1,424 rows come up to 0.75 s late; in order, no two samples at 100 Hz are farther apart than 12 ms."""
    lane = read_recording("fragile-goods-box/dropped_box.csv", "fragile-goods-box").lanes["accel"]
    late = sum(bool(flags & Quality.LATE) for flags in lane.quality)
    assert late == 1424, f"{late} samples are flagged as late"
    steps_ms = np.diff(lane.times_ns) / 1e6
    assert steps_ms[36:].max() <= 12.0
    assert steps_ms[:36].min() > 400, "2 Hz at the beginning"


def test_both_ends_of_the_scale_are_seen() -> None:
    """The chip clips at -2000 and +1999 mg."""
    lane = read_recording("fragile-goods-box/rough_handling.csv", "fragile-goods-box").lanes["accel"]
    mg = np.rint(lane.array / 0.00980665)
    clipped = (mg <= -2000) | (mg >= 1999)
    flagged = np.array([bool(flags & Quality.SATURATED) for flags in lane.quality])
    assert (clipped.any(axis=1) == flagged).all()
    assert (mg >= 1999).any() and (mg <= -2000).any()


def test_the_phone_counts_from_the_start_of_the_trip() -> None:
    name = "driver-behavior/17"
    trip = json.loads(recording(f"{name}/viagem.json").read_text())
    lane = read_recording(f"{name}/acelerometro_terra.csv", "driver-behavior").lanes["accel"]
    first_s = (lane.times_ns[0] - trip["firstCollectionUptimeNanos"]) / 1e9
    last_s = (lane.times_ns[-1] - trip["firstCollectionUptimeNanos"]) / 1e9
    assert (first_s, last_s) == pytest.approx((0.32, trip["elapsedTimeNanos"] / 1e9), abs=0.05)


def test_a_scale_whose_clock_stood_still_is_told_by_its_own_count() -> None:
    """After ten days 250 rows came with one time: by `Sample` they belong, hourly, into the days before."""
    path = recording("hive-scales/BM2_scale_430E74.csv")
    rows = [row.split(",")[:2] for row in path.read_text().splitlines()[1:]]
    numbers = np.array([int(number) for _, number in rows])
    assert (np.diff(numbers) == 1).mean() > 0.99, "the scale's own count has no hole"
    lane = read_recording("hive-scales/BM2_scale_430E74.csv", "hive-scales").lanes["load"]
    assert lane.gaps == []
    steps_s = np.diff(lane.times_ns) / 1e9
    assert np.percentile(steps_s, [1, 99]) == pytest.approx([3400, 3500], abs=70)


def test_what_the_maps_say_is_what_the_makers_measured() -> None:
    """Physics as a check of units: gravity at rest, 1 g = 1540.32 counts, the maker's own weights."""
    rest = read_recording("imu-multiposition/example_data_calibration.csv", "imu-multiposition")
    accel = rest.lanes["accel"].array[150:3613] * rest.specs[0].scale
    gravity = np.linalg.norm(accel, axis=1).mean()
    assert gravity == pytest.approx(9.8, rel=0.12), "a chip that nobody has calibrated yet"
    scale = read_recording("coffee-scale/coldstart.csv", "coffee-scale")
    drift_kg = np.ptp(scale.lanes["load"].array[[0, -1], 0] * scale.specs[0].scale)
    assert drift_kg == pytest.approx(0.00011, abs=0.0003)
    fahrenheit = read_recording("hive-scales/BM1_scale_4311F9.csv", "hive-scales").lanes["temperature"].array
    assert -10 < fahrenheit.min() < fahrenheit.max() < 50
