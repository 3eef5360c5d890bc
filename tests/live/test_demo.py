"""The demo as a newcomer meets it: run to its end, stopped with Ctrl-C, killed; and on the other broker."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from agent.commands.subscriber import Subscriber
from agent.config import BoxSettings, Config, OutboxSettings
from agent.embedded_broker import EmbeddedBroker, available
from agent.service import Service
from agent.sources.serial_box import SerialBox
from agent.uplink import BrokerConfig
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip
from tests.live.journey import DEMO_S, Demonstration
from tests.live.processes import Running, cargobox, children_of, command, ends, program_of

pytestmark = pytest.mark.board

DEMO = ("hardware_process", "main.py", "embedded_broker|mosquitto")


def wait_children(demo: Running) -> set[int]:
    """Return the demo's processes once the board, its world and the broker are all there."""
    pause = threading.Event()
    while True:
        children = children_of(demo.process.pid)
        programs = " ".join(program_of(child) for child in children)
        if all(any(word in programs for word in words.split("|")) for words in DEMO):
            return children
        assert demo.process.poll() is None, demo.err
        pause.wait(0.02)


@pytest.mark.slow
def test_twelve_seconds(demonstration: Demonstration, tmp_path: Path) -> None:
    demo = demonstration.process
    assert demo.end() == 0, demo.err
    assert len(demo.out.splitlines()) == 1, "one JSON document"
    document = demo.document
    assert DEMO_S <= document["duration_s"] < DEMO_S + 0.5
    assert document["holes"] == document["duplicates"] == document["gaps"] == 0
    assert sum(document["records"].values()) == document["delivered"] >= 1
    assert document["upload_ratio"] <= 0.20
    assert document["unexplained"] == []
    assert {one["verdict"] for one in document["trip"]} <= {"rightly silent", "not due yet", "said once"}
    assert not document["stopped_early"]
    replayed = cargobox("replay", demonstration.log, "--out", tmp_path / "out", "--json")
    assert replayed.document["samples"] == document["samples"]


def test_ctrl_c_at_a_terminal_is_for_the_demo_alone() -> None:
    with Running(command("demo", "--seconds", 60), group=True) as demo:
        children = wait_children(demo)
        reached = [program_of(c) for c in children if os.getpgid(c) == demo.process.pid]
        assert demo.end(signal.SIGTERM) == 0, demo.err
    assert not reached, f"would be ended before what the demo still has to say: {reached}"


def test_ctrl_c_at_a_terminal_pressed_by_the_impatient() -> None:
    with Running(command("demo", "--seconds", 60, "--json"), group=True) as demo:
        with ends(wait_children(demo)):
            for _ in range(3):
                demo.send_group(signal.SIGINT)
            assert demo.end() == 0, demo.err
        document = json.loads(demo.out)
    assert document["stopped_early"]
    assert document["holes"] == 0
    assert "Traceback" not in demo.err


def test_stopped_by_a_signal_it_tells_what_it_came_to() -> None:
    with Running(command("demo", "--seconds", 60)) as demo, ends(wait_children(demo)):
        assert demo.end(signal.SIGTERM) == 0, demo.err
    assert "Traceback" not in demo.err
    assert demo.out, "a summary for people"


def test_nothing_outlives_a_demo_that_was_killed() -> None:
    with Running(command("demo", "--seconds", 60)) as demo, ends(wait_children(demo)):
        demo.kill()


@pytest.mark.parametrize("program", ["mosquitto", "amqtt"])
def test_the_agent_on_either_broker(program: str, tmp_path: Path) -> None:
    if program not in available():
        pytest.skip(f"{program} is not installed")
    with (
        EmbeddedBroker(prefer="amqtt" if program == "amqtt" else "mosquitto") as broker,
        VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box,
        Subscriber(broker.host, broker.port, broker.protocol, "fleet", lambda *_: None) as subscriber,
    ):
        enough = threading.Event()
        config = Config(
            box=BoxSettings(id="box", fleet="fleet"),
            outbox=OutboxSettings(directory=str(tmp_path / "outbox")),
            broker=BrokerConfig(host=broker.host, port=broker.port, protocol=broker.protocol),
        )
        service = Service(config, SerialBox(box.port), on_items=lambda _: after_two_seconds())

        def after_two_seconds() -> None:
            if service.tally.duration_s > 2:
                enough.set()

        service.start_uplink()
        try:
            service.start()
            assert enough.wait(60), service.failure
        finally:
            service.stop(10.0)
        total = sum(service.tally.published.values())
        assert total >= 1
        assert subscriber.wait_for(service.boot, total, 60.0), f"{len(subscriber.seqs)} of {total} arrived"
    assert service.failure is None
    assert service.outbox.stats().waiting == 0
    assert not service.alive
