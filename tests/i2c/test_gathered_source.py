"""Four NAU7802 behind a multiplexer become the four axes of one stream, on the simulated bus."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.blocks import Block, FaultKind, FaultPhase, SensorFault, Silence
from agent.commands import source as source_module
from agent.commands.source import source_of
from agent.config import load_config
from agent.gaps import Gap, GapWatch
from agent.sources.gathered_source import GatheredSource
from agent.sources.i2c_bus import I2cBus
from agent.streams import TABLE
from scripts.virtual_pi.chips.nau7802 import Nau7802
from scripts.virtual_pi.chips.tca9548a import Tca9548a
from tests.i2c.rig import SimulatedRig

NS_PER_S = 1_000_000_000
STEP = 1000  # counts from one conversion of a cell to its next: a value tells which moment it is of
ERRORS_PPM = (12_000.0, -8_000.0, 0.0, 3_000.0)
# as wired: not in the order of the stream's axes
CONFIG = """
[[source.i2c]]
bus = "/dev/i2c-9"
speed_hz = 400_000
chips = [
    { chip = "NAU7802", mux = 0x70, channel = 0, cell = "rr" },
    { chip = "NAU7802", mux = 0x70, channel = 1, cell = "fl" },
    { chip = "NAU7802", mux = 0x70, channel = 2, cell = "rl" },
    { chip = "NAU7802", mux = 0x70, channel = 3, cell = "fr" },
]
"""
CELLS = ("rr", "fl", "rl", "fr")


class Scale:
    """A platform on four cells, and what the agent makes of it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rig = SimulatedRig()
        self.chips = {
            cell: Nau7802(now_ns=self.rig.now_ns, rate_error_ppm=ppm)
            for cell, ppm in zip(CELLS, ERRORS_PPM, strict=True)
        }
        for chip in self.chips.values():
            chip.signal = lambda k: (k * STEP,)
        mux = Tca9548a(now_ns=self.rig.now_ns, channels={n: [c] for n, c in enumerate(self.chips.values())})
        self.rig.put([mux])
        path = tmp_path / "cargobox.toml"
        path.write_text(CONFIG)
        monkeypatch.setattr(
            source_module,
            "I2cBus",
            lambda *a, **kw: I2cBus(
                *a, **kw, now_ns=self.rig.now_ns, wait=self.rig.wait, open_bus=self.rig.open_bus
            ),
        )
        self.source = source_of(load_config(path), path, None)
        self.blocks: list[Block] = []
        self.faults: list[SensorFault] = []
        self.silent_ns = 0

    def run(self, *steps: tuple[float, Callable[[], None]]) -> list[Gap]:
        """Sample; after each step's seconds do what it says. Returns the gaps."""
        (spec,) = self.source.open()
        assert (spec.name, spec.axes, spec.rate_hz) == ("load", TABLE["load"].axes, 80.0)
        places = [f"NAU7802 at i2c-9 0x70/{CELLS.index(axis)} 0x2A" for axis in spec.axes]
        assert spec.sensor == ", ".join(places), "which cell is where belongs to its name"
        stop = threading.Event()
        waiting = list(steps)
        due_ns = self.rig.now_ns() + round(waiting[0][0] * NS_PER_S)
        watch, gaps = GapWatch(), []
        for item in self.source.items(stop):
            if isinstance(item, Block):
                assert item.stream == "load" and item.start_ns >= self.silent_ns
                gaps += watch.before(item)
                self.blocks.append(item)
            elif isinstance(item, SensorFault):
                self.faults.append(item)
            elif isinstance(item, Silence):
                assert item.stream == "load"
                self.silent_ns = item.until_ns
            if waiting and self.rig.now_ns() >= due_ns:
                waiting.pop(0)[1]()
                if waiting:
                    due_ns = self.rig.now_ns() + round(waiting[0][0] * NS_PER_S)
                else:
                    stop.set()
        self.source.close()
        return gaps

    def true_counts(self, cell: str, time_ns: int) -> float:
        """What the cell's conversions say of a moment, on the line between the two around it."""
        chip = self.chips[cell]
        k = next(k for k in itertools.count(chip.made - 1, -1) if chip.time_ns(k) <= time_ns)
        begin_ns, end_ns = chip.time_ns(k), chip.time_ns(k + 1)
        return STEP * (k + (time_ns - begin_ns) / (end_ns - begin_ns))


@pytest.fixture
def scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scale:
    return Scale(tmp_path, monkeypatch)


def test_four_cells_are_one_stream_and_at_one_time(scale: Scale) -> None:
    assert isinstance(scale.source, GatheredSource)
    gaps = scale.run((20.0, lambda: None))
    assert not gaps and not scale.faults, (gaps, scale.faults)
    assert scale.blocks[0].first == 0
    count = sum(len(block) for block in scale.blocks)
    assert count == scale.blocks[-1].end and 18.0 * 80 < count < 20.0 * 80, count
    off_ms = []
    for block in scale.blocks[-100:-10]:
        for time_ns, row in zip(block.times_ns().tolist(), block.values, strict=True):
            for cell, value in zip(TABLE["load"].axes, row, strict=True):
                off_ms.append(abs(int(value) - scale.true_counts(cell, time_ns)) / STEP / 80 * 1000)
    assert len(off_ms) > 300 and max(off_ms) < 1.0, (
        f"a cell is {max(off_ms):.2f} ms off; a conversion takes 12.5 ms"
    )


def test_one_that_is_pulled_takes_the_stream_along_and_brings_it_back(scale: Scale) -> None:
    def absent(value: bool) -> Callable[[], None]:
        return lambda: setattr(scale.chips["rl"], "absent", value)

    gaps = scale.run((5.0, absent(True)), (3.0, absent(False)), (5.0, lambda: None))
    (gap,) = gaps
    assert gap.reason == FaultKind.NACK.value
    assert 3.0 * 80 <= gap.samples <= 5.0 * 80, gap
    assert sum(len(block) for block in scale.blocks) + gap.samples == scale.blocks[-1].end
    phases = [fault.phase for fault in scale.faults if fault.phase is not FaultPhase.UPDATE]
    assert phases == [FaultPhase.START, FaultPhase.END]
    assert {(f.stream, f.streams) for f in scale.faults} == {("load", ("load",))}
    assert "0x70/2 0x2A" in scale.faults[0].sensor
