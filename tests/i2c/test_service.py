"""The agent as a service in the virtual Pi: the bus's cable pulled and put back, and what `doctor` says."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from agent.blocks import NS_PER_S, Block
from agent.sources.chip_streams import LAST_HOLD_NS
from agent.sources.log_source import LogOptions
from agent.sources.mcap_log import McapLog
from scripts.virtual_pi.bus_process import BusProcess, tell
from scripts.virtual_pi.chips.adxl345 import Adxl345
from scripts.virtual_pi.service import Service
from tests.i2c.conftest import IN_THE_GUEST
from tests.live.processes import PATIENCE_S
from tests.live.watcher import Watcher

pytestmark = pytest.mark.skipif(not IN_THE_GUEST, reason="runs in the virtual Pi: scripts/virtual_pi/suite")

PULLS = 10
PORT = 1883
PULLED = ("accel", "load", "temperature", "humidity", "air_pressure")
OTHERS = ("other_accel", "other_temperature", "other_humidity")
"""On a second bus, whose cable stays where it is."""
SECOND = Path("/run/virtual-i2c-2")
SENSORS = 3
LAST_HOLD_S = LAST_HOLD_NS / NS_PER_S

# the emulated processor is some thirty times slower than a Pi's: few samples, in long reads.
# A fifth of so few bytes would pay for no features in a minute beside the alarms of a pulled cable.
# Its card is too small for a ring, which would be told as gaps; all is recorded by --record.
CONFIGURATION = """
[box]
id = "virtual-pi"

[upload]
budget = 1.0

[recorder]
enabled = false

[[source.i2c]]
bus = "/dev/i2c-1"
latency_ms = 100
chips = [{ chip = "ADXL345", rate_hz = 50 }, { chip = "NAU7802", rate_hz = 10 }, { chip = "BME280" }]

[[source.i2c]]
bus = "/dev/i2c-2"
latency_ms = 200
chips = [
    { chip = "LIS3DH", rate_hz = 25, stream = "other_accel" },
    { chip = "SHT4x", temperature = "other_temperature", humidity = "other_humidity" },
]
"""
RECORDING = Path("/var/lib/cargobox/log.mcap")
RUN = (
    f"/opt/cargobox/bin/cargobox run --config /etc/cargobox/cargobox.toml --wait --json --record {RECORDING}"
)
RECORDED = f"[Service]\nNice=-5\nExecStart=\nExecStart={RUN}\n"


def told(watcher: Watcher, phase: str) -> bool:
    """Return whether the last that was said of each sensor on the cable is that it is gone, or not any more.

    The NAU7802 keeps one sample: what the emulated processor reads too late is another fault of it.
    """
    last: dict[str, tuple[str, str]] = {}
    for message in watcher.of("event", "alarm"):
        body = message.body
        if body["type"] == "sensor_fault" and set(body["streams"]) <= set(PULLED):
            last[body["values"]["sensor"]] = (body["phase"], body["values"]["fault"])
    if phase == "end":
        return len(last) == SENSORS and all(s == "end" or f != "bus_gone" for s, f in last.values())
    return len(last) == SENSORS and all(s != "end" and f == "bus_gone" for s, f in last.values())


@pytest.mark.slow
def test_the_cable_is_pulled_ten_times() -> None:
    with (
        BusProcess("tests.i2c.wiring:box"),
        BusProcess("tests.i2c.wiring:other", control=SECOND, usb_port=1),
        Service(CONFIGURATION, drop_in=RECORDED) as service,
        Watcher(PORT) as watcher,
    ):
        process = service.state().process
        watcher.until_kind("features")
        for pull in range(1, PULLS + 1):
            tell("detach")
            watcher.until(partial(told, watcher, "start"), f"fault of pull {pull}")
            tell("attach")
            # the more often it fails, the longer it must be sound before that is told
            watcher.until(partial(told, watcher, "end"), f"end of pull {pull}", PATIENCE_S + LAST_HOLD_S)
        state = service.state()
        assert (state.restarts, state.process, state.active) == (0, process, "active"), state
        subprocess.run(["systemctl", "stop", "cargobox.service"], check=True)
        # the last: the service ran for a moment when it was installed
        result = json.loads([x for x in service.journal(200).splitlines() if x.startswith('{"boot"')][-1])
        gaps = [message.body for message in watcher.of("gap")]

    missed, why = Counter[str](), Counter[tuple[str, str]]()
    for gap in gaps:
        missed[gap["stream"]] += gap["last"] - gap["first"] + 1
        why[gap["stream"], gap["reason"]] += gap["last"] - gap["first"] + 1
    print(f"\n{PULLS} pulls, {state.restarts} restarts, missing {dict(why)}")
    assert set(missed) <= set(PULLED), f"another stream has a gap: {missed}"
    # the emulated processor may be late for a chip that keeps one sample, or measures when told to
    reasons = {(gap["stream"], gap["reason"]) for gap in gaps} - {("load", "overflow")}
    reasons -= {(stream, "busy") for stream in ("temperature", "humidity", "air_pressure")}
    assert reasons == {(stream, "bus_gone") for stream in PULLED}, reasons
    assert set(result["streams"]) == {*PULLED, *OTHERS}, result["streams"]
    offsets: set[int] = set()
    for name, (count, last) in recorded(offsets).items():
        missing = last + 1 - count
        print(f"  {name}: {count} samples, {missing} missing, gap records tell of {missed[name]}")
        assert result["streams"][name] == {"samples": count, "missing": missing}, (name, result["streams"])
        assert missed[name] == missing, f"{name}: gap records tell of {missed[name]}, the index of {missing}"
    assert len(offsets) == 1, f"the accelerometer measured on and was not counted exactly: {offsets}"


def recorded(offsets: set[int]) -> dict[str, tuple[int, int]]:
    """Return how many samples of each stream were recorded, and the last index.

    `offsets`: how far the accelerometer's own number of each sample is from its index.
    """
    accel = Adxl345(now_ns=time.monotonic_ns)
    counts: dict[str, tuple[int, int]] = {}
    source = McapLog(RECORDING, LogOptions())
    source.open()
    for item in source.items(threading.Event()):
        if isinstance(item, Block):
            count, _ = counts.get(item.stream, (0, 0))
            counts[item.stream] = (count + len(item), item.end - 1)
            if item.stream == "accel":
                for i, row in enumerate(item.values.tolist()):
                    offsets.add(accel.number_of(row) - item.first - i)
    source.close()
    return counts


CHIPS = """
[[source.i2c]]
bus = "/dev/i2c-1"
chips = [{ chip = "ADXL345" }, { chip = "NAU7802" }, { chip = "BME280" },
    { chip = "ADS1115", inputs = [{ stream = "leak", input = "AIN0", unit = "V" }] }]
"""
BEHIND = '{ chip = "SHT4x", mux = 0x70, channel = 3, temperature = "t2", humidity = "h2" }'


def doctor(text: str, tmp_path: Path) -> tuple[int, str]:
    """Return the status and the words of `cargobox doctor` with this configuration."""
    configuration = tmp_path / "cargobox.toml"
    configuration.write_text(text)
    words = ["cargobox", "doctor", "--config", str(configuration), "--seconds", "1"]
    finished = subprocess.run(words, check=False, capture_output=True, text=True)
    print(finished.stdout)
    return finished.returncode, finished.stdout


def test_doctor_names_each_chip(tmp_path: Path) -> None:
    with BusProcess("tests.i2c.wiring:box"):
        _, words = doctor(CHIPS, tmp_path)
    for address, chip in (("0x53", "ADXL345"), ("0x2A", "NAU7802"), ("0x76", "BME280"), ("0x48", "ADS1115")):
        assert any(address in line and chip in line for line in words.splitlines()), f"{address} {chip}"


def test_doctor_says_what_a_wrong_chip_is(tmp_path: Path) -> None:
    with BusProcess("tests.i2c.wiring:box_with_a_wrong_chip"):
        text = CHIPS.replace('{ chip = "BME280" }', f'{{ chip = "BME280" }}, {BEHIND}')
        status, words = doctor(text, tmp_path)
    together = " ".join(words.split())
    assert status == 1, together
    for word in ("0x53", "ADXL345", "ADXL355", "TCA9548A", "SHT4x"):
        assert word in together, f"{word} is not named"
