"""Whether an order is obeyed: each reason against it, in the order in which they are looked at.

Nothing that an order says is believed before its signature is verified. An order that was taken is never
taken again: its counter is on the card before it is done. Its expiry is judged where the box knows the date;
where it does not (1970), an order that changes something is refused, and of the others the counter remains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.errors import OrderError
from agent.orders.form import LONGEST_S, FormError, Order, open_envelope, read_order, signed_bytes
from agent.orders.keys import Verify
from agent.orders.memory import Memory
from agent.orders.settings import OrderSettings
from agent.orders.verbs import VERBS, arguments_of
from agent.timebase import TimeMark, TimeQuality

SKEW_S = 120
"""Two clocks that are both right may differ by so much."""
NS = 1_000_000_000
REASONS = (
    "malformed", "retained", "unknown_key", "signature", "address", "verb", "arguments", "lifetime", "clock",
    "expired", "future", "replayed", "rate", "memory", "failed",
)  # fmt: skip
"""Why an order may not be done; `failed`: it was begun."""


@dataclass(eq=False)
class Refusal(Exception):
    """Why it is not obeyed. `order` and `key` stand where its signature was right: then it is answered."""

    reason: str
    got: str
    key: str = ""
    order: Order | None = None


class Judge:
    """Judges for one box."""

    def __init__(
        self,
        settings: OrderSettings,
        *,
        fleet: str,
        box: str,
        keys: Mapping[str, Verify],
        memory: Memory,
        allowed_now: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._fleet, self._box = fleet, box
        self._keys = keys
        self._memory = memory
        self._allowed_now = allowed_now

    def judge(self, verb: str, payload: bytes, *, retained: bool, now: TimeMark) -> tuple[str, Order]:
        """Return the key's name and the order, which is noted as taken. Raises Refusal."""
        key, text = self._signed(payload, retained)
        try:
            order = read_order(text)
        except FormError as error:
            raise Refusal("malformed", str(error), key) from None
        reason, got = self._against(order, verb, now) or self._against_repetition(key, order, now)
        if not reason and not self._allowed_now():
            reason, got = "rate", f"more than {self._settings.rate_per_min:g} a minute"
        if reason:
            raise Refusal(reason, got, key, order)
        try:
            sure = now.quality is TimeQuality.SYNCED
            self._memory.advance(key, order.counter, order.issued, sure=sure)
        except OrderError as error:
            raise Refusal("memory", error.got, key, order) from error
        return key, order

    def _signed(self, payload: bytes, retained: bool) -> tuple[str, str]:
        if retained:
            raise Refusal("retained", "the broker kept it from an earlier time")
        try:
            envelope, signature = open_envelope(payload)
        except FormError as error:
            raise Refusal("malformed", str(error)) from None
        verify = self._keys.get(envelope.key)
        if verify is None:
            raise Refusal("unknown_key", "a key that [orders] does not name")
        try:
            data = signed_bytes(envelope.order)
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
            raise Refusal("malformed", "its text cannot be written") from None
        if not verify(data, signature):
            raise Refusal("signature", "the signature does not fit")
        return envelope.key, envelope.order

    def _against(self, order: Order, verb: str, now: TimeMark) -> tuple[str, str] | None:
        if (order.fleet, order.box) != (self._fleet, self._box):
            return "address", "it is for another box"
        if order.verb != verb or order.verb not in self._settings.allow:
            return "verb", "a verb that is not allowed, or another one than its topic says"
        try:
            arguments_of(order)
        except ValueError as error:
            return "arguments", str(error)
        if not order.issued <= order.expires <= order.issued + LONGEST_S:
            return "lifetime", f"it is to be good for other than 0 to {LONGEST_S} s"
        now_s = (now.box_ns + now.offset_ns) / NS
        if now.quality is TimeQuality.UNSET:
            if not VERBS[order.verb].harmless:
                return "clock", "the box does not know the date, so not how old the order is"
        elif order.expires + SKEW_S < now_s:
            return "expired", f"{now_s - order.expires:.0f} s too late"
        # a clock that nobody disciplines lags by as long as the box had no power
        elif now.quality is TimeQuality.SYNCED and order.issued > now_s + SKEW_S:
            return "future", f"its sender's clock is {order.issued - now_s:.0f} s ahead"
        return None

    def _against_repetition(self, key: str, order: Order, now: TimeMark) -> tuple[str, str]:
        try:
            last, issued_s = self._memory.counter(key), self._memory.issued_s()
        except OrderError as error:
            return "memory", error.got
        if order.counter <= last:
            return "replayed", f"counter {order.counter}, the last was {last}"
        if now.quality is not TimeQuality.SYNCED and order.expires + SKEW_S < issued_s:
            return "expired", "an order that was made after it had expired has been here"
        return "", ""
