"""What goes into a log comes out of it. Every format inherits this suite: a subclass says how it writes.

What a format cannot keep it declares; everything else must be equal to the bit.
"""

from __future__ import annotations

import importlib
import tempfile
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import Block, RegularClock, SensorFault, Silence
from agent.errors import UsageError
from agent.log_info import LogInfo
from agent.recorder.mcap_file import Compression
from agent.recorder.mcap_writer import McapRecorder
from agent.sources import Item
from agent.sources.log_file import FOLDER, FORMATS
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from tests.logs.reading import Reading, assert_same, lanes_of, marks_of, read, recording
from tests.logs.trips import DTYPES, Trip, drive, trips

UP = (0.0, 0.6, 0.8)


class RoundTrip(ABC):
    """Subclass it for a format."""

    suffix: str
    exact = True
    """Whether clocks, quality, reasons, silences and marks are kept, and not samples and times alone."""

    seconds = 3.0
    """How much of a drive is enough."""

    @abstractmethod
    def write(self, path: Path, trip: Trip) -> Path | None:
        """Write `trip` to `path`; return the map with which to read it, if it needs one."""

    def round_trip(self, trip: Trip, *, block_samples: int | None = None) -> Reading:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"log{self.suffix}"
            return read(path, self.write(path, trip), block_samples=block_samples)

    def test_it_is_registered(self) -> None:
        assert self.suffix in FORMATS

    def test_a_drive_comes_out_as_it_went_in(self) -> None:
        trip = drive(self.seconds)
        got, wanted = self.round_trip(trip).lanes, lanes_of(trip.items)
        assert got.keys() == wanted.keys()
        for name, lane in wanted.items():
            assert got[name].times_ns == lane.times_ns
            assert got[name].array.astype(np.float64).tolist() == lane.array.astype(np.float64).tolist()

    @pytest.mark.parametrize("block_samples", [1, 7, 100_000])
    def test_the_size_of_blocks_changes_nothing(self, block_samples: int) -> None:
        trip = drive(self.seconds)
        wanted = self.round_trip(trip)
        got = self.round_trip(trip, block_samples=block_samples)
        assert_same(got.lanes, wanted.lanes)
        assert marks_of(got.items) == marks_of(wanted.items)
        assert max(len(item) for item in got.items if isinstance(item, Block)) <= block_samples

    def __init_subclass__(cls) -> None:
        """Give each format that keeps everything a property of its own: hypothesis wants one a class."""

        @settings(max_examples=60)
        @given(trip=trips(), block_samples=st.none() | st.integers(1, 900))
        def test_any_trip(self: RoundTrip, trip: Trip, block_samples: int | None) -> None:
            self.check(trip, block_samples)

        if cls.exact:
            cls.test_any_trip = test_any_trip  # type: ignore[attr-defined]

    def check(self, trip: Trip, block_samples: int | None) -> None:
        """Hold everything that comes out against everything that went in."""
        got = self.round_trip(trip, block_samples=block_samples)
        assert got.specs == tuple(sorted(trip.specs, key=lambda spec: list(TABLE).index(spec.name)))
        assert_same(got.lanes, lanes_of(trip.items))
        assert marks_of(got.items) == list(dict.fromkeys(marks_of(trip.items)))
        assert samples_before_marks(got.items) == samples_before_marks(trip.items), "a mark changed its place"
        assert samples_before_faults(got.items) == samples_before_faults(trip.items), (
            "a fault changed its place"
        )
        assert not got.source.notes


def samples_before_faults(items: Sequence[Item]) -> dict[str, list[tuple[int, SensorFault]]]:
    """Return, a stream each, how many of its samples come before each fault."""
    counted: Counter[str] = Counter()
    out: dict[str, list[tuple[int, SensorFault]]] = defaultdict(list)
    for item in items:
        if isinstance(item, Block):
            counted[item.stream] += len(item)
        elif isinstance(item, SensorFault):
            out[item.stream].append((counted[item.stream], item))
    return out


def samples_before_marks(items: Sequence[Item]) -> dict[TimeMark, int]:
    """Return how many samples come before each mark: the times of records depend on it."""
    counted: dict[TimeMark, int] = {}
    samples = 0
    for item in items:
        samples += len(item) if isinstance(item, Block) else 0
        if isinstance(item, TimeMark):
            counted.setdefault(item, samples)
    return counted


class TestMcap(RoundTrip):
    suffix = ".mcap"
    compression: Compression = "zstd"

    def write(self, path: Path, trip: Trip) -> None:
        with McapRecorder(
            path,
            LogInfo(box="box-7", boot="0123456789abcdef", software="0.1.0", streams=trip.specs, mount_up=UP),
            chunk_bytes=2000,
            compression=self.compression,
        ) as recorder:
            for item in trip.items:
                recorder.write(item)

    def test_the_identity_is_kept(self) -> None:
        identity = self.round_trip(drive(0.5)).source.identity
        assert (identity.box, identity.boot, identity.mount_up) == ("box-7", "0123456789abcdef", UP)
        assert identity.meta["software"] == "0.1.0"

    def test_short_blocks_are_joined(self) -> None:
        """A live box gives some 200 blocks a second; a log that kept them would hold little else."""
        trip = drive(10.0)
        got = [item for item in self.round_trip(trip).items if isinstance(item, Block)]
        given_blocks = sum(isinstance(item, Block) for item in trip.items)
        assert len(got) < given_blocks / 20, f"{len(got)} of {given_blocks}"
        assert max(len(block) for block in got) <= 256

    def test_silence_is_kept_where_it_says_something(self) -> None:
        trip = drive(2.0)
        last_ns = max(item.last_ns for item in trip.items if isinstance(item, Block))
        ends = tuple(Silence("load", last_ns + k * 500_000_000) for k in range(9))
        got = self.round_trip(Trip(trip.specs, trip.items + ends)).items
        silences = [item for item in got if isinstance(item, Silence)]
        assert silences, "nobody would know that the load cell has stopped"
        assert len(silences) <= 5, "one a second says all"

    def test_the_last_word_on_a_silence_is_kept(self) -> None:
        """The live run had come so far: a replay tells the same minutes."""
        trip = drive(2.0)
        last_ns = max(item.last_ns for item in trip.items if isinstance(item, Block))
        ends = tuple(Silence("load", last_ns + k * 300_000_000) for k in range(1, 8))
        got = self.round_trip(Trip(trip.specs, trip.items + ends)).items
        silences = [item.until_ns - last_ns for item in got if isinstance(item, Silence)]
        assert silences == [1_200_000_000, 2_100_000_000], silences


class TestMcapPlain(TestMcap):
    """Without compression."""

    compression: Compression = "none"


class Written(RoundTrip):
    """A format that `convert` writes: samples, indexes, flags, marks and identity are kept to the bit."""

    exact = False
    seconds = 0.4
    keeps_periods = True

    def write(self, path: Path, trip: Trip) -> Path | None:
        module, _, name = FORMATS[self.format].writer.partition(":")
        make = getattr(importlib.import_module(module), name)
        info = LogInfo(box="box-7", boot="0123456789abcdef", software="1", streams=trip.specs, mount_up=UP)
        with make(path, info) as recorder:
            for item in trip.items:
                recorder.write(item)
        return path.with_suffix(".toml") if self.format == ".csv" else None

    @property
    def format(self) -> str:
        return self.suffix or FOLDER

    def test_it_is_registered(self) -> None:
        assert self.format in FORMATS

    def test_all_that_it_promises_comes_out_to_the_bit(self) -> None:
        trip = holed(drive(1.1))
        got = self.round_trip(trip)
        assert got.specs == trip.specs
        lanes, wanted = got.lanes, lanes_of(trip.items)
        if not self.keeps_periods:
            for name, lane in wanted.items():
                assert lanes[name].gaps == [(first, count, "log") for first, count, _ in lane.gaps]
                lanes[name].period_ps, lanes[name].gaps = lane.period_ps, lane.gaps
        assert_same(lanes, wanted)
        assert set(marks_of(got.items)) == set(marks_of(trip.items))
        identity = got.source.identity
        assert (identity.box, identity.boot, identity.mount_up) == ("box-7", "0123456789abcdef", UP)
        assert not got.source.damaged, got.notes

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_every_type_of_value_and_a_scale_come_out_to_the_bit(self, dtype: Any) -> None:
        """Counts go through SI where the format has only that; they must come back as counts."""
        rng = np.random.default_rng(3)
        items: list[Item] = [TimeMark(0, 0, TimeQuality.UNSET)]
        specs = []
        for name, scale, offset in (("accel", 0.0098, 0.0), ("humidity", 0.125, -6.0), ("lid", 1.0, 0.0)):
            specs.append(msgspec.structs.replace(TABLE[name], scale=scale, offset=offset, sensor="a b"))
            shape = (100, len(TABLE[name].axes))
            values = rng.integers(-30_000, 30_000, shape).astype(dtype)
            if np.dtype(dtype).kind == "f":
                values = (values / 7).astype(dtype)
            items.append(Block(name, 5, RegularClock(5, 1_000_000_000, 10**9), values))
        trip = Trip(tuple(specs), tuple(items))
        got = self.round_trip(trip)
        assert got.specs == trip.specs
        for name, lane in lanes_of(trip.items).items():
            assert got.lanes[name].array.dtype == lane.array.dtype, name
            assert got.lanes[name].array.tobytes() == lane.array.tobytes(), name
            assert got.lanes[name].index == lane.index, name

    def test_it_does_not_write_over_what_is_there(self, tmp_path: Path) -> None:
        path = tmp_path / f"log{self.suffix}"
        self.write(path, drive(0.1))
        with pytest.raises(UsageError, match="free"):
            self.write(path, drive(0.1))


class TestCsv(Written):
    """Why a gap is there, and periods to the picosecond, have no column."""

    suffix = ".csv"
    keeps_periods = False


class TestRos1(Written):
    suffix = ".bag"


class TestRos2(Written):
    suffix = ""


def holed(trip: Trip) -> Trip:
    """Leave every fifth block out, with a reason, and flag some samples."""
    items: list[Item] = []
    lost: set[str] = set()
    for i, item in enumerate(trip.items):
        if isinstance(item, Block) and item.first > 0:
            if i % 5 == 0:
                lost.add(item.stream)
                continue
            flags = np.zeros(len(item), np.uint8)
            flags[0] = 3 if item.stream in lost else i % 2
            reason = "cable" if item.stream in lost else ""
            lost.discard(item.stream)
            items.append(Block(item.stream, item.first, item.clock, item.values, flags, reason))
        else:
            items.append(item)
    return Trip(trip.specs, tuple(items))


@pytest.mark.parametrize(
    ("name", "map_name"),
    [
        ("fragile-goods-box/dropped_box.csv", "fragile-goods-box"),
        ("fragile-goods-box/car_trip_0921.csv", "fragile-goods-box"),
        ("driver-behavior/17/acelerometro_terra.csv", "driver-behavior"),
        ("imu-multiposition/example_data_calibration.csv", "imu-multiposition"),
        ("hive-scales/BM1_scale_4311F9.csv", "hive-scales"),
        ("container-motion/samples.csv", "container-motion"),
    ],
)
def test_a_recording_made_by_others_goes_into_mcap_and_out_unchanged(
    name: str, map_name: str, tmp_path: Path
) -> None:
    path = recording(name)
    wanted = read(path, Path(__file__).parents[2] / "docs" / "maps" / f"{map_name}.toml")
    out = tmp_path / "log.mcap"
    identity = wanted.source.identity
    with McapRecorder(
        out, LogInfo(box=identity.box, boot=identity.boot, software="0", streams=wanted.specs)
    ) as recorder:
        for item in wanted.items:
            recorder.write(item)
    got = read(out)
    assert got.specs == wanted.specs
    assert_same(got.lanes, wanted.lanes)
    assert marks_of(got.items) == marks_of(wanted.items)
    assert got.source.identity.boot == identity.boot
