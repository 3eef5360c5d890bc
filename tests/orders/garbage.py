"""What somebody sends who wants a box to do something, and may not: each kind of it, without end."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nacl.signing import SigningKey

from agent.orders import Order
from agent.orders.form import Envelope, key_id, seal
from agent.timebase import TimeQuality, measure_mark
from tests.orders.signing import KEY, OTHER

LARGE_PART = 0.01  # of the messages that are large, are: they are slow to send


@dataclass(frozen=True, slots=True)
class Junk:
    """A message that nothing may come of."""

    kind: str
    verb: str
    payload: bytes
    qos: int
    retain: bool = False


class Garbage:
    """For the box `fleet`/`box` that trusts `KEY`; `captured` was done before and is sent again.

    `now_s` is asked for each: what is signed is fresh, so that only the one thing is wrong with it.
    """

    def __init__(
        self,
        chance: random.Random,
        captured: bytes,
        now_s: Callable[[], int],
        *,
        fleet: str = "fleet",
        box: str = "box",
        qos_1_part: float = 0.5,
    ) -> None:
        self._chance = chance
        self._captured = captured
        self._now_s = now_s
        self._fleet, self._box = fleet, box
        self._qos_1_part = qos_1_part
        self._counter = json.loads(json.loads(captured)["order"])["counter"]
        self._kinds: dict[str, Callable[[], bytes]] = {
            "empty": lambda: b"",
            "bytes": lambda: chance.randbytes(chance.randrange(1, 400)),
            "json": lambda: json.dumps(self._any(4)).encode(),
            "deep": lambda: b"[" * chance.randrange(1000, 4096),
            "deep signed": lambda: self._signed(args={"a": json.loads("[" * 300 + "]" * 300)}),
            "large": lambda: b"{" + b" " * chance.choice((5000, 5000, 100_000)) + b"}",
            "unsigned": lambda: json.dumps({"v": 1, "verb": "restart", "box": box}).encode(),
            "no signature": lambda: self._changed(sig=""),
            "zero signature": lambda: self._changed(sig=base64.b64encode(bytes(64)).decode()),
            "bit": self._with_a_bit_turned,
            "cut": lambda: (good := self._signed())[: chance.randrange(len(good))],
            "text changed": lambda: self._changed(order=self._text(verb="restart")),
            "out of context": self._out_of_context,
            "wrong key": lambda: self._signed(OTHER),
            "name of the right key": lambda: self._changed(
                order=(text := self._text()), sig=_sign(OTHER, b"cargobox/1 order\n" + text.encode())
            ),
            "replayed": lambda: captured,
            "older": lambda: self._signed(counter=max(1, self._counter - chance.randrange(1, 1000))),
            "wrong box": lambda: self._signed(box=f"{box}x"),
            "wrong fleet": lambda: self._signed(fleet=""),
            "expired": lambda: self._signed(issued=now_s() - 4000, expires=now_s() - 1000),
            "from the future": lambda: self._signed(issued=now_s() + 4000, expires=now_s() + 4060),
            "good for ever": lambda: self._signed(expires=now_s() + 10**8),
            "backwards": lambda: self._signed(expires=now_s() - 1),
            "another verb": lambda: self._signed(verb="flush"),
            "unknown verb": lambda: self._signed(verb="output"),
            "arguments": lambda: self._signed(args={"path": "/etc/shadow"}),
            "not of QoS 1": self._signed,
            "retained": lambda: captured,
        }
        if measure_mark().quality is not TimeQuality.SYNCED:  # then the box's clock may be the one that lags
            del self._kinds["from the future"]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What there is."""
        return tuple(self._kinds)

    def __iter__(self) -> Iterator[Junk]:
        """Give one message after the other, without end; each kind once at first."""
        yield from (self._of(kind) for kind in self._kinds)
        while True:
            kind = self._chance.choice(self.kinds)
            if kind != "large" or self._chance.random() < LARGE_PART * len(self._kinds):
                yield self._of(kind)

    def _of(self, kind: str) -> Junk:
        qos = 0 if kind == "not of QoS 1" else int(self._chance.random() < self._qos_1_part)
        verb = self._chance.choice(("flush", "restart")) if kind == "another verb" else "status"
        if kind == "another verb" and verb == "flush":
            verb = "restart"  # never the one that it says
        return Junk(kind, verb, self._kinds[kind](), qos, retain=kind == "retained")

    def _order(self, **more: Any) -> Order:
        now_s = self._now_s()
        said: dict[str, Any] = {
            "fleet": self._fleet, "box": self._box, "verb": "status", "counter": self._counter + 10**6,
            "issued": now_s, "expires": now_s + 60,
        }  # fmt: skip
        return Order(**{**said, **more})

    def _signed(self, key: SigningKey = KEY, **more: Any) -> bytes:
        return seal(self._order(**more), bytes(key.verify_key), lambda data: bytes(key.sign(data).signature))

    def _text(self, **more: Any) -> str:
        return str(json.loads(self._signed(**more))["order"])

    def _changed(self, **more: Any) -> bytes:
        return json.dumps({**json.loads(self._signed()), **more}).encode()

    def _out_of_context(self) -> bytes:
        text = self._text()
        envelope = Envelope(key=key_id(bytes(KEY.verify_key)), order=text, sig=_sign(KEY, text.encode()))
        return json.dumps(
            {"v": 1, "key": envelope.key, "order": envelope.order, "sig": envelope.sig}
        ).encode()

    def _with_a_bit_turned(self) -> bytes:
        """Turn a bit of the text or of its signature: around them a change may mean nothing."""
        envelope = json.loads(self._signed())
        part = self._chance.choice(("order", "sig"))
        old = envelope[part]
        # the last character of base64 before its padding has bits that say nothing
        at = self._chance.randrange(len(old) - (4 if part == "sig" else 0))
        new = chr(ord(old[at]) ^ 1 << self._chance.randrange(5))
        return json.dumps({**envelope, part: f"{old[:at]}{new}{old[at + 1 :]}"}).encode()

    def _any(self, depth: int) -> Any:
        chance = self._chance
        choices: list[Any] = [None, True, chance.randrange(-(2**70), 2**70), chance.random(), "\u0000\ud800x"]
        if depth > 0 and chance.random() < 0.7:
            names = ("v", "key", "order", "sig", "verb", "x")
            return {chance.choice(names): self._any(depth - 1) for _ in range(chance.randrange(5))}
        return chance.choice(choices)


def _sign(key: SigningKey, data: bytes) -> str:
    return base64.b64encode(bytes(key.sign(data).signature)).decode()
