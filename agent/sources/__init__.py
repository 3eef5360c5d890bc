"""Where samples come from: the box on its cable, the I2C bus, a log file. All look alike from here."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from agent.blocks import Block, SensorFault, Silence
from agent.streams import StreamSpec
from agent.timebase import TimeMark

Item = Block | Silence | SensorFault | TimeMark
Vector = tuple[float, float, float]


class Source(Protocol):
    """Opened once, iterated once, closed once."""

    def open(self) -> tuple[StreamSpec, ...]:
        """Make contact and say which streams there are. Raises a FourPartError when it cannot."""
        ...

    def items(self, stop: threading.Event) -> Iterator[Item]:
        """Yield what comes, until the log ends or soon after `stop` is set."""
        ...

    def close(self) -> None:
        """Let go of the port or the file."""
        ...


class LiveSource(Source, Protocol):
    """A source that also knows how the sensor is mounted: which way is up in its axes, if anybody said."""

    mount_up: Vector | None


def counts_of(source: LiveSource) -> Mapping[str, Any]:
    """Return what a source counts of its cable or its buses, for ``health``; nothing where it has neither."""
    counts = getattr(source, "counts", None)
    return {} if counts is None else counts()
