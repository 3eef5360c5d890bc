"""What is measured: of this machine where it has it, of a Pi's recorded files otherwise."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agent.health.board import Board, ask_firmware
from agent.health.disk import Disk
from agent.health.process import Process
from agent.health.streams import Streams
from agent.health.versions import Versions
from agent.streams import TABLE
from agent.tally import Tally
from tests.health.recorded import PI_4, lay_out


def test_a_pi_that_is_well(tmp_path: Path) -> None:
    told = Board(lay_out(tmp_path), ask=lambda: pytest.fail("the kernel has told")).look(0.0)
    assert told == {"temperature_degc": 51.1, "undervoltage": False}


def test_a_pi_with_a_weak_supply(tmp_path: Path) -> None:
    lay_out(tmp_path, {**PI_4, "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"})
    assert Board(tmp_path).look(0.0)["undervoltage"] is True


@pytest.mark.parametrize(
    "answer, told",
    [
        ("throttled=0x0\n", {"undervoltage": False, "throttled": False}),
        ("throttled=0x50000\n", {"undervoltage": False, "throttled": False}),  # some time since power-on
        ("throttled=0x50005\n", {"undervoltage": True, "throttled": True}),
        ("throttled=0x1\n", {"undervoltage": True, "throttled": False}),
        ("VCHI initialization failed\n", {}),
        (None, {}),
    ],
)
def test_without_the_driver_the_firmware_is_asked(
    tmp_path: Path, answer: str | None, told: dict[str, bool]
) -> None:
    assert Board(tmp_path, ask=lambda: answer).look(0.0) == told


@pytest.mark.parametrize("spoilt", ["", "warm\n", "\xff"])
def test_a_file_that_makes_no_sense_is_no_figure(tmp_path: Path, spoilt: str) -> None:
    files = {**PI_4, "sys/class/thermal/thermal_zone0/temp": spoilt}
    lay_out(tmp_path, {**files, "sys/class/hwmon/hwmon1/in0_lcrit_alarm": spoilt})
    assert Board(tmp_path, ask=lambda: None).look(0.0) == {}


def test_this_computer() -> None:
    told = Board().look(0.0)
    assert set(told) <= {"temperature_degc", "undervoltage", "throttled"}
    assert -40 < told.get("temperature_degc", 20.0) < 120, told


def test_a_program_that_asks_the_firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_firmware() is None
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x$1\n")
    program.chmod(0o755)
    assert ask_firmware() == "throttled=0xget_throttled\n"


def test_room_on_the_card(tmp_path: Path) -> None:
    told = Disk(tmp_path).look(0.0)
    assert 0 < told["free_bytes"] <= told["size_bytes"], told
    assert Disk(tmp_path / "nowhere").look(0.0) == {}


def test_the_agent_itself() -> None:
    process = Process(0.0)
    until_s = os.times().user + 0.05
    while os.times().user < until_s:
        pass
    told = process.look(0.1)
    assert told["cpu_part"] >= 0.4, told
    assert 1e6 < told["memory_bytes"] < 8e9, told
    assert told["up_s"] == 0 and told["machine_up_s"] > 0, told


def test_the_figures_of_a_process_are_those_of_the_kernel(tmp_path: Path) -> None:
    times = iter([10.0, 13.0, 13.0])
    process = Process(5.0, lay_out(tmp_path), cpu_s=lambda: next(times))
    page = os.sysconf("SC_PAGE_SIZE")
    assert process.look(65.0) == {
        "up_s": 60,
        "cpu_part": 0.05,
        "memory_bytes": 9033 * page,
        "machine_up_s": 5025,
    }
    assert process.look(125.0)["cpu_part"] == 0.0


def test_rates_are_of_the_time_since_the_last_look() -> None:
    tally = Tally()
    streams = Streams(lambda: (TABLE["accel"], TABLE["humidity"]), lambda: tally, 100.0)
    tally.samples["accel"] += 60_000
    tally.missing["accel"] += 12
    first = streams.look(160.0)
    assert first == {
        "accel": {"rate_hz": 1000.0, "nominal_hz": 1000.0, "missing": 12},
        "humidity": {"rate_hz": 0.0, "nominal_hz": 1.0, "missing": 0},
    }
    tally.samples["accel"] += 15_000
    assert streams.look(190.0)["accel"] == {"rate_hz": 500.0, "nominal_hz": 1000.0, "missing": 0}


def test_a_count_that_goes_on_while_it_is_read() -> None:
    tally, over = Tally(), threading.Event()

    def count() -> None:
        n = 0
        while not over.is_set():
            n += 1
            tally.samples[f"s{n % 5000}"] += 1

    thread = threading.Thread(target=count)
    thread.start()
    streams = Streams(lambda: (TABLE["accel"],), lambda: tally, 0.0)
    try:
        for k in range(300):
            streams.look(k + 1.0)
    finally:
        over.set()
        thread.join()


def test_versions() -> None:
    assert set(Versions(lambda: "0.2.0").look(0.0)) == {"python", "kernel", "firmware"}
    assert set(Versions(lambda: "").look(0.0)) == {"python", "kernel"}
