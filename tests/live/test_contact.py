"""The agent and what it alone may hold: a port that is taken, or absent and there at last; an outbox."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import cast

import pytest

from agent.commands import run as run_verb
from agent.service import Service
from firmware_bridge.errors import PortError
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip
from tests.commands.refusal import read_refusal, refused
from tests.live.broker import LastingBroker
from tests.live.processes import Running, command
from tests.live.setting import write_config
from tests.live.watcher import Watcher
from tests.uplink.brokers import free_port


@pytest.mark.board
def test_a_port_that_another_process_holds(tmp_path: Path) -> None:
    with VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box:
        first = write_config(tmp_path / "first", port=box.port, broker_port=free_port())
        second = write_config(tmp_path / "second", port=box.port, broker_port=free_port())
        with Running(command("run", "--config", first, "--json")) as holder:
            holder.wait_line("reading .*; boot")
            recording = ["record", "--config", second, "--out", tmp_path / "record.mcap"]
            for line in (["run", "--config", second], recording):
                told = refused(*line, status=1)
                assert told.got == "another program uses it"
                assert f"(process {holder.process.pid})" in told.remedy
            assert not (tmp_path / "record.mcap").exists(), "no empty recording"
            assert holder.end(signal.SIGTERM) == 0
        assert holder.document["gaps"] == 0, "the intruder has not disturbed it"


def test_an_outbox_that_another_agent_holds(tmp_path: Path) -> None:
    config = write_config(tmp_path, port=tmp_path / "port", broker_port=free_port())
    with Running(command("run", "--config", config, "--wait")) as holder:
        holder.wait_line("there is no such port")
        told = refused("run", "--config", config, status=1)
        assert f"pid {holder.process.pid}" in told.got
        assert holder.end(signal.SIGINT) == 0


@pytest.mark.board
@pytest.mark.broker
def test_waiting_for_a_box_and_sending_meanwhile(
    tmp_path: Path, broker: LastingBroker, watcher: Watcher
) -> None:
    config = write_config(tmp_path, port=tmp_path / "port", broker_port=broker.port)
    with Running(command("run", "--config", config, "--wait", "--seconds", 2, "--json")) as agent:
        agent.wait_line("there is no such port")
        watcher.until_kind("status", state="online")
        with VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board"):
            agent.wait_line("reading .*; boot")
            assert agent.end() == 0
        assert agent.document["streams"]["accel"]["samples"] >= 1000, "the seconds count from the contact on"
        assert agent.err.count("there is no such port") == 1, f"said once:\n{agent.err}"
    watcher.until_records(agent.document["boot"], sum(agent.document["records"].values()))


def test_stopped_while_it_waits(tmp_path: Path) -> None:
    config = write_config(tmp_path, port=tmp_path / "port", broker_port=free_port())
    with Running(command("run", "--config", config, "--wait", "--json")) as agent:
        agent.wait_line("there is no such port")
        assert agent.end(signal.SIGTERM) == 0
    assert agent.document["streams"] == {}


@pytest.mark.board
def test_waiting_is_for_the_box_and_for_nothing_else(tmp_path: Path) -> None:
    """What is wrong with our own files does not mend itself."""
    (tmp_path / "trip.mcap").write_bytes(b"the only one of a trip")
    with VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box:
        config = write_config(tmp_path, port=box.port, broker_port=free_port())
        line = command("run", "--config", config, "--wait", "--record", tmp_path / "trip.mcap", "--json")
        with Running(line) as agent:
            told = read_refusal(agent, status=2)
    assert told.got == "a file of this name"
    assert (tmp_path / "trip.mcap").read_bytes() == b"the only one of a trip"


def test_the_watchdog_is_fed_through_a_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause between attempts grows to 30 s; a watchdog may be shorter."""
    said: list[str] = []
    naps_s: list[float] = []
    now_s = 0.0

    class Stop:
        def is_set(self) -> bool:
            return now_s > 200

        def wait(self, timeout_s: float) -> bool:
            nonlocal now_s
            naps_s.append(timeout_s)
            now_s += timeout_s
            return self.is_set()

    class Absent:
        def start(self) -> None:
            raise PortError("port", got="nothing", expected="a port", remedy="Plug it in.")

    monkeypatch.setattr(run_verb, "notify", said.append)
    monkeypatch.setattr(run_verb, "watchdog_s", lambda: 5.0)
    monkeypatch.setattr("agent.commands.run.time.monotonic", lambda: now_s)
    # each has what is asked of it
    assert not run_verb._make_contact(cast(Service, Absent()), cast(threading.Event, Stop()), wait=True)
    assert max(naps_s) <= 5.0, max(naps_s)
    assert said.count("WATCHDOG=1") >= len(naps_s)
    attempts = sum(1 for words in said if words.startswith("READY=1"))
    assert 8 <= attempts <= 14, f"{attempts} attempts in 200 s"
