"""Documents: a Record as it lies in the outbox, and back.

A document is the JSON object ``{"kind", "boot", "seq", "topic", "qos", "payload"}``, payload last, so
that the very bytes that were put in are sliced out again and published: nothing is parsed and written
anew on the way. A payload that is no JSON stands there as ``"packed"``, in base64 (RFC 4648), so that
documents are text; whoever reads them as documents finds its ``"payload"`` all the same.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.errors import PayloadError
from agent.records import Kind, Record, decode, is_compact

_PAYLOAD_KEY = b',"payload":'
_PACKED = "packed"
_PACKED_KEY = b',"packed":"'


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
    payload: msgspec.Raw = msgspec.Raw(b"")
    packed: str = ""


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
    if is_compact(record.payload):
        return b"".join((head[:-1], _PACKED_KEY, binascii.b2a_base64(record.payload, newline=False), b'"}'))
    return b"".join((head[:-1], _PAYLOAD_KEY, record.payload, b"}"))


def decode_waiting(doc_id: int, body: bytes, *, urgent: bool, sliced: bool) -> Waiting:
    """Return the record in a document; `sliced` if `encode_record` made it.

    Raises msgspec.DecodeError if it is no record.
    """
    if sliced:
        # Unescaped quotes stand nowhere but at keys, so the first match is the key.
        at = body.find(_PAYLOAD_KEY)
        if at >= 0:
            payload = body[at + len(_PAYLOAD_KEY) : -1]
        else:
            at = body.index(_PACKED_KEY)
            payload = binascii.a2b_base64(body[at + len(_PACKED_KEY) : -2])
        head = _decode_head(body[:at] + b"}")
        return Waiting(doc_id, head.kind, head.boot, head.seq, head.topic, payload, urgent)
    doc = _decode_document(body)
    payload = bytes(doc.payload) or binascii.a2b_base64(doc.packed)
    if not payload:
        raise ValueError("a document without a payload")
    return Waiting(doc_id, doc.kind, doc.boot, doc.seq, doc.topic, payload, urgent)


def encode_document(document: dict[str, Any]) -> bytes:
    """Return the bytes of any document that TinyDB is given."""
    return _encoder.encode(document)


def decode_document(body: bytes) -> dict[str, Any]:
    """Return a document as TinyDB gives it to a query."""
    return unpacked(_decode_any(body))


def unpacked(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with its payload to be read, where that is packed and can be read."""
    if not isinstance(packed := document.get(_PACKED), str) or "payload" in document:
        return document
    try:
        payload = decode(binascii.a2b_base64(packed))
    except (PayloadError, ValueError):
        return document
    return {**{key: part for key, part in document.items() if key != _PACKED}, "payload": payload}


def is_urgent(document: dict[str, Any]) -> bool:
    """Return whether a document is to travel in the fast lane."""
    return document.get("kind") == Kind.ALARM


def time_of(payload: bytes) -> str | None:
    """Return the time that a payload carries."""
    try:
        if is_compact(payload):
            time = decode(payload).get("t")
            return time if isinstance(time, str) else None
        return _decode_stamp(payload).t
    except (msgspec.DecodeError, PayloadError):
        return None
