"""What is measured: of this machine where it has it, of a Pi's recorded files otherwise."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from agent.health.board import Board, ask_firmware
from agent.health.disk import Disk
from agent.health.link import Link
from agent.health.process import Process
from agent.health.streams import Streams
from agent.health.versions import Versions
from agent.health.wires import Wires
from agent.sources import LiveSource, counts_of
from agent.sources.gathered_source import GatheredSource
from agent.sources.i2c_bus import I2cBus
from agent.sources.serial_box import SerialBox
from agent.sources.several import SeveralSources
from agent.streams import TABLE
from agent.tally import Tally
from agent.uplink.sender import UplinkStats
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


class Counted:
    """A source that counts, and one that does not."""

    def counts(self) -> dict[str, Any]:
        return {"cable": {"frames": 7, "lost": 1}, "buses": {"i2c-1": {"transfers": 3}}}


def test_the_cable_and_the_buses_tell_what_they_count() -> None:
    source = cast(LiveSource, Counted())
    assert Wires("cable", lambda: counts_of(source)).look(0.0) == {"frames": 7, "lost": 1}
    assert Wires("buses", lambda: counts_of(source)).look(0.0) == {"i2c-1": {"transfers": 3}}
    assert Wires("buses", lambda: counts_of(cast(LiveSource, object()))).look(0.0) == {}, "left out, not 0"


def test_a_source_of_several_tells_of_all() -> None:
    several = SeveralSources([])
    several._opened = [cast(LiveSource, Counted()), cast(LiveSource, Counted())]
    assert set(counts_of(cast(LiveSource, several))) == {"cable", "buses"}
    assert counts_of(SerialBox("/dev/nowhere"))["cable"]["lost"] == 0
    bus = I2cBus("/dev/i2c-7", [])
    assert counts_of(GatheredSource(bus, {}))["buses"]["i2c-7"]["refused"] == 0


def test_a_connection_tells_why_there_is_none_and_how_long_it_may_last() -> None:
    off = UplinkStats(
        state="waiting", published=9, acknowledged=5, refused=1, published_bytes=9, inflight=1, connections=2,
        reconnects=1, last_error="its certificate is refused",
    )  # fmt: skip
    told = Link(lambda: off, lambda: {"cert_file": 6.9, "ca_file": 200.0}).look(0.0)
    assert (told["maybe_twice"], told["last_error"], told["certificate_days"]) == (2, off.last_error, 6), told
    told = Link(lambda: msgspec.structs.replace(off, state="connected")).look(0.0)
    assert "last_error" not in told and "certificate_days" not in told, "it is over"
