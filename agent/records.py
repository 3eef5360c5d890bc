"""Record: what leaves the box. Its topic, its payload, and the exact bytes that MQTT carries for it.

Payloads are documents, in JSON or in the compact form of ``agent.compact``; ``docs/asyncapi.yaml`` describes
them for machines. The first byte tells the two forms apart: a document in JSON begins with a brace, one
in MessagePack with a map's first byte.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from agent import compact
from agent.errors import PayloadError
from agent.timebase import TimeQuality

PAYLOAD_VERSION = 1
TOPIC_ROOT = "cargobox/1"

Encoding = Literal["json", "msgpack"]
Document = dict[str, Any]

_BRACE = ord("{")
_MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))  # fixmap, map 16, map 32 of the MessagePack specification
_as_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(Document).decode


def encode(document: Mapping[str, Any], encoding: Encoding = "json") -> bytes:
    """Return the payload of a document."""
    return _as_json(document) if encoding == "json" else compact.encode(document)


def decode(payload: bytes) -> Document:
    """Return the document of a payload in either encoding. Raises PayloadError."""
    if is_compact(payload):
        return compact.decode(payload)
    first = payload[0] if payload else None
    got = "nothing" if first is None else f"{len(payload)} bytes that begin with 0x{first:02x}"
    if first == _BRACE:
        try:
            return _from_json(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            got = f"{len(payload)} bytes of JSON that cannot be read: {error}"
    raise PayloadError(
        "reading a payload",
        got=got,
        expected="a document in JSON, which begins with '{', or in MessagePack, which begins with a map",
        remedy="Look at who else publishes there; cargobox boxes use the topics of docs/asyncapi.yaml.",
    )


def is_compact(payload: bytes) -> bool:
    """Return whether it is a payload in MessagePack, by its first byte."""
    return payload[:1] != b"" and payload[0] in _MAPS


def as_json(payload: bytes) -> bytes:
    """Return the payload in JSON, for people and their tools. Raises PayloadError."""
    return _as_json(compact.decode(payload)) if is_compact(payload) else payload


def packed(payload: bytes) -> bytes:
    """Return the payload in MessagePack. Raises PayloadError."""
    return payload if is_compact(payload) else compact.encode(decode(payload))


class Kind(enum.StrEnum):
    """The last level of a record's topic."""

    ALARM = "alarm"
    EVENT = "event"
    FEATURES = "features"
    GAP = "gap"
    SNIPPET = "snippet"
    HEALTH = "health"


class Phase(enum.StrEnum):
    """Where in its life an event is."""

    START = "start"
    UPDATE = "update"
    END = "end"


class Severity(enum.IntEnum):
    """How bad an event is for the cargo."""

    MINOR = 1
    GENERAL = 2
    MAJOR = 3
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class Record:
    """One message to publish: unique by (box, boot, seq), numbered from 0 without a hole.

    ``unsure_ns``: the offset from box time to wall time that its times were made with, where the clock was
    not synchronised; None where it was. ``agent.restamping`` puts them right by it.
    """

    kind: Kind
    boot: str
    seq: int
    topic: str
    payload: bytes
    unsure_ns: int | None = None

    @property
    def urgent(self) -> bool:
        """Whether it travels in the fast lane: on disk at once, ahead of everything."""
        return self.kind is Kind.ALARM

    @property
    def published_bytes(self) -> int:
        """Bytes that MQTT carries for it."""
        return publish_size_bytes(self.topic, self.payload)


def publish_size_bytes(topic: str, payload: bytes) -> int:
    """Return the size of an MQTT 5 PUBLISH at QoS 1 without properties (MQTT 5.0, section 3.3)."""
    # topic length, topic, packet identifier, property length, payload
    remaining = 2 + len(topic.encode()) + 2 + 1 + len(payload)
    length_bytes = 1 if remaining < 128 else 2 if remaining < 16_384 else 3 if remaining < 2_097_152 else 4
    return 1 + length_bytes + remaining


def topic_of(fleet: str, box: str, kind: str) -> str:
    """Return the topic on which `box` of `fleet` publishes records of `kind`."""
    return f"{TOPIC_ROOT}/{fleet}/{box}/{kind}"


@dataclass(frozen=True, slots=True)
class Head:
    """The part that all payloads of a run share, beside what changes from record to record."""

    box: str
    boot: str
    software: str
    encoding: Encoding = "json"

    def payload(
        self,
        *,
        seq: int,
        time: str,
        quality: TimeQuality,
        certificate: str,
        body: Mapping[str, Any],
        trust: str = "",
    ) -> bytes:
        """Encode one payload; keys keep the order of the head, then of `body`. No `trust`: no key for it."""
        return encode(
            {
                "v": PAYLOAD_VERSION,
                "box": self.box,
                "boot": self.boot,
                "seq": seq,
                "t": time,
                "tq": quality.value,
                "cal": certificate,
                **({"trust": trust} if trust else {}),
                "sw": self.software,
                **body,
            },
            self.encoding,
        )
