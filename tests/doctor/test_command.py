"""``cargobox doctor`` as it is typed: exit status, JSON, 80 columns, Ctrl-C, beside the agent."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge.link import Link
from firmware_bridge.virtual import VirtualBox
from tests.bridge.cable import cable
from tests.doctor.odd_trip import OddTrip
from tests.live.processes import PATIENCE_S, Running, cargobox, command, environment
from tests.live.setting import write_config
from tests.uplink.brokers import Mosquitto, free_port
from tests.uplink.conftest import mosquitto

__all__ = ["mosquitto"]  # a fixture

AREAS = ["configuration", "ports", "board", "streams", "clock", "i2c", "broker", "disk", "wall clock"]
KEYS = {"area", "state", "subject", "found", "remedy", "figures"}


def states(done: Running) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in done.document["findings"]:
        assert set(finding) == KEYS and finding["found"] and finding["subject"], finding
        assert finding["remedy"] or finding["state"] != "wrong", f"wrong, and no remedy: {finding}"
        found.setdefault(finding["area"], set()).add(finding["state"])
    return found


def in_a_terminal(*arguments: object, columns: int) -> tuple[int, str]:
    """Run a verb in a terminal of so many columns; return its status and all that it wrote there."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = {k: v for k, v in environment().items() if k not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(command(*arguments), stdin=far, stdout=far, stderr=far, env=variables) as process:
        os.close(far)
        written = b""
        while True:
            try:
                piece = os.read(near, 4096)
            except OSError:  # EIO: everybody has left
                break
            if not piece:
                break
            written += piece
        status = process.wait(PATIENCE_S)
    os.close(near)
    return status, written.decode().replace("\r\n", "\n")


@pytest.mark.broker
@pytest.mark.board
def test_everything_is_well(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = mosquitto()
    with VirtualBox(OddTrip(), tmp_path / "port", tmp_path / "state") as box:
        config = write_config(tmp_path, port=box.port, broker_port=broker.port)
        status, written = in_a_terminal("doctor", "--config", config, columns=80)
    assert status == 0, written
    assert "\x1b[32mok" in written and "listening to the streams: 1 of 3 s" in written
    # what a person sees in the end: a line that is written over is gone
    lasting = [re.sub(r"^.*\x1b\[K", "", line, flags=re.DOTALL) for line in written.rstrip("\n").split("\n")]
    seen = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lasting]
    assert [line for line in seen if line and not line.startswith(" ")][:-1] == AREAS, written
    assert all(len(line) <= 80 or str(tmp_path) in line for line in seen), max(seen, key=len)
    assert seen[-1].startswith("0 wrong"), seen[-1]


def test_everything_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("in the way")
    config = write_config(tmp_path, port=tmp_path / "nowhere", broker_port=free_port())
    done = cargobox("doctor", "--config", config, "--json")
    assert done.end() == 1, done.err
    found = states(done)
    assert {area for area, of in found.items() if "wrong" in of} >= {"ports", "broker", "disk"}, found
    assert found["board"] == {"skipped"}
    document = done.document
    assert document["wrong"] == sum(f["state"] == "wrong" for f in document["findings"])
    assert set(document) == {
        *("software", "firmware", "port", "wrong", "warnings", "ok", "skipped", "findings")
    }
    assert document["port"] == str(tmp_path / "nowhere")


def test_without_a_configuration(tmp_path: Path) -> None:
    done = cargobox("doctor", "--port", tmp_path / "nowhere", "--json")
    assert done.end() == 1, done.err
    found = states(done)
    assert found["configuration"] == found["broker"] == found["disk"] == {"skipped"}


@pytest.mark.parametrize(
    "text, words",
    [("[box\n", "valid TOML"), ("[borker]\n", "did you mean 'broker'?"), (None, "No such file")],
    ids=["toml", "key", "absent"],
)
def test_a_configuration_that_cannot_be_read_is_a_finding(
    text: str | None, words: str, tmp_path: Path
) -> None:
    config = tmp_path / "box.toml"
    if text is not None:
        config.write_text(text)
    done = cargobox("doctor", "--config", config, "--port", tmp_path / "nowhere", "--json")
    assert done.end() == 1, done.err
    first = done.document["findings"][0]
    assert (first["area"], first["state"]) == ("configuration", "wrong") and words in first["found"], first
    assert len(states(done)) >= 7, "the rest was looked at"


def test_a_mistake_on_the_command_line() -> None:
    assert cargobox("doctor", "--confg", "x").end() == 2
    assert cargobox("doctor", "now").end() == 2
    assert cargobox("doctor", "--seconds", "0").end() == 2


@pytest.mark.board
@pytest.mark.broker
def test_beside_the_agent(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = mosquitto()
    with VirtualBox(OddTrip(), tmp_path / "port", tmp_path / "state") as box:
        config = write_config(tmp_path, port=box.port, broker_port=broker.port)
        with Running(command("run", "--config", config, "--json")) as agent:
            agent.wait_line("reading .*; boot")
            done = cargobox("doctor", "--config", config, "--json")
            assert done.end() == 0, done.out
            found = done.document["findings"]
            board = next(f for f in found if f["area"] == "board")
            assert board["state"] == "skipped" and f"(process {agent.process.pid})" in board["found"], board
            assert {f["state"] for f in found if f["area"] == "broker"} == {"ok"}
            assert any(f["figures"].get("in_use_by_pid") == agent.process.pid for f in found)
            assert agent.end(signal.SIGTERM) == 0, agent.err
    assert agent.document["gaps"] == 0 and agent.document["missing_samples"] == 0, agent.document
    assert agent.document["last_error"] is None, "its connection was taken from it"


def test_broken_off_while_it_waits_for_an_answer(tmp_path: Path) -> None:
    asked = threading.Event()

    def answer(_: bytes) -> bytes:
        asked.set()
        return b""

    with (
        cable(tmp_path / "port", answer=answer),
        Running(command("doctor", "--port", tmp_path / "port")) as doctor,
    ):
        assert asked.wait(PATIENCE_S)
        assert doctor.end(signal.SIGINT) == 130, doctor.err
        assert doctor.err.splitlines() == ["stopped"], doctor.err


@pytest.mark.board
def test_broken_off_while_it_listens_the_board_is_stopped(tmp_path: Path) -> None:
    with VirtualBox(OddTrip(), tmp_path / "port", tmp_path / "state") as box:
        heard = threading.Event()
        with cable(tmp_path / "between", box.port) as between:

            def spoil(data: bytes) -> list[bytes]:
                if len(data) > 2000 or heard_much(data):
                    heard.set()
                return [data]

            total = 0

            def heard_much(data: bytes) -> bool:
                nonlocal total
                total += len(data)
                return total > 10_000

            between.spoil = spoil
            with Running(command("doctor", "--port", tmp_path / "between")) as doctor:
                assert heard.wait(PATIENCE_S)
                assert doctor.end(signal.SIGINT) == 130, doctor.err
        link = Link(box.port)
        assert link.open().session == 0, "the board still samples"
        link.close()


def test_help_and_the_list_of_verbs() -> None:
    assert "doctor" in cargobox("--help").out
    assert "--config FILE" in cargobox("doctor", "--help").out
