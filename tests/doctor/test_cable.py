"""The board behind its port, with the real firmware: well, odd, silent, somebody else, in use."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from agent.doctor import Area, Finding, Patient, State, cable
from firmware_bridge import wire
from firmware_bridge.firmware_files import shipped_version
from firmware_bridge.link import Link
from firmware_bridge.virtual import VirtualBox
from tests.bridge.cable import cable as pty_cable
from tests.doctor.looking import about, only, states
from tests.doctor.odd_trip import OddTrip
from tests.doctor.test_port_users import holder

WELL = OddTrip()


@contextmanager
def box(folder: Path, trip: OddTrip = WELL) -> Iterator[VirtualBox]:
    with VirtualBox(trip, folder / "box", folder / "state") as it:
        yield it


def look(port: Path | str) -> list[Finding]:
    return list(cable.check(Patient(port=str(port))))


def test_a_box_that_is_well(tmp_path: Path) -> None:
    with box(tmp_path) as it:
        found = look(it.port)
    # how fast a busy machine answers is the clock's finding, and none of the board's
    # and what nobody has set limits for is not watched, of which test_watching.py knows
    found = [f for f in found if f.figures.get("watched", True)]
    unwell = [f for f in found if f.state is not State.OK and f.area is not Area.CLOCK]
    assert not unwell and State.WRONG not in states(found, Area.CLOCK)
    assert [f.area for f in found] == [Area.BOARD] * 2 + [Area.STREAMS] * 6 + [Area.CLOCK]
    accel = about(found, "accel")
    assert accel.figures["measured_hz"] == pytest.approx(1000, rel=0.02)
    assert accel.figures["samples"] > 2000
    assert accel.figures["mean"] == pytest.approx([0, 0.1, 9.8], abs=0.1)
    assert "nominal 1000 Hz; x " in accel.found and accel.found.endswith(" m/s²")
    assert about(found, "temperature").figures["measured_hz"] in (None, pytest.approx(1, rel=0.1))
    clock = about(found, "times").figures
    assert clock["doubt_us"] > 0 and clock["round_trip_ms"] > 0, clock
    assert about(found, "firmware").figures["shipped"] == shipped_version()
    assert about(found, "board on").figures["boots"] == 1


def test_the_box_can_be_used_afterwards(tmp_path: Path) -> None:
    with box(tmp_path) as it:
        assert State.WRONG not in states(look(it.port))
        link = Link(it.port)
        assert link.open().session == 0, "it was not told to stop"
        link.close()


def test_sensors_that_are_wrong(tmp_path: Path) -> None:
    trip = OddTrip(stuck=("accel", "temperature"), railed=(("load", 2),), levels=(("humidity", 130.0),))
    with box(tmp_path, trip) as it:
        found = look(it.port)
    stuck = about(found, "accel")
    assert stuck.state is State.WRONG and "stuck" in stuck.found and "the same value" in stuck.found
    assert about(found, "temperature").state is State.OK, "air that stays as it is, is no fault"
    load = about(found, "load")
    assert load.state is State.WRONG and load.found.endswith("at the end of the range all the time in rl")
    assert "A+" in load.remedy and set(load.figures["saturated"]) == {"rl"}
    humidity = about(found, "humidity")
    assert humidity.state is State.WARNING and "no box has that" in humidity.found
    assert about(found, "pressure").state is State.OK


def test_a_board_that_restarted_by_itself(tmp_path: Path) -> None:
    with box(tmp_path) as it:
        it.reset("watchdog")
        board = about(look(it.port), "board on")
    assert board.state is State.WARNING and "last reset: watchdog, 2 starts" in board.found


@pytest.mark.parametrize("shipped, words", [("9.0.0", "older than"), ("0.0.1", "newer than")])
def test_another_firmware(shipped: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cable, "shipped_version", lambda: shipped)
    with box(tmp_path) as it:
        firmware = about(look(it.port), "firmware")
    assert firmware.state is State.WARNING and f"{words} the {shipped} of this agent" in firmware.found
    assert f"`cargobox flash --port {tmp_path / 'box'}" in firmware.remedy


def test_a_bad_cable(tmp_path: Path) -> None:
    chance = random.Random(20_260_101)

    def spoil(data: bytes) -> list[bytes]:
        if len(data) < 20 or chance.random() > 0.05:
            return [data]
        at = chance.randrange(len(data))
        return [data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]]

    with box(tmp_path) as it, pty_cable(tmp_path / "host", it.port) as between:
        between.spoil = spoil
        found = look(tmp_path / "host")
    damaged = about(found, "cable")
    assert damaged.state is State.WARNING and damaged.figures["damaged_frames"] > 0, damaged
    assert "cable" in damaged.remedy


# --- no box ---


def test_what_a_board_says_while_it_boots_is_no_damage(tmp_path: Path) -> None:
    boot_text = [b"ets Jul 29 2019 12:21:46\r\n\0rst:0x1 (POWERON_RESET)\r\n\0"]
    with box(tmp_path) as it, pty_cable(tmp_path / "host", it.port) as between:
        between.spoil = lambda data: [boot_text.pop(), data] if boot_text else [data]
        found = about(look(tmp_path / "host"), "cable")
    assert not boot_text and found.figures["damaged_frames"] == 0, found


def test_nobody_answers(tmp_path: Path) -> None:
    with pty_cable(tmp_path / "port"):
        silent = only(look(tmp_path / "port"))
    assert silent.state is State.WRONG and silent.found == "nothing in 2 s, expected an answer"


def test_a_prompt(tmp_path: Path) -> None:
    with pty_cable(tmp_path / "port", answer=lambda sent: b"\r\n>>> " + sent):
        prompt = only(look(tmp_path / "port"))
    assert prompt.state is State.WRONG and prompt.found.startswith("a MicroPython prompt")
    assert "cargobox flash" in prompt.remedy


def test_another_device(tmp_path: Path) -> None:
    with pty_cable(tmp_path / "port", answer=lambda _: b"$GPGGA,123519,4807.038,N*47\r\n"):
        other = only(look(tmp_path / "port"))
    assert other.state is State.WRONG and "$GPGGA" in other.found


def test_another_protocol(tmp_path: Path) -> None:
    describe = wire.seal(bytes([wire.DESCRIBE, wire.PROTOCOL_VERSION + 1]) + b'{"firmware": "9"}')
    with pty_cable(tmp_path / "port", answer=lambda _: describe):
        other = only(look(tmp_path / "port"))
    assert other.state is State.WRONG
    assert f"it speaks protocol {wire.PROTOCOL_VERSION + 1}" in other.found


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    assert only(look(tmp_path / "port")).state is State.SKIPPED


def test_a_port_in_use_is_left_alone(tmp_path: Path) -> None:
    with pty_cable(tmp_path / "port") as far, holder(tmp_path / "port") as user:
        used = only(look(tmp_path / "port"))
        assert used.state is State.WRONG and f"(process {user.pid})" in used.found
        assert bytes(far.from_host) == b"", "it was written to"


def test_the_agent_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.port_users._command", lambda _: "python3 cargobox run --config x")
    with pty_cable(tmp_path / "port"), holder(tmp_path / "port") as agent:
        used = only(look(tmp_path / "port"))
        assert used.state is State.SKIPPED and "is not disturbed" in used.found
        assert used.figures == {"used_by_pids": [agent.pid]}
    assert "systemctl stop cargobox" in used.remedy


def test_somebody_who_takes_new_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.port_users._command", lambda _: "ModemManager")
    with pty_cable(tmp_path / "port"), holder(tmp_path / "port"):
        assert "disable --now ModemManager" in only(look(tmp_path / "port")).remedy


def test_a_port_taken_in_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cable, "users_of", lambda _: ())
    with pty_cable(tmp_path / "port"), serial.Serial(str(tmp_path / "port"), exclusive=True):
        taken = only(look(tmp_path / "port"))
    assert taken.state is State.WRONG and "another program uses it" in taken.found


def test_listening_long_enough_tells_the_drift(tmp_path: Path) -> None:
    setup = VirtualBox(WELL, tmp_path / "box", tmp_path / "state", drift_ppm=-400)
    with setup as it:
        clock = about(cable.check(Patient(port=it.port, listen_s=9.0)), "times")
    assert clock.figures["drift_ppm"] == pytest.approx(400, abs=150), clock
    assert clock.state is State.WARNING and "ppm slow" in clock.found
