"""What is calibrated live: a box on its port, chips on a bus, or a virtual box with a hand that moves it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.calibrating.feed import Feed
from agent.config import AXIS_WORDS, Config
from agent.sources import LiveSource
from agent.sources.serial_box import SerialBox

if TYPE_CHECKING:
    from firmware_bridge.virtual.calibration_bench import CalibrationBench


class BenchHand:
    """The hand of a virtual box's bench, that knows whether the box has felt it."""

    def __init__(self, bench: CalibrationBench) -> None:
        self._bench = bench
        self._moves = 0

    def turn(self, up: tuple[float, float, float]) -> None:
        """Turn the box until `up`, in its axes, points up."""
        self._moves += 1
        self._bench.hand.turn(up)

    def put(self, mass_kg: float, place: str = "centre") -> None:
        """Let that mass stand there, and nothing else."""
        self._moves += 1
        self._bench.hand.put(mass_kg, place)

    def take_off(self) -> None:
        """Take everything off."""
        self._moves += 1
        self._bench.hand.take_off()

    @property
    def felt(self) -> bool:
        """Whether the box has felt all of it."""
        return len(self._bench.felt) >= self._moves


@dataclass(slots=True)
class Device:
    """A live source, by name, and of a virtual box the bench it stands on."""

    source: LiveSource
    words: str
    bench: CalibrationBench | None = None

    def level(self, config: Config) -> bool:
        """Whether the sensor's axes are those of the box, x forward and z up, as far as anybody said."""
        up = config.mount_up(self.source.mount_up)
        return up is None or up == AXIS_WORDS["z"]


@contextlib.contextmanager
def virtual_device(seed: int) -> Iterator[Device]:
    """Yield a virtual box whose sensors have the hidden errors of `seed`, lying on a bench."""
    from firmware_bridge.virtual import VirtualBox
    from firmware_bridge.virtual.calibration_bench import CalibrationBench

    with tempfile.TemporaryDirectory(prefix="cargobox-calibrate-") as folder:
        board = Path(folder) / "board"
        board.mkdir()
        # the same sensors have the same name, so that a session of theirs can be gone on with
        (board / "id").write_text(f"{seed:016x}")
        bench = CalibrationBench(seed)
        with VirtualBox(bench, None, board) as box:
            yield Device(SerialBox(box.port), f"virtual box, seed {seed}", bench)


@contextlib.contextmanager
def live_device(make: Callable[[], LiveSource], words: str) -> Iterator[Device]:
    """Yield what the configuration, or the command line, says is there."""
    yield Device(make(), words)


@contextlib.contextmanager
def feeding(device: Device, config: Config, stream: str) -> Iterator[Feed]:
    """Open the device and read `stream` of it until the end of the ``with``."""
    with Feed(device.source, config, stream) as feed:
        yield feed
