"""The watchdog: systemd is told that the agent lives only while each of its threads does.

What hangs is said before systemd ends it: in the log, and where `systemctl status` shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.beats import Hang
from agent.notify import notify

LOOK_S = 5.0

log = logging.getLogger("cargobox")


class Watchdog:
    """Feeds it, or says why not. `hanging` names the threads that make no progress."""

    def __init__(
        self, hanging: Callable[[], tuple[Hang, ...]], status: str, tell: Callable[[str], object] = notify
    ) -> None:
        self._hanging = hanging
        self._status = status
        self._tell = tell
        self._said: frozenset[str] = frozenset()

    def look(self) -> None:
        """Look at the threads; more often than systemd looks at us."""
        hangs = self._hanging()
        names = frozenset(hang.name for hang in hangs)
        for hang in hangs:
            if hang.name not in self._said:
                log.error("%s; the watchdog is not fed any more", hang)
        if not hangs:
            self._tell("WATCHDOG=1")
        if hangs:
            self._tell(f"STATUS=hangs: {hangs[0]}")
        elif self._said:
            log.warning("the %s goes on", " and the ".join(f"{name} thread" for name in sorted(self._said)))
            self._tell(f"STATUS={self._status}")
        self._said = names
