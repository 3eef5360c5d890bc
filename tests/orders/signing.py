"""A key, a clock and a judge for the tests; and orders signed with that key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from agent.orders import Judge, Order, OrderSettings
from agent.orders.form import key_id, seal
from agent.orders.keys import _verifier
from agent.orders.memory import Memory
from agent.timebase import TimeMark, TimeQuality

KEY = SigningKey(bytes(range(32)))
PUBLIC = bytes(KEY.verify_key)
KEY_ID = key_id(PUBLIC)
OTHER = SigningKey(bytes(range(1, 33)))
NOW_S = 1_800_000_000
ALL = ("status", "flush", "restart")


def mark(now_s: float = NOW_S, quality: TimeQuality = TimeQuality.SYNCED) -> TimeMark:
    return TimeMark(0, int(now_s * 1e9), quality)


def order(counter: int = 1, **more: Any) -> Order:
    said: dict[str, Any] = {"fleet": "fleet", "box": "box", "verb": "status"}
    return Order(**{**said, "counter": counter, "issued": NOW_S, "expires": NOW_S + 60, **more})


def signed(counter: int = 1, *, key: SigningKey = KEY, **more: Any) -> bytes:
    return seal(order(counter, **more), bytes(key.verify_key), lambda data: bytes(key.sign(data).signature))


def judge(folder: Path, *, allow: tuple[Any, ...] = ALL, rate: bool = True) -> Judge:
    return Judge(
        OrderSettings(allow=allow, keys=("k",)),
        fleet="fleet",
        box="box",
        keys={KEY_ID: _verifier(PUBLIC)},
        memory=Memory(folder / "orders.json"),
        allowed_now=lambda: rate,
    )
