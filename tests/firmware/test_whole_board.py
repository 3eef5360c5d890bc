"""The program on a real board module, with models of its chips, at the end of a cable: what the host sees."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import pty
import select
import struct
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge import wire
from firmware_bridge.link import Link
from tests.bridge.reading import PATIENCE_S
from tests.firmware.bench import PROGRAMS, lay_out_bench, lay_out_slot

pytest.importorskip("micropython_unix", reason="this machine has no build of MicroPython")

KEY = bytes(range(16))
QUIET_US = 1_500_000
UNLOCK = (0, 65535)
CELLS = {"chip": "hx711", "clock": 25, "data": [26, 27, 32, 33], "capacity_kg": 50}
BUSES = {
    "esp32": {"i2c0": {"sda": 21, "scl": 22}, "spi2": {"sck": 18, "mosi": 23, "miso": 19}},
    "rp2": {"i2c0": {"sda": 4, "scl": 5}, "spi0": {"sck": 18, "mosi": 19, "miso": 16}},
}


def configuration(platform: str) -> dict[str, object]:
    esp32 = platform == "esp32"
    return {
        "output_key": KEY.hex(),
        "buses": BUSES[platform],
        "sensors": [
            {
                "chip": "adxl345",
                "bus": "spi2" if esp32 else "spi0",
                "select": 5 if esp32 else 17,
                "rate_hz": 3200,
            },
            # the bench steps through the PIO's program, and that is slower than a PIO: the scenarios do it
            *([CELLS] if esp32 else []),
            {"chip": "bme280", "bus": "i2c0", "rate_hz": 10},
            {"chip": "sht4x", "bus": "i2c0", "temperature": "t2", "humidity": "h2"},
            {"chip": "analog", "pin": 34 if esp32 else 26, "pa_per_v": 5000, "divider": 1.5},
            {"chip": "switch", "pin": 2},
            {"chip": "switch", "pin": 99, "stream": "door"},
        ],
        "outputs": [{"name": "lock", "kind": "relay", "pin": 15}],
    }


STREAMS = ["accel", "temperature", "humidity", "t2", "h2", "pressure", "lid"]


@pytest.fixture(params=sorted(BUSES))
def platform(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def cable(platform: str, tmp_path: Path) -> Iterator[tuple[Link, int]]:
    """A board that is plugged in: the link to it, and the cable's end for who only listens."""
    slot, bench = tmp_path / "slot", tmp_path / "bench"
    lay_out_slot(platform, slot)
    lay_out_bench(bench)
    (tmp_path / "config.json").write_text(json.dumps(configuration(platform)))
    near, far = pty.openpty()
    tty.setraw(far)
    with (tmp_path / "said").open("wb") as said:
        board = subprocess.Popen(
            [sys.executable, "-m", "micropython_unix", PROGRAMS / "whole_board.py", str(QUIET_US)],
            cwd=tmp_path,
            env={**os.environ, "MICROPYPATH": f"{slot}:{bench}:{PROGRAMS}"},
            stdin=near,
            stdout=near,
            stderr=said,
        )
    link = Link(os.ttyname(far))
    try:
        yield link, far
    finally:
        link.close()
        board.kill()
        board.wait()
        os.close(near)
        os.close(far)
    assert (tmp_path / "said").read_text() == ""


@pytest.mark.board
def test_the_host_sees_streams_faults_and_moves_an_output(
    cable: tuple[Link, int], platform: str, tmp_path: Path
) -> None:
    link, far = cable
    description = link.open()
    assert description.board.startswith(platform) and description.boots == 1 and description.tick_bits == 30
    assert [s.name for s in description.streams if s.name != "load"] == STREAMS
    lock = tmp_path / "lock"
    assert lock.read_text() == "0", "safe at boot"

    counts: dict[str, list[np.ndarray]] = {s.name: [] for s in description.streams}
    give_up = time.monotonic() + PATIENCE_S
    while not counts["temperature"] or sum(map(len, counts["accel"])) < 3200:
        assert time.monotonic() < give_up, {name: sum(map(len, c)) for name, c in counts.items()}
        for samples in link.read(0.05):
            counts[samples.stream.name].append(np.asarray(samples.values))
    faults = link.counters.faults
    assert sorted(faults) == ["config", "h2", "t2"], faults
    assert ".pin: 99, expected one of the pins" in faults["config"]
    accel = np.concatenate(counts["accel"])
    x = accel[:, 0].astype(np.int16)
    if not link.lost_samples["accel"]:  # a busy machine may lose some; never one unnoticed
        assert set(np.diff(x)) <= {1, -65535}, "x counts the samples"
    assert np.array_equal((-x).astype(np.int16), accel[:, 1].astype(np.int16)), "y is -x"
    if platform == "esp32":
        assert {tuple(row) for row in np.concatenate(counts["load"])} == {(0, -1000, -2000, -3000)}
    assert {int(v) for v in np.concatenate(counts["temperature"])[:, 0]} == {2508}, "Bosch's worked example"
    assert not counts["t2"], "a sensor that is not there gives nothing"

    def move(counter: int, key: bytes) -> int:
        output, value = UNLOCK
        signed = struct.pack(wire.OUTPUT_SIGNED, link.session, output, value, counter)
        arguments = struct.pack(wire.OUTPUT_ARGUMENTS, output, value, counter)
        result, _ = link.command(
            wire.DO_OUTPUT, arguments + hmac.digest(key, signed, hashlib.sha256)[: wire.OUTPUT_TAG_BYTES]
        )
        return result

    assert move(1, b"another key") == wire.NOT_AUTHORISED
    assert lock.read_text() == "0", "nobody without the key moves it"
    assert move(1, KEY) == wire.OK
    assert lock.read_text() == "1", "moved"
    give_up = time.monotonic() + PATIENCE_S
    while lock.read_text() != "0":  # the host says nothing from here on
        assert time.monotonic() < give_up, "still not safe, and the host is quiet"
        if select.select([far], [], [], 0.05)[0]:
            os.read(far, 65_536)  # a UART's far end always takes what comes
