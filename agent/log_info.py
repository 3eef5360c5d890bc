"""Whose a log is and what is in it: what every writer is told, and every format of ours notes."""

from __future__ import annotations

import msgspec

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
