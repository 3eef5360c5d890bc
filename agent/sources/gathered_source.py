"""A source whose single cells come out as streams of several axes; all else passes as it is.

Around a bus: the drivers of cells that belong together are told to call their streams ``stream.cell``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from agent.sources import Item, LiveSource, Vector, counts_of
from agent.sources.drivers.base import Driver
from agent.sources.gathered import Gathered
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark


def call_cells(drivers: Sequence[Driver]) -> dict[str, tuple[str, ...]]:
    """Rename the streams that several of `drivers` have, an axis each; return stream → its axes.

    The axes are in the order of the table of streams, or else as the drivers are.
    """
    names = [stream.spec.name for driver in drivers for stream in driver.streams]
    shared = {name for name in names if names.count(name) > 1}
    groups: dict[str, list[str]] = {}
    for driver in drivers:
        streams = []
        for stream in driver.streams:
            spec = stream.spec
            if spec.name in shared:
                (axis,) = spec.axes
                groups.setdefault(spec.name, []).append(axis)
                spec = msgspec.structs.replace(spec, name=f"{spec.name}.{axis}")
            streams.append(replace(stream, spec=spec))
        driver.streams = tuple(streams)
    return {name: _in_order(name, axes) for name, axes in groups.items()}


def _in_order(stream: str, axes: Sequence[str]) -> tuple[str, ...]:
    known = TABLE[stream].axes if stream in TABLE else ()
    return tuple(sorted(axes, key=lambda axis: known.index(axis) if axis in known else len(known)))


class GatheredSource:
    """`source` with the parts of each of `groups` (stream → axes) gathered into one stream.

    ``now_ns``: the clock by which the source gives its times; samples are counted from when `items` begins.
    """

    def __init__(
        self,
        source: LiveSource,
        groups: Mapping[str, tuple[str, ...]],
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._source = source
        self._now_ns = now_ns
        self._groups = dict(groups)
        self._specs: dict[str, StreamSpec] = {}

    @property
    def mount_up(self) -> Vector | None:
        """Which way is up, if the source knows."""
        return self._source.mount_up

    @mount_up.setter
    def mount_up(self, up: Vector | None) -> None:
        self._source.mount_up = up

    def open(self) -> tuple[StreamSpec, ...]:
        """Open the source; return its streams, those that are gathered in the place of their first part."""
        self._specs = {}
        parts = {f"{name}.{axis}": name for name, axes in self._groups.items() for axis in axes}
        given = self._source.open()
        sensors = {spec.name: spec.sensor for spec in given}
        for spec in given:
            name = parts.get(spec.name)
            if name is None:
                self._specs[spec.name] = spec
            else:
                axes = self._groups[name]
                words = [sensors.get(f"{name}.{axis}", "") for axis in axes]
                sensor = ", ".join(words) if all(words) else ""
                self._specs[name] = msgspec.structs.replace(spec, name=name, axes=axes, sensor=sensor)
        return tuple(self._specs.values())

    def items(self, stop: threading.Event) -> Iterator[Item]:
        """Yield what comes."""
        begin_ns = self._now_ns()
        gathered = [
            Gathered(name, axes, self._specs[name].rate_hz, start_ns=begin_ns)
            for name, axes in self._groups.items()
        ]
        lanes = {part: one for one in gathered for part in one.parts}
        for item in self._source.items(stop):
            if not isinstance(item, TimeMark) and item.stream in lanes:
                yield from lanes[item.stream].push(item)
            else:
                yield item
        for one in gathered:
            yield from one.finish()

    def counts(self) -> Mapping[str, Any]:
        """Return what the source counts."""
        return counts_of(self._source)

    def close(self) -> None:
        """Let go of it."""
        self._source.close()
