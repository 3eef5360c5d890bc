"""The desk for orders as the configuration wants it; none where no verb is allowed, or no key can be read.

What is wrong with the keys costs the orders and nothing else: the box goes on watching its cargo.
"""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

import agent
from agent.beats import Beat
from agent.config import Config
from agent.errors import OrderError
from agent.orders import Desk, Judge
from agent.orders.bucket import Bucket
from agent.orders.desk import Doers
from agent.orders.keys import Verify, read_public
from agent.orders.memory import Memory

log = logging.getLogger("cargobox")


def open_desk(config: Config, doers: Doers, boot: str, beat: Beat | None = None) -> Desk | None:
    """Return what hears, judges and does orders; None where there is nothing to hear."""
    settings, box = config.orders, config.box
    if not settings.allow:
        return None
    try:
        keys = trusted_keys(config)
    except OrderError as error:
        log.error("no order is taken: %s", error)
        return None
    bucket = Bucket(settings.rate_per_min / 60, settings.burst)
    judge = Judge(
        settings,
        fleet=box.fleet,
        box=box.id,
        keys=keys,
        memory=Memory(Path(settings.state_file)),
        allowed_now=bucket.take_now,
    )
    log.info("orders: %s, from %d keys", ", ".join(settings.allow), len(keys))
    return Desk(
        judge,
        {verb: doers[verb] for verb in settings.allow},
        fleet=box.fleet,
        box=box.id,
        boot=boot,
        beat=beat,
        software=agent.__version__,
    )


def trusted_keys(config: Config) -> dict[str, Verify]:
    """Return the keys of ``[orders]``. Raises OrderError."""
    try:
        return read_public(config.orders.keys)
    except ModuleNotFoundError as error:
        raise OrderError(
            "reading [orders] keys",
            got=f"no Python package {error.name!r}",
            expected="the extra 'orders', which an agent without [orders] does without",
            remedy=f"In the checkout: `sudo {shlex.quote(sys.executable)} -m pip install --require-hashes "
            "-r requirements/orders.txt`.",
        ) from error
