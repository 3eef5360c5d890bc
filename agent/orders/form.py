"""The form of an order: text that says what to do, the name of a key, and its signature over that very text.

The signature covers bytes and not a document, so that nobody has to agree on how a document is written.
``docs/asyncapi.yaml`` describes both for machines.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

MOST_BYTES = 4096
"""Of a payload; a verb and its arguments need a tenth of it."""
CONTEXT = b"cargobox/1 order\n"
"""Stands before the text when it is signed: a signature that was given for something else fits no order."""
COUNTER_MAX = (1 << 53) - 1  # what every reader of JSON keeps exactly: RFC 8259, 6
KEY_BYTES = 32
SIGNATURE_BYTES = 64
LONGEST_S = 3600
"""An order may be good for so long, and no longer: none waits in a drawer."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What travels."""

    v: Literal[1] = 1
    key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
    order: str
    sig: Annotated[str, msgspec.Meta(min_length=88, max_length=88)]


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed."""

    v: Literal[1] = 1
    fleet: str
    box: str
    verb: str
    args: dict[str, Any] = {}
    counter: Annotated[int, msgspec.Meta(ge=1, le=COUNTER_MAX)]
    issued: Annotated[int, msgspec.Meta(ge=0, le=COUNTER_MAX)]
    """Unix time, as `expires`."""
    expires: Annotated[int, msgspec.Meta(ge=0, le=COUNTER_MAX)]


_envelopes = msgspec.json.Decoder(Envelope)
_orders = msgspec.json.Decoder(Order)


class FormError(ValueError):
    """It is no order; why not, in few words that quote nothing of it."""


def key_id(public: bytes) -> str:
    """Return the name of a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def signed_bytes(text: str) -> bytes:
    """Return what the signature of an order's text is over."""
    return CONTEXT + text.encode()


def seal(order: Order, public: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the payload of an order."""
    text = msgspec.json.encode(order).decode()
    sig = base64.b64encode(sign(signed_bytes(text))).decode()
    return msgspec.json.encode(Envelope(key=key_id(public), order=text, sig=sig))


def open_envelope(payload: bytes) -> tuple[Envelope, bytes]:
    """Return the envelope and its signature. Raises FormError."""
    if len(payload) > MOST_BYTES:
        raise FormError(f"it has {len(payload)} bytes, at most {MOST_BYTES} are read")
    try:
        envelope = _envelopes.decode(payload)
        signature = base64.b64decode(envelope.sig, validate=True)
    except (msgspec.DecodeError, UnicodeError, RecursionError, binascii.Error):
        raise FormError("it is no signed order") from None
    if len(signature) != SIGNATURE_BYTES:
        raise FormError("its signature has a wrong length")
    return envelope, signature


def read_order(text: str) -> Order:
    """Return the order that a signed text says. Raises FormError."""
    try:
        return _orders.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise FormError("the signed text says no order that this agent knows") from None
