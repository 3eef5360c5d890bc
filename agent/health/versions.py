"""What runs here, beside the agent, whose version is in each record's head."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from typing import Any


class Versions:
    """`firmware` tells that of the microcontroller; empty without one."""

    name = "versions"

    def __init__(self, firmware: Callable[[], str]) -> None:
        self._firmware = firmware

    def look(self, _now_s: float) -> Mapping[str, Any]:
        """Return ``python``, ``kernel`` and, where there is a microcontroller, its ``firmware``."""
        told = {"python": platform.python_version(), "kernel": platform.release()}
        return told | ({"firmware": firmware} if (firmware := self._firmware()) else {})
