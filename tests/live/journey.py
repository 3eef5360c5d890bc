"""Long runs that many tests look at: the agent over a whole trip, and the demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live.broker import LastingBroker
from tests.live.processes import Running, cargobox, command, virtual_box
from tests.live.setting import write_config
from tests.live.watcher import Message, Watcher

TRIP_S = 26  # tilt, drop, the surge after it, and the door to the warm yard
DEMO_S = 12


@dataclass(frozen=True)
class Journey:
    """What a run of the agent came to: seen by a subscriber, by the agent, and by the recording."""

    messages: list[Message]
    records: dict[int, Message]
    document: dict[str, Any]
    duplicates: int
    log: Path
    config: Path
    retained_before: list[Message]
    """What a newcomer was given while the agent ran, and"""
    retained_after: list[Message]
    """after it had ended."""


def travel(folder: Path) -> Journey:
    """`run --record` of the scripted trip, box and agent in processes of their own, with a real broker."""
    with (
        LastingBroker(folder / "broker") as broker,
        Watcher(broker.port) as watcher,
        virtual_box(folder / "port", seed=1),
    ):
        config = write_config(folder, port=folder / "port", broker_port=broker.port)
        log = folder / "trip.mcap"
        line = command("run", "--config", config, "--record", log, "--seconds", TRIP_S, "--json")
        with Running(line) as agent:
            agent.wait_line("reading .*; boot")
            watcher.until_kind("status", state="online")  # it connects beside, and may take longer
            with Watcher(broker.port, name="newcomer") as newcomer:
                newcomer.until_kind("status")
                before = newcomer.of("status")
            assert agent.end() == 0, agent.err
        document = agent.document
        watcher.until_records(document["boot"], sum(document["records"].values()))
        watcher.until_kind("status", state="offline")
        with Watcher(broker.port, name="latecomer") as latecomer:
            latecomer.until_kind("status")
            after = latecomer.of("status")
        return Journey(
            list(watcher.messages),
            watcher.records(document["boot"]),
            document,
            watcher.duplicates,
            log,
            config,
            before,
            after,
        )


@dataclass(frozen=True)
class Demonstration:
    """What `cargobox demo --seconds 12 --json --record` came to."""

    process: Running
    log: Path


def demonstrate(folder: Path) -> Demonstration:
    """Run the demo to its end."""
    log = folder / "trip.mcap"
    return Demonstration(cargobox("demo", "--seconds", DEMO_S, "--json", "--record", log), log)
