"""docs/asyncapi.yaml tells of both encodings: tables of labels, who says what in which, and what it saves."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from agent import compact
from agent.pipeline import Pipeline
from agent.records import Encoding, Record, decode, is_compact
from agent.reduction import UploadSettings
from firmware_bridge.virtual.streams import MOUNT_UP
from tests.docs.contract import document, fault_of
from tests.docs.every_trip import HEAD, run, trip_blocks, trip_specs
from tests.docs.test_asyncapi import NO_RECORDS
from tests.house.tree import TOP


def trip(encoding: Encoding) -> list[Record]:
    upload = UploadSettings(encoding=encoding)
    return run(
        Pipeline(trip_specs(), head=HEAD, fleet="north", mount_up=MOUNT_UP, upload=upload), trip_blocks()
    )


@pytest.fixture(scope="module")
def trips() -> tuple[list[Record], list[Record]]:
    """The same trip in JSON and in MessagePack."""
    return trip("json"), trip("msgpack")


def test_a_trip_says_the_same_in_both(trips: tuple[list[Record], list[Record]]) -> None:
    plain, packed = trips
    assert not any(is_compact(r.payload) for r in plain) and all(is_compact(r.payload) for r in packed)
    said, again = ([(r.topic, r.seq, decode(r.payload)) for r in records] for records in trips)
    assert said == again
    faults = [fault for r in packed if (fault := fault_of(r.kind.value, decode(r.payload)))]
    assert not faults, faults[:3]


def test_the_page_says_how_much_it_saves(trips: tuple[list[Record], list[Record]]) -> None:
    """docs/operators.md has the ratios of many recordings; a trip's may be some better or worse."""
    sizes: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for plain, packed in zip(*trips, strict=True):
        kind = "features" if plain.kind == "features" else "events"
        measured = (len(packed.payload), len(plain.payload), packed.published_bytes, plain.published_bytes)
        sizes[kind] = [a + b for a, b in zip(sizes[kind], measured, strict=True)]
    text = (TOP / "docs/operators.md").read_text(encoding="utf-8")
    said = re.search(
        r"features ([\d.]+), alarms and events ([\d.]+); with topic and header ([\d.]+) and ([\d.]+)", text
    )
    assert said is not None
    figures = [float(figure) for figure in said.groups()]
    for kind, payload, published in (
        ("features", figures[0], figures[2]),
        ("events", figures[1], figures[3]),
    ):
        a, b, c, d = sizes[kind]
        assert a / b <= 1.1 * payload, f"{kind}: payload {a / b:.3f}, the page says {payload}"
        assert c / d <= 1.1 * published, f"{kind}: published {c / d:.3f}, the page says {published}"


def test_the_tables_of_labels_are_those_of_the_code() -> None:
    rules = document()["x-messagepack"]
    assert tuple(rules["keys"]) == compact.KEYS
    assert tuple(rules["words"]) == compact.WORDS


def test_a_label_never_changes() -> None:
    """What is out there was written with these: a label that moved would be read as another word."""
    assert compact.KEYS.index("v") == 0 and compact.WORDS.index("none") == 0
    assert [compact.KEYS.index(key) for key in ("seq", "type", "values", "columns")] == [3, 9, 16, 25]
    assert [compact.WORDS.index(word) for word in ("start", "tilt", "accel", "cable", "missing")] == [
        7,
        16,
        31,
        36,
        42,
    ]


def test_each_message_says_in_which_encoding_it_comes() -> None:
    messages = document()["components"]["messages"]
    for name, message in messages.items():
        packed = name.endswith("Packed")
        assert message["contentType"] == (
            "application/vnd.msgpack" if packed else document()["defaultContentType"]
        )
        assert message["payload"] == messages[name.removesuffix("Packed")]["payload"], name
    for name, channel in document()["channels"].items():
        assert set(channel["messages"]) == ({name} if name in NO_RECORDS else {name, f"{name}Packed"})
