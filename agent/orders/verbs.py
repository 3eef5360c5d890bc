"""The verbs: whether each changes anything, and what arguments it takes.

A new one is:

1. a Struct of its arguments (frozen, unknown fields forbidden, each with its bounds), an entry in `VERBS`;
2. its name in ``settings.Verb``, by which the configuration is checked;
3. what does it, among the doers that ``agent.service.Service`` hands the desk (``agent.order_doers``): it is
   given the `Order`, whose arguments fit the Struct by then (`arguments_of` gives them as one), on the desk's
   thread. It returns a ``Done`` soon, with what is worth an answer; what takes longer it hands to a thread of
   its own, and the answer says so;
4. its line in docs/operators.md, Orders, and its name in the enum of docs/asyncapi.yaml.

Signature, address, age, repetition, rate, log line and answer come with the desk. ``cargobox order`` knows
all verbs; arguments need an option each there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from agent.orders.form import Order
from agent.orders.settings import Verb
from agent.ranges import NAME


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a verb takes that takes none."""


class SnippetArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which stream, and from when to when: RFC 3339 with a zone."""

    stream: Annotated[str, msgspec.Meta(pattern=NAME, max_length=64)]
    start: Annotated[str, msgspec.Meta(max_length=40)] = msgspec.field(name="from")
    end: Annotated[str, msgspec.Meta(max_length=40)] = msgspec.field(name="to")


@dataclass(frozen=True, slots=True)
class VerbForm:
    """`harmless`: it changes nothing, so it is done also where the box does not know the date."""

    harmless: bool
    arguments: type[msgspec.Struct] = NoArguments


VERBS: dict[Verb, VerbForm] = {
    "status": VerbForm(harmless=True),
    "flush": VerbForm(harmless=True),
    "restart": VerbForm(harmless=False),
    # it changes nothing, but spends data, and means nothing where the date is not known
    "snippet": VerbForm(harmless=False, arguments=SnippetArguments),
}


def arguments_of(order: Order) -> msgspec.Struct:
    """Return the arguments of an order whose verb is one of `VERBS`. Raises ValueError."""
    try:
        return msgspec.convert(order.args, VERBS[order.verb].arguments)  # type: ignore[index]  # the judge looked
    except (msgspec.ValidationError, RecursionError):
        raise ValueError(f"{order.verb} does not take these") from None
