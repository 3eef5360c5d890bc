"""The bench behind the real firmware: a hand in this process is felt through the cable."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial

from agent.blocks import Block
from agent.sources.serial_box import SerialBox
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.calibration_bench import CalibrationBench
from firmware_bridge.virtual.calibration_console import HELP, obey
from firmware_bridge.virtual.calibration_truth import Floats

LONGEST_S = 30  # of the box's own time, until a test gives up


@contextmanager
def connected(bench: CalibrationBench, folder: Path) -> Iterator[SerialBox]:
    with VirtualBox(bench, folder / "port", folder / "state") as box:
        source = SerialBox(box.port)
        yield source
        source.close()


class Watcher:
    """The streams of an opened box, one second or so at a time."""

    def __init__(self, source: SerialBox) -> None:
        specs = source.open()
        self._scales = {spec.name: spec.scale for spec in specs}
        self._rates_hz = {spec.name: spec.rate_hz for spec in specs}
        self._items = source.items(threading.Event())
        self.lost = 0
        self._next: dict[str, int] = {}

    def until(self, stream: str, samples: int, good: Callable[[Floats], bool]) -> Floats:
        """Mean of the first `samples` of `stream` that are `good`, in its unit."""
        pending: list[Floats] = []
        seen = 0
        for item in self._items:
            if not isinstance(item, Block):
                continue
            name = item.stream
            self.lost += item.first - self._next.get(name, item.first)
            self._next[name] = item.end
            if name == stream:
                pending.append(np.asarray(item.values, dtype=np.float64) * self._scales[name])
                seen += len(item)
                if sum(map(len, pending)) >= samples:
                    values, pending = np.concatenate(pending), []
                    if good(values):
                        mean: Floats = values.mean(axis=0)
                        return mean
                assert seen < LONGEST_S * self._rates_hz[name], f"{stream} never was as expected"
        raise AssertionError("the box ended")


@pytest.mark.board
def test_a_turn_and_a_mass_are_felt_through_the_real_firmware(tmp_path: Path) -> None:
    bench = CalibrationBench(3)
    truth = bench.truth

    def still(values: Floats) -> bool:
        return bool(values.std(axis=0).max() < 1.5 * truth.accel.errors.noise)

    with connected(bench, tmp_path) as source:
        watcher = Watcher(source)
        level = truth.accel.errors.correct(watcher.until("accel", 500, still)[None])[0]
        bench.hand.turn((1, 0, 0))
        bench.hand.put(20, "fr")
        turned = watcher.until("accel", 500, lambda v: still(v) and v.mean(axis=0)[0] > 5)
        right = truth.accel.errors.correct(turned[None])[0]
        shown = watcher.until("load", 40, lambda v: bool(np.ptp(v, axis=0).max() < 0.05))
    for force, up in ((level, (0, 0, 1)), (right, (1, 0, 0))):
        assert np.linalg.norm(force) == pytest.approx(bench.gravity_mps2, abs=0.01)
        assert force == pytest.approx(np.array(up) * bench.gravity_mps2, abs=2.5), up
    assert truth.load.errors.correct(shown[None]).sum() == pytest.approx(20, abs=0.05)
    assert watcher.lost == 0, f"{watcher.lost} samples are missing"
    assert len(bench.felt) == 2 and bench.felt[0].begin_s > 0


def test_commands_of_somebody_who_plays_the_installer(tmp_path: Path) -> None:
    bench = CalibrationBench(3, folder=tmp_path)
    for line in ("turn 0 1 0", "turn -z", "put 20 fl", "put 5", "off", "heat 40"):
        assert obey(bench, line) == f"done: {line}"
    assert obey(bench, "  ") == ""
    bench.second(0)
    moves = [str(timed.move) for timed in bench.felt]
    assert moves == [
        "Turn(up=(0.0, 1.0, 0.0))",
        "Turn(up=(-0.0, -0.0, -1.0))",
        "Put(mass_kg=20.0, place='fl')",
        "Put(mass_kg=5.0, place='centre')",
        "Put(mass_kg=0.0, place='centre')",
        "Heat(temperature_degc=40.0)",
    ]
    for line in ("turn", "turn q", "turn --x", "put much", "put 2 middle", "heat 500", "turn 0 0 0"):
        assert obey(bench, line).endswith(HELP), line
    assert obey(bench, "truth") == bench.truth.to_json()


@pytest.mark.board
def test_a_bench_from_the_terminal(tmp_path: Path) -> None:
    link = tmp_path / "box"
    command = [sys.executable, "-m", "firmware_bridge.virtual", "--bench", "--link", str(link), "--seed", "3"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline().strip() == str(link)
            serial.Serial(str(link)).close()
            process.stdin.write("turn +x\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done: turn +x\n"
        finally:
            process.terminate()
    assert process.returncode == 0 and not link.exists()
