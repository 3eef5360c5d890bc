"""A run whose box is unplugged, reset and frozen on the way."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.blocks import Block
from agent.sources.log_file import open_log
from firmware_bridge.virtual import VirtualBox
from tests.live.broker import LastingBroker
from tests.live.processes import Running, command
from tests.live.setting import LaterTrip, write_config
from tests.live.watcher import Message, Watcher

Hole = tuple[int, int, str]  # first and last sample that are missing, and why


@dataclass(frozen=True)
class RoughRide:
    """What it came to."""

    records: dict[int, Message]
    document: dict[str, Any]
    words: str
    log: Path
    config: Path

    def told(self) -> dict[str, list[Hole]]:
        """Return the holes of each stream as its gap records tell them."""
        holes: dict[str, list[Hole]] = defaultdict(list)
        for message in self.records.values():
            if message.kind == "gap":
                body = message.body
                holes[body["stream"]].append((body["first"], body["last"], body["reason"]))
        return dict(holes)

    def recorded(self) -> tuple[dict[str, list[Hole]], Counter[str], dict[str, int]]:
        """Return of the recording: the jumps of the index, the samples, and where the index ends."""
        holes: dict[str, list[Hole]] = defaultdict(list)
        samples: Counter[str] = Counter()
        expected: dict[str, int] = {}
        source = open_log(self.log)
        source.open()
        for item in source.items():
            if isinstance(item, Block):
                due = expected.get(item.stream, 0)
                if item.first > due:
                    holes[item.stream].append((due, item.first - 1, item.missing_reason))
                assert item.first >= due, f"{item.stream} went back from {due} to {item.first}"
                expected[item.stream] = item.end
                samples[item.stream] += len(item)
        return dict(holes), samples, expected


def ride(folder: Path) -> RoughRide:
    """Pull the cable, reset the board, freeze it; each is over when the stream is heard of again."""
    with (
        LastingBroker(folder / "broker") as broker,
        Watcher(broker.port) as watcher,
        VirtualBox(LaterTrip(18), folder / "port", folder / "board") as box,
    ):
        config = write_config(folder, port=box.port, broker_port=broker.port)
        log = folder / "trip.mcap"
        with Running(command("run", "--config", config, "--record", log, "--json")) as agent:
            watcher.until_kind("alarm", type="drop")  # it is well under way
            box.unplug()
            agent.wait_line("went away")
            box.plug()
            watcher.until_kind("gap", stream="accel")
            box.reset()
            watcher.until_kind("gap", 2, stream="accel")
            box.hang()
            agent.wait_line("nothing in 3 s")
            box.wake()
            watcher.until_kind("gap", 3, stream="accel")
            status = agent.end(signal.SIGTERM)
            assert status == 0, agent.err
        document = agent.document
        records = watcher.until_records(document["boot"], sum(document["records"].values()))
    return RoughRide(records, document, agent.err, log, config)
