"""What the orders do that concern the agent as a whole: status, flush, restart. On the desk's thread."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Protocol

from agent.errors import OrderError
from agent.notify import notified
from agent.orders import Done, Order
from agent.orders.desk import Doers
from agent.outbox import Outbox
from agent.tally import Tally
from agent.uplink import Uplink


class Told(Protocol):
    """What an answer to `status` is made of: the service."""

    outbox: Outbox
    uplink: Uplink

    @property
    def tally(self) -> Tally:
        """What has gone through so far."""

    @property
    def notes(self) -> list[str]:
        """What is not being watched, and why."""


def doers_of(service: Told, orders: Callable[[], dict[str, int]]) -> Doers:
    """Return what does each verb that needs nothing but the running agent."""

    def status(_: Order) -> Done:
        outbox, uplink = service.outbox.stats(), service.uplink.stats()
        answer: dict[str, Any] = {
            **service.tally.as_dict(),
            "waiting": outbox.waiting,
            "acknowledged": uplink.acknowledged,
            "refused": uplink.refused,
            "connections": uplink.connections,
            "last_error": uplink.last_error,
            "notes": service.notes,
            "orders": orders(),
        }
        return Done(answer)

    def flush(_: Order) -> Done:
        service.outbox.flush()
        return Done({"waiting": service.outbox.waiting()})

    return {"status": status, "flush": flush, "restart": _restart}


def _restart(_: Order) -> Done:
    if not notified():
        raise OrderError(
            "restarting",
            got="the agent does not run under systemd: nobody would start it again",
            expected="a unit with Restart=always",
            remedy="Install the unit of docs/examples/cargobox.service.",
        )
    # as `systemctl stop` does, but systemd did not ask for it and starts it again
    return Done({}, then=lambda: os.kill(os.getpid(), signal.SIGTERM))
