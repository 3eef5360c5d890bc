"""A day's records, as the real pipeline makes them, and as many days of them as one likes.

Making a day takes the pipeline minutes, so some hours are made and then told again and again, each time with
numbers and times of their own: nobody who receives them can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.config import Config
from agent.pipeline import Pipeline
from agent.records import Document, Head, Kind, Record, decode, encode, is_compact
from agent.timebase import TimeMark, TimeQuality, rfc3339, wall_ns_of
from firmware_bridge.virtual.streams import MOUNT_UP
from scripts.benches.day_trip import DayTrip
from scripts.benches.replay import CONFIG, specs_of

BOOT = "0f" * 8
BOX, FLEET = "box-7", "default"
WALL_NS = 1_790_000_000_000_000_000
MARK_S = HEALTH_S = 60
TIMES = ("t", "start", "end")


@dataclass(frozen=True)
class Hours:
    """What the pipeline said in so many seconds of a day on the road."""

    seconds: int
    said: list[tuple[int, list[Record]]]
    """(second, records), in order."""


def made(seconds: int, *, begin_s: int = 0) -> Hours:
    """Drive, and return what the pipeline said."""
    trip = DayTrip()
    config = msgspec.toml.decode(CONFIG, type=Config)
    pipeline = Pipeline(
        config.apply_to(specs_of(trip)),
        head=Head(BOX, BOOT, "proof"),
        fleet=FLEET,
        detectors=config.detect,
        mount_up=MOUNT_UP,
    )
    clocks = {s.name: RegularClock.of_rate(s.rate_hz) for s in trip.streams}
    said: list[tuple[int, list[Record]]] = []
    for second in range(seconds):
        items: list[Any] = []
        if second % MARK_S == 0:
            items.append(TimeMark(second * NS_PER_S, WALL_NS, TimeQuality.SYNCED))
        for name, counts in trip.second(begin_s + second).items():
            values = counts.astype(np.int16) if name != "load" else counts
            items.append(Block(name, second * len(values), clocks[name], values))
        records = pipeline.push(*items)
        if second % HEALTH_S == HEALTH_S - 1:
            records.append(pipeline.health(second * NS_PER_S, {"since_s": HEALTH_S, "troubles": []}))
        if records:
            said.append((second, records))
    said.append((seconds, pipeline.finish()))
    return Hours(seconds, said)


def told(
    hours: Hours, seconds: int, others: Callable[[], int] = lambda: 0
) -> Iterator[tuple[int, list[Record]]]:
    """Yield (second, records) of so long a time, numbered without a hole but for so many `others`."""
    seq = 0
    for begin_s in range(0, seconds, hours.seconds):
        for second, records in hours.said:
            if begin_s + second > seconds:
                return
            again = []
            for record in records:
                again.append(_again(record, seq + others(), begin_s))
                seq += 1
            yield begin_s + second, again


def _again(record: Record, seq: int, later_s: int) -> Record:
    document: Document = decode(record.payload)
    document["seq"] = seq
    for key in TIMES:
        if isinstance(document.get(key), str):
            document[key] = rfc3339(wall_ns_of(document[key]) + later_s * NS_PER_S)
    payload = encode(document, "msgpack" if is_compact(record.payload) else "json")
    return Record(record.kind, record.boot, seq, record.topic, payload)


def gap(seq: int, second: int, body: dict[str, Any]) -> Record:
    """Return the gap record of what an outbox did not keep, as the pipeline makes it."""
    t = rfc3339(WALL_NS + second * NS_PER_S)
    head = {
        "v": 1,
        "box": BOX,
        "boot": BOOT,
        "seq": seq,
        "t": t,
        "tq": "synced",
        "cal": "none",
        "sw": "proof",
    }
    payload = encode({**head, **body})
    return Record(Kind.GAP, BOOT, seq, f"cargobox/1/{FLEET}/{BOX}/gap", payload)
