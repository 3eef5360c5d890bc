"""Orders to the box, from whoever holds a key that it trusts. ``desk.Desk`` hears, judges, does, answers.

``verbs`` is what there is to be told, and how to add to it. ``form`` is how an order looks,
``judge`` whether it is obeyed (and touches nothing but the counters),
``memory`` the counters on the card, ``keys`` the signatures: Ed25519, RFC 8032.
"""

from agent.orders.desk import Desk, Done
from agent.orders.form import Order
from agent.orders.judge import Judge, Refusal
from agent.orders.settings import OrderSettings

__all__ = ["Desk", "Done", "Judge", "Order", "OrderSettings", "Refusal"]
