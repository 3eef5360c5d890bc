"""The verbs: whether each changes anything, and what arguments it takes.

A new one, such as ``snippet``, is:

1. a Struct of its arguments (frozen, unknown fields forbidden, each with its bounds), an entry in `VERBS`;
2. its name in ``settings.Verb``, by which the configuration is checked;
3. what does it, among the doers of ``agent.service.Service``: it is given the `Order`, whose arguments fit
   the Struct by then (`arguments_of` gives them as one), on the desk's thread. It returns a ``Done`` soon,
   with what is worth an answer; what takes longer it hands to a thread of its own, and the answer says so;
4. its line in docs/operators.md, Orders, and its name in the enum of docs/asyncapi.yaml.

Signature, address, age, repetition, rate, log line and answer come with the desk. ``cargobox order`` knows
all verbs, and needs an option for arguments with the first verb that takes any.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from agent.orders.form import Order
from agent.orders.settings import Verb


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a verb takes that takes none."""


@dataclass(frozen=True, slots=True)
class VerbForm:
    """`harmless`: it changes nothing, so it is done also where the box does not know the date."""

    harmless: bool
    arguments: type[msgspec.Struct] = NoArguments


VERBS: dict[Verb, VerbForm] = {
    "status": VerbForm(harmless=True),
    "flush": VerbForm(harmless=True),
    "restart": VerbForm(harmless=False),
}


def arguments_of(order: Order) -> msgspec.Struct:
    """Return the arguments of an order whose verb is one of `VERBS`. Raises ValueError."""
    try:
        return msgspec.convert(order.args, VERBS[order.verb].arguments)  # type: ignore[index]  # the judge looked
    except (msgspec.ValidationError, RecursionError):
        raise ValueError(f"{order.verb} does not take these") from None
