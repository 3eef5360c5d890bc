"""Settings of what the box lets itself be told: the table ``[orders]`` of the agent's configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from agent.ranges import Positive

Verb = Literal["status", "flush", "restart", "snippet"]
"""``verbs.VERBS`` says of each what it takes."""


class OrderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[orders]``: which verbs, signed with which keys. Empty: nothing is subscribed to."""

    allow: tuple[Verb, ...] = ()
    keys: tuple[str, ...] = ()
    """Files of public keys, several while one takes over from another."""
    state_file: str = "/var/lib/cargobox/orders.json"
    """How far each key has counted: what makes an order that was overheard worth nothing."""
    rate_per_min: Positive = 6.0
    burst: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """So many at once, then `rate_per_min`."""
