"""The serial box as a source: blocks as exact as the box, and the promises that the pipeline builds on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.blocks import Block, Quality, SensorFault, Silence
from agent.sources import wall_marks
from agent.sources.serial_box import SerialBox
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality, measure_mark
from firmware_bridge.describe import BoardStream, Description
from firmware_bridge.errors import LinkError, ProtocolError
from firmware_bridge.reception import Samples
from firmware_bridge.status import Counters
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.streams import MOUNT_UP, STREAMS
from tests.bridge.reading import BY_NAME
from tests.bridge.tiny_trip import expected_counts

MS = 1_000_000
FAST = BoardStream("accel", ("x", "y", "z"), "mps2", 0.005, 1000.0, 16, 160.0)
SLOW = BoardStream("temperature", ("t",), "degC", 0.01, 1.0, 16, None)
STEP_BACK_NS = 500_000


def samples(
    stream: BoardStream, first: int, time_ns: int, count: int = 3, reason: str = "", period_ns: float = 0.0
) -> Samples:
    values = np.arange(first, first + count, dtype=np.int16)[:, None].repeat(len(stream.axes), axis=1)
    return Samples(stream, first, time_ns, values, reason, period_ns)


@dataclass
class ScriptedLink:
    """Gives the batches that it was told to, then sets the stop event."""

    batches: list[list[Samples]]
    streams: tuple[BoardStream, ...] = (FAST, SLOW)
    stop: threading.Event = field(default_factory=threading.Event)
    port_name: str = "scripted"
    quiet: bool = False
    waiting: bool = False
    vouch_lag_ns: int = 0
    counters: Counters = field(default_factory=Counters)
    _vouched_ns: int = 0

    def vouched_ns(self, _stream: str) -> int:
        return self._vouched_ns - self.vouch_lag_ns

    def open(self) -> Description:
        return Description("1", "b", "0", "power-on", 1, 0, 32, None, self.streams)

    def read(self, _timeout_s: float, _idle: Callable[[float], object]) -> list[Samples]:
        if len(self.batches) == 1:
            self.stop.set()
        batch = self.batches.pop(0) if self.batches else []
        for one in batch:
            last_ns = one.time_ns + round((len(one.values) - 1) * one.stream.period_ns)
            self._vouched_ns = max(self._vouched_ns, last_ns)
        return batch

    def close(self) -> None:
        self.stop.set()


def items_of(batches: list[list[Samples]]) -> list[Block | Silence | SensorFault | TimeMark]:
    link = ScriptedLink(batches)
    source = SerialBox("scripted")
    source.link = link  # type: ignore[assignment]  # has of a Link what a source uses
    source.open()
    return list(source.items(link.stop))


def blocks_of(items: list[Block | Silence | SensorFault | TimeMark], stream: str = "accel") -> list[Block]:
    return [i for i in items if isinstance(i, Block) and i.stream == stream]


@pytest.fixture
def source(quick_box: VirtualBox) -> Iterator[SerialBox]:
    source = SerialBox(quick_box.port)
    yield source
    source.close()


def test_the_box_as_blocks(source: SerialBox) -> None:
    specs = source.open()
    for spec, stream in zip(specs, STREAMS, strict=True):
        assert (spec.name, spec.axes, spec.scale) == (stream.name, stream.axes, stream.scale)
        assert (spec.rate_hz, spec.sample_bits, spec.full_scale) == (
            stream.rate_hz,
            stream.sample_bits,
            stream.full_scale,
        )
        assert spec.kind is TABLE[spec.name].kind
        assert spec.sensor and spec.sensor == specs[0].sensor, "the board's name and number"
    assert source.mount_up == MOUNT_UP
    stop = threading.Event()
    ends: dict[str, int] = {}
    before = measure_mark()
    for n, item in enumerate(source.items(stop)):
        assert isinstance(item, TimeMark) == (n == 0), f"item {n} is {item}"
        if isinstance(item, TimeMark):
            assert abs(item.offset_ns - before.offset_ns) < 10 * MS
            continue
        assert isinstance(item, Block), f"nothing lags, and yet: {item}"
        assert item.first == ends.get(item.stream, 0)
        np.testing.assert_array_equal(
            item.values, expected_counts(BY_NAME[item.stream], item.first, len(item))
        )
        ends[item.stream] = item.end
        age_ms = (measure_mark().box_ns - item.last_ns) / MS
        assert -1 < age_ms < 1000, f"{item.stream} is {age_ms} ms old"
        if ends.get("accel", 0) >= 1300:
            stop.set()
    assert set(ends) == {s.name for s in STREAMS}


def test_a_port_that_is_not_there() -> None:
    with pytest.raises(LinkError, match="no such port"):
        SerialBox("/dev/no-such-port").open()


def test_a_unit_that_the_agent_does_not_know() -> None:
    source = SerialBox("scripted")
    strange = BoardStream("force", ("f",), "pound", 1.0, 10.0, 16, None)
    source.link = ScriptedLink([], (strange,))  # type: ignore[assignment]  # as above
    with pytest.raises(ProtocolError, match="unit 'pound', expected one of mps2"):
        source.open()


def test_one_clock_as_long_as_the_estimate_moves_little() -> None:
    jitter_ns = [0, 90_000, -100_000, 200_000, -200_000, 30_000]
    blocks = blocks_of(items_of([[samples(FAST, 3 * i, 3 * i * MS + j)] for i, j in enumerate(jitter_ns)]))
    assert {b.clock for b in blocks} == {blocks[0].clock}


def test_a_sensors_own_oscillator_is_followed() -> None:
    """1.03 kHz where 1 kHz was promised, as an HX711 would: after a while one line fits again."""
    period_ns = 970_874
    blocks = blocks_of(
        items_of([[samples(FAST, 3 * i, 3 * i * period_ns, period_ns=period_ns)] for i in range(5000)])
    )
    late = blocks[3000:]
    assert len({b.clock for b in late}) <= 3, f"{len({b.clock for b in late})} clocks in 6 s"
    errors = [abs(b.start_ns - b.first * period_ns) for b in late]
    assert max(errors) < 300_000, max(errors)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 40),  # samples in the frame
            st.integers(0, 3),  # samples that are missing before it
            st.integers(-5_000_000, 5_000_000),  # what the clock estimate moves by
        ),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([FAST, BoardStream("accel", ("x",), "mps2", 1.0, 3200.0, 16, None)]),
)
def test_no_block_begins_earlier_than_promised(
    script: list[tuple[int, int, int]], stream: BoardStream
) -> None:
    batches, index, offset_ns = [], 0, 0
    for count, missing, moved_ns in script:
        index += missing
        offset_ns += moved_ns
        batches.append([samples(stream, index, round(index * stream.period_ns) + offset_ns, count, "cable")])
        index += count
    blocks = blocks_of(items_of(batches))
    for before, after in itertools.pairwise(blocks):
        earliest_ns = before.last_ns + after.period_ns - STEP_BACK_NS
        assert after.start_ns >= earliest_ns, f"{after.start_ns} < {earliest_ns}"
        assert after.start_ns > before.last_ns, "times rise"
        assert (after.missing_reason != "") == (after.first != before.end)


def lagging() -> list[list[Samples]]:
    """Temperature at 0 s; then only the accelerometer, for 3 s."""
    batches = [[samples(FAST, 0, 0), samples(SLOW, 0, 0, 1)]]
    batches += [[samples(FAST, 3 * i, 3 * i * MS)] for i in range(1, 1000)]
    return batches


def test_a_stream_that_lags_is_declared_silent_again_and_again() -> None:
    youngest_ns = 0
    said: list[tuple[int, int]] = []
    for item in items_of(lagging()):
        if isinstance(item, Block):
            youngest_ns = item.last_ns
        elif isinstance(item, Silence):
            assert item.stream == "temperature"
            said.append((youngest_ns, item.until_ns))
    assert 1110 * MS < said[0][0] < 1120 * MS, "10 ms after its sample of 1 s was due, were it 10 % slow"
    times_ns = [at for at, _ in said] + [youngest_ns]
    gaps_ms = [(b - a) / MS for a, b in itertools.pairwise(times_ns)]
    assert max(gaps_ms) <= 3, "at every turn"
    assert all(0 < at - until <= 10 * MS for at, until in said), said


def test_one_lost_frame_of_a_sensor_that_is_known_holds_up_nothing_for_long() -> None:
    batches = [
        [samples(FAST, i, i * MS, 1), *([samples(SLOW, i // 1000, i * MS, 1)] if i % 1000 == 0 else [])]
        for i in range(3500)
    ]
    batches[3000].pop()
    items = items_of(batches)
    first = next(n for n, item in enumerate(items) if isinstance(item, Silence))
    assert blocks_of(items[:first])[-1].last_ns == 3011 * MS, "10 ms after its sample of 3 s was due"


@pytest.mark.parametrize("slow", [1.0, 1.05])
@pytest.mark.parametrize("rate_hz", [1.0, 80.0])
def test_a_slow_oscillator_is_never_late(slow: float, rate_hz: float) -> None:
    """Its frames come a turn of 20 ms later than those of the fast stream, and even so."""
    stream = BoardStream("temperature", ("t",), "degC", 0.01, rate_hz, 16, None)
    period_ns = round(slow * 1e9 / rate_hz)
    batches, taken = [], 0
    for turn in range(700):
        batches.append([samples(FAST, 20 * turn, 20 * turn * MS, 20)])
        first, taken = taken, -(-20 * (turn + 1) * MS // period_ns)
        if taken > first:
            batches.append([samples(stream, first, first * period_ns, taken - first, period_ns=period_ns)])
    link = ScriptedLink(
        batches, (FAST, stream), vouch_lag_ns=20 * MS
    )  # the turn's other frame is still to come
    source = SerialBox("scripted")
    source.link = link  # type: ignore[assignment]  # as above
    source.open()
    items = list(source.items(link.stop))
    assert not [i for i in items if isinstance(i, Silence)]
    blocks = blocks_of(items, "temperature")
    assert sum(len(b) for b in blocks) == taken
    assert {b.missing_reason for b in blocks} == {""}
    assert max(abs(b.start_ns - b.first * period_ns) for b in blocks) < MS


def test_a_stream_that_never_began_is_declared_silent() -> None:
    items = items_of([[samples(FAST, 3 * i, 3 * i * MS)] for i in range(1000)])
    assert any(isinstance(i, Silence) and i.stream == "temperature" for i in items)


def test_samples_of_a_time_that_was_declared_silent_are_late() -> None:
    items = items_of(
        [
            *lagging(),
            [samples(SLOW, 1, 1000 * MS, 1)],
            [samples(SLOW, 2, 2000 * MS, 1)],
            [samples(SLOW, 3, 3000 * MS, 1)],
            [samples(SLOW, 4, 4000 * MS, 1)],
        ]
    )
    blocks = blocks_of(items, "temperature")
    assert [(b.first, b.missing_reason) for b in blocks] == [(0, ""), (3, "late"), (4, "")]
    until_ns = max(i.until_ns for i in items if isinstance(i, Silence) and i.stream == "temperature")
    assert blocks[1].start_ns >= until_ns


def test_the_late_part_of_a_block_is_cut_off() -> None:
    blocks = blocks_of(items_of([*lagging(), [samples(SLOW, 1, 1000 * MS, 4)]]), "temperature")
    assert [(b.first, len(b), b.missing_reason) for b in blocks] == [(0, 1, ""), (3, 2, "late")]


def test_the_first_sample_after_a_hole_says_that_some_are_missing() -> None:
    later = [*lagging(), [samples(SLOW, 1, 1000 * MS, 4)]]
    hole = [[samples(FAST, 0, 0)], [samples(FAST, 5, 5 * MS, 3, "cable")], [samples(FAST, 8, 8 * MS)]]
    for blocks in (blocks_of(items_of(hole)), blocks_of(items_of(later), "temperature")):
        end = 0
        for block in blocks:
            if block.first == end:
                assert block.quality is None
            else:
                assert block.quality is not None
                assert block.quality.tolist() == [Quality.MISSING_BEFORE] + [0] * (len(block) - 1)
            end = block.end


def test_the_wall_clock_is_marked_when_it_jumps_and_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 1000
    wall_offset_ns = 0

    def mark() -> TimeMark:
        return TimeMark(now_ns, wall_offset_ns, TimeQuality.SYNCED)

    monkeypatch.setattr(wall_marks, "measure_mark", mark)
    monkeypatch.setattr("agent.sources.serial_box.time.monotonic_ns", lambda: now_ns)
    batches: list[list[Samples]] = [[] for _ in range(200)]
    link = ScriptedLink(batches)
    source = SerialBox("scripted")
    source.link = link  # type: ignore[assignment]  # as above
    source.open()
    marks = []
    original = link.read

    def read(timeout_s: float, idle: Callable[[float], object]) -> list[Samples]:
        nonlocal now_ns, wall_offset_ns
        now_ns += 1_000 * MS
        if len(batches) == 170:
            wall_offset_ns += 11 * MS
        if len(batches) == 160:
            wall_offset_ns += 9 * MS
        return original(timeout_s, idle)

    monkeypatch.setattr(link, "read", read)
    marks = [i for i in source.items(link.stop) if isinstance(i, TimeMark)]
    seconds = [m.box_ns // 1_000_000_000 for m in marks]
    assert seconds[:2] == [0, 31], "one at the beginning, one at the jump of 11 ms"
    assert max(b - a for a, b in itertools.pairwise(seconds)) <= 60, seconds
