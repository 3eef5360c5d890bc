"""Tells the log when a certified stream becomes less to be trusted, and what is about to run out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Protocol

from agent.certificates import warnings
from agent.timebase import TimeMark, TimeQuality, measure_mark
from agent.uplink import BrokerConfig, credentials
from calibration.certificate import Certificate
from calibration.thermal_tracking import Trust

log = logging.getLogger("cargobox")

EXPIRY_LOOK_S = 86_400.0


class Trusted(Protocol):
    """What knows how far each stream can be trusted: the pipeline."""

    @property
    def trust(self) -> Mapping[str, tuple[str, str]]:
        """Each certified stream's state, and why."""

    @property
    def trust_changes(self) -> int:
        """How often any state has changed."""


class TrustTelling:
    """Each change of trust at once; what runs out, once a day and when the clock is set.

    On the pipeline's thread, but for `connecting`.
    """

    def __init__(self, broker: BrokerConfig) -> None:
        self._broker = broker
        self._in_use: tuple[Certificate, ...] = ()
        self._trust: dict[str, str] = {}
        self._changes = 0
        self._due_s = 0.0
        self._was_unset = False

    def connecting(self, mark: TimeMark) -> None:
        """Warn of what the broker is shown and will soon not accept."""
        for words in credentials.warnings(self._broker, mark):
            log.warning("%s", words)

    def start(self, in_use: tuple[Certificate, ...]) -> None:
        """Take the certificates that are in use, and warn of those that have run out or soon will."""
        self._in_use = in_use
        self._warn(measure_mark())

    def mark(self, mark: TimeMark) -> None:
        """Take what the clock is worth: nothing could be said of a date before it was set."""
        if self._was_unset and mark.quality is not TimeQuality.UNSET:
            self._due_s = time.monotonic()
        self._was_unset = mark.quality is TimeQuality.UNSET

    def tell(self, streams: Trusted) -> None:
        """Log what changed, and once a day what runs out."""
        if time.monotonic() >= self._due_s:
            mark = measure_mark()
            self._warn(mark)
            self.connecting(mark)
        elif streams.trust_changes == self._changes:
            return
        self._changes = streams.trust_changes
        for name, (state, why) in streams.trust.items():
            if state != self._trust.get(name, Trust.TRUSTED):
                log.warning("%s is %s%s", name, state, f": {why}" if why else " again")
            self._trust[name] = state

    def _warn(self, mark: TimeMark) -> None:
        self._due_s = time.monotonic() + EXPIRY_LOOK_S
        for words in warnings(self._in_use, mark):
            log.warning("%s", words)
