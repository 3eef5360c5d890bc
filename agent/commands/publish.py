"""Sends a replay's records to the broker, through an outbox of its own, and waits until all arrived."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

import agent
from agent.config import Config
from agent.errors import BrokerError
from agent.outbox import Outbox
from agent.records import Record
from agent.timebase import new_boot_id
from agent.uplink import Uplink

DRAIN_S = 60.0


@contextlib.contextmanager
def publishing(config: Config) -> Iterator[Callable[[Sequence[Record]], None]]:
    """Yield what takes records. Raises BrokerError at the end if any did not arrive."""
    with tempfile.TemporaryDirectory(prefix="cargobox-replay-") as folder:
        outbox = Outbox(Path(folder))
        boot = new_boot_id()
        # the box itself may be connected: neither its connection nor its status may be touched
        broker = msgspec.structs.replace(config.broker, client_id=f"cargobox-replay-{boot}")
        uplink = Uplink(
            broker,
            outbox,
            fleet=config.box.fleet,
            box=config.box.id,
            boot=boot,
            software=agent.__version__,
            announce=False,
        )
        uplink.start()
        try:
            yield outbox.put
        finally:
            uplink.stop(DRAIN_S)
            left, stats = outbox.stats().waiting, uplink.stats()
            outbox.close()
        print(f"  sent       {stats.acknowledged} records to {config.broker.address}", file=sys.stderr)
        if left or stats.refused:
            raise BrokerError(
                f"publishing to {config.broker.address}",
                got=f"{left} records not taken and {stats.refused} refused within {DRAIN_S:.0f} s"
                + (f" ({stats.last_error})" if stats.last_error else ""),
                expected="an acknowledgement of each",
                remedy="Check [broker] in the configuration and the broker's log, then replay again.",
            )
