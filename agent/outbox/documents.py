"""Documents: a Record as it lies in the outbox, and back.

A document is the JSON object ``{"kind", "boot", "seq", "topic", "qos", "payload"}``, payload last, so
that the very bytes that were put in are sliced out again and published: nothing is parsed and written
anew on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from agent.records import Kind, Record

_PAYLOAD_KEY = b',"payload":'


class _Head(msgspec.Struct):
    kind: str
    boot: str
    seq: int
    topic: str
    qos: int = 1


class _Document(msgspec.Struct):
    """A document that came by TinyDB's own calls: its keys may stand in any order."""

    kind: str
    boot: str
    seq: int
    topic: str
    payload: msgspec.Raw


class _Stamp(msgspec.Struct):
    t: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that the outbox hands out to be published."""

    doc_id: int
    kind: str
    boot: str
    seq: int
    topic: str
    payload: bytes
    urgent: bool


_encoder = msgspec.json.Encoder()
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_document = msgspec.json.Decoder(_Document).decode
_decode_stamp = msgspec.json.Decoder(_Stamp).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


def encode_record(record: Record) -> bytes:
    """Return the document of a record."""
    head = _encoder.encode(_Head(record.kind.value, record.boot, record.seq, record.topic))
    return b"".join((head[:-1], _PAYLOAD_KEY, record.payload, b"}"))


def decode_waiting(doc_id: int, body: bytes, *, urgent: bool, sliced: bool) -> Waiting:
    """Return the record in a document; `sliced` if `encode_record` made it.

    Raises msgspec.DecodeError if it is no record.
    """
    if sliced:
        # Unescaped quotes stand nowhere but at keys, so the first match is the key.
        at = body.index(_PAYLOAD_KEY)
        head = _decode_head(body[:at] + b"}")
        payload = body[at + len(_PAYLOAD_KEY) : -1]
        return Waiting(doc_id, head.kind, head.boot, head.seq, head.topic, payload, urgent)
    doc = _decode_document(body)
    return Waiting(doc_id, doc.kind, doc.boot, doc.seq, doc.topic, bytes(doc.payload), urgent)


def encode_document(document: dict[str, Any]) -> bytes:
    """Return the bytes of any document that TinyDB is given."""
    return _encoder.encode(document)


def decode_document(body: bytes) -> dict[str, Any]:
    """Return a document as TinyDB gives it to a query."""
    return _decode_any(body)


def is_urgent(document: dict[str, Any]) -> bool:
    """Return whether a document is to travel in the fast lane."""
    return document.get("kind") == Kind.ALARM


def time_of(payload: bytes) -> str | None:
    """Return the time that a payload carries."""
    try:
        return _decode_stamp(payload).t
    except msgspec.DecodeError:
        return None
