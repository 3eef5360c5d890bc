"""Whose a log is and what is in it: what every writer is told, and every format of ours notes."""

from __future__ import annotations

import math
import re

import msgspec

from agent.ranges import NAME
from agent.streams import StreamSpec

LAYOUT_VERSION = 1


class LogInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Whose log it is, and its streams. Unknown keys are of a later version, and let pass.

    ``boot`` names the stretch of time that it covers. ``mount_up`` is the direction that points up, in the
    sensor's axes, of length 1.
    """

    layout: int = LAYOUT_VERSION
    box: str | None
    boot: str
    software: str
    streams: tuple[StreamSpec, ...]
    mount_up: tuple[float, float, float] | None = None
    meta: dict[str, str] = {}

    def check(self) -> None:
        """Raise ValueError where it cannot be true: a box becomes a topic, and with a rate one computes."""
        for word, name in (("box", self.box), ("boot", self.boot)):
            if name is not None and not re.match(NAME, name):
                raise ValueError(f"a {word} called {name[:80]!r}")
        for spec in self.streams:
            spec.check()
        if len({spec.name for spec in self.streams}) < len(self.streams):
            raise ValueError("two streams of one name")
        if self.mount_up is not None and not 0 < math.hypot(*self.mount_up) < math.inf:
            raise ValueError(f"up at {self.mount_up}")
