"""How a run ends, and what systemd hears of it."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from agent.notify import watchdog_s
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip
from tests.live.broker import LastingBroker
from tests.live.processes import PATIENCE_S, Running, cargobox, children_of, command
from tests.live.setting import write_config
from tests.live.watcher import Watcher

pytestmark = [pytest.mark.broker, pytest.mark.board]


class Manager:
    """The receiving end of NOTIFY_SOCKET, as a service manager has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE_S)

    def until(self, line: str, times: int = 1) -> None:
        """Listen until `line` has come (for the n-th time)."""
        while self.heard.count(line) < times:
            self.heard += self._socket.recv(4096).decode().splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_ends_it_in_order(
    number: signal.Signals, tmp_path: Path, broker: LastingBroker, watcher: Watcher
) -> None:
    manager = Manager(tmp_path / "notify")
    with VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box:
        config = write_config(tmp_path, port=box.port, broker_port=broker.port)
        log = tmp_path / "trip.mcap"
        line = command("run", "--config", config, "--record", log, "--json")
        with Running(line, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="1000000") as agent:
            manager.until("READY=1")
            manager.until("WATCHDOG=1", times=2)
            assert not children_of(agent.process.pid), "one process is enough"
            agent.send(number)
            manager.until("STOPPING=1")
            assert agent.end() == 0, agent.err
    manager.close()
    assert manager.heard.count("READY=1") == 1
    assert manager.heard.index("READY=1") < manager.heard.index("WATCHDOG=1")
    assert manager.heard[-1] == "STOPPING=1"
    document = agent.document
    assert document["waiting"] == 0
    watcher.until_records(document["boot"], sum(document["records"].values()))
    watcher.until_kind("status", state="offline", reason="stopped")
    last = watcher.messages[-1]
    assert last.kind == "status", f"offline is the last word, and not {last.topic}"
    replayed = cargobox("replay", log, "--config", config, "--out", tmp_path / "out", "--json")
    assert replayed.end() == 0, replayed.err
    assert replayed.document["samples"] == document["samples"]
    assert not [note for note in replayed.document["notes"] if "ended properly" in note], "a whole recording"


def test_without_a_manager_and_with_one_that_left(tmp_path: Path, broker: LastingBroker) -> None:
    with VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box:
        config = write_config(tmp_path, port=box.port, broker_port=broker.port)
        line = command("run", "--config", config, "--seconds", 1)
        with Running(line, NOTIFY_SOCKET=str(tmp_path / "nobody"), WATCHDOG_USEC="100000") as agent:
            assert agent.end() == 0, agent.err
    assert agent.out == "", "words go to stderr"
    assert "Traceback" not in agent.err


def test_a_broker_that_hangs_does_not_hold_the_end_up(
    tmp_path: Path, broker: LastingBroker, watcher: Watcher
) -> None:
    with VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box:
        more = '[upload]\nencoding = "msgpack"'  # in which two seconds earn a record
        config = write_config(tmp_path, port=box.port, broker_port=broker.port, more=more)
        with Running(command("run", "--config", config, "--seconds", 2, "--json")) as agent:
            watcher.until_kind("status", state="online")
            broker.freeze()
            assert agent.end() == 0, agent.err
    document = agent.document
    total = sum(document["records"].values())
    assert document["waiting"] == total >= 1, "what was not acknowledged is still on the card"


def test_the_watchdog_is_fed_twice_as_often_as_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_s() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_s() is None, "it is meant for another process"
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_s() is None
