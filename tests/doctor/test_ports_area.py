"""The ports as doctor tells of them: which is looked at, which name stays, who may open it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.doctor import Patient, State, ports
from agent.doctor.ports import chosen_port
from agent.errors import ConfigError
from tests.bridge.cable import cable
from tests.bridge.test_ports import CP2102, PICO, Sockets, sockets, usb_device
from tests.doctor.looking import about, only
from tests.doctor.test_port_users import holder

__all__ = ["sockets"]  # a fixture


@pytest.fixture
def not_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Root may open everything; pretend that this user may not."""
    monkeypatch.setattr(ports, "may_open", lambda _: False)
    yield


@pytest.mark.usefixtures("sockets")
def test_nothing_is_plugged_in() -> None:
    found = only(ports.check(Patient()))
    assert found.state is State.WRONG and found.found == "none on any serial port"
    assert "data lines" in found.remedy and "on I2C none is needed" in found.remedy
    error = ConfigError("reading it", got="a mistake", expected="none", remedy="Mend it.")
    assert only(ports.check(Patient(config_error=error))).state is State.SKIPPED


def test_the_only_board_is_taken_by_the_name_that_stays(sockets: Sockets) -> None:
    sockets.plug("ttyACM0", PICO, serial="e661")
    chosen = chosen_port(Patient())
    assert chosen is not None and "/by-id/" in chosen
    found = only(ports.check(Patient()))
    assert found.state is State.OK and found.subject == chosen
    assert found.found == "RP2040/Pico with MicroPython, serial number e661"
    assert found.figures["usb_id"] == "2E8A:0005"


def test_a_board_of_its_own_usb_goes_before_a_bridge(sockets: Sockets) -> None:
    sockets.plug("ttyUSB0", CP2102, serial="0001")
    sockets.plug("ttyACM0", PICO, serial="e661", socket="1-2")
    chosen = chosen_port(Patient())
    assert chosen is not None and "2e8a" in chosen


def test_two_boards_and_nobody_said_which(sockets: Sockets) -> None:
    first = sockets.plug("ttyACM0", PICO, serial="e661")
    sockets.plug("ttyACM1", PICO, serial="e662", socket="1-2")
    found = list(ports.check(Patient()))
    question = about(found, "boards")
    assert question.state is State.WARNING and "--port PORT" in question.remedy
    assert len(found) == 3
    assert about(ports.check(Patient(port=first)), first).state is State.WARNING


def test_a_name_that_may_change(sockets: Sockets) -> None:
    device = sockets.plug("ttyACM0", PICO, serial="e661")
    found = only(ports.check(Patient(port=device)))
    assert found.state is State.WARNING and "/by-id/" in found.remedy


def test_a_port_that_is_not_there_and_one_that_is(sockets: Sockets, tmp_path: Path) -> None:
    missing = str(tmp_path / "ttyACM7")
    assert "Plug the board in" in only(ports.check(Patient(port=missing))).remedy
    sockets.plug("ttyACM0", PICO, serial="e661")
    found = about(ports.check(Patient(port=missing)), missing)
    assert found.state is State.WRONG and found.found == "there is no such port"
    assert 'port = "' in found.remedy and "2e8a_0005_e661" in found.remedy


@pytest.mark.usefixtures("not_root")
def test_permission(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    device = sockets.plug("ttyACM0", PICO, serial="e661")
    monkeypatch.setenv("LOGNAME", "pi")
    found = only(ports.check(Patient(port=device)))
    assert found.state is State.WRONG and found.found.endswith("permission denied")
    assert found.remedy == "`sudo usermod -aG dialout pi`, then log in again."


@pytest.mark.usefixtures("not_root")
def test_a_group_that_counts_from_the_next_login_on(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = sockets.plug("ttyACM0", PICO, serial="e661")
    monkeypatch.setenv("LOGNAME", "pi")
    monkeypatch.setattr(
        "grp.getgrgid", lambda _: type("Group", (), {"gr_name": "dialout", "gr_mem": ["pi"]})()
    )
    remedy = only(ports.check(Patient(port=device))).remedy
    assert remedy == "pi is in the group dialout, but not yet in this login: log out and in again."


def test_a_board_that_waits_in_bootsel_mode(sockets: Sockets, tmp_path: Path) -> None:
    usb_device(tmp_path / "usb", "1-1.3", "2e8a", "0003", drive="sda")
    waiting = about(ports.check(Patient()), "USB 1-1.3")
    assert waiting.state is State.WARNING and "cargobox flash" in waiting.remedy
    assert waiting.figures["drive"] == "/dev/sda"


@pytest.mark.usefixtures("sockets")
def test_a_port_in_use_is_told_with_its_user(tmp_path: Path) -> None:
    with cable(tmp_path / "port"), holder(tmp_path / "port") as user:
        found = only(ports.check(Patient(port=str(tmp_path / "port"))))
    assert found.state is State.WARNING and f"(process {user.pid})" in found.found
    assert found.figures["used_by_pids"] == [user.pid]


def test_ports_that_are_no_boards_are_listed(sockets: Sockets) -> None:
    modem = sockets.plug("ttyUSB0", (0x2C7C, 0x0125), serial="modem")
    sockets.plug("ttyS0")
    found = list(ports.check(Patient()))
    assert about(found, modem).found == "cellular modem (Quectel), serial number modem"
    assert not any(f.subject.endswith("ttyS0") for f in found), "every computer has one, and it is no news"
    assert os.path.exists(modem)
