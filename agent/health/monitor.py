"""The monitor: asks all that is measured, says what of it is trouble, logs what turns bad or good."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agent.health.board import Board
from agent.health.disk import Disk
from agent.health.link import Link
from agent.health.probe import Probe
from agent.health.process import Process
from agent.health.queue import Queue
from agent.health.recorder import Recorder
from agent.health.streams import Streams
from agent.health.troubles import troubles
from agent.health.versions import Versions
from agent.health.wires import Wires
from agent.outbox import OutboxStats
from agent.restamping import Step
from agent.streams import StreamSpec
from agent.tally import Tally
from agent.timebase import TimeMark, measure_mark
from agent.uplink.sender import UplinkStats

_log = logging.getLogger("cargobox")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whom to ask in this agent."""

    directory: Path
    outbox: Callable[[], OutboxStats]
    uplink: Callable[[], UplinkStats]
    streams: Callable[[], Iterable[StreamSpec]]
    tally: Callable[[], Tally]
    firmware: Callable[[], str]
    clock_steps: Callable[[], list[Step]]
    counts: Callable[[], Mapping[str, Any]] = dict
    """Of cable and buses."""
    recorder: Callable[[], Mapping[str, Any]] = dict
    """Of the ring of raw recordings."""
    credentials: Callable[[TimeMark], tuple[Mapping[str, float], list[str]]] = lambda _: ({}, [])
    """For how many days the certificates are good, and what to say of that."""

    def probes(self, now_s: float, mark: Callable[[], TimeMark]) -> tuple[Probe, ...]:
        """Return all that is measured, in the order in which it is told."""
        return (
            Process(now_s),
            Board(),
            Disk(self.directory),
            Queue(self.outbox, lambda: _wall_ns(mark())),
            Recorder(self.recorder),
            Link(self.uplink, lambda: self.credentials(mark())[0]),
            Streams(self.streams, self.tally, now_s),
            Wires("cable", self.counts),
            Wires("buses", self.counts),
            Versions(self.firmware),
        )


class Monitor:
    """`mark` measures how the clocks stand; tests give probes and marks of their own."""

    def __init__(
        self,
        around: Surroundings,
        now_s: float,
        *,
        probes: Iterable[Probe] | None = None,
        mark: Callable[[], TimeMark] = measure_mark,
    ) -> None:
        self._around = around
        self._mark = mark
        self._probes = tuple(around.probes(now_s, mark) if probes is None else probes)
        self._before: Mapping[str, Any] = {}
        self._open: dict[str, str] = {}
        self._looked_s = now_s

    def look(self, now_s: float) -> tuple[dict[str, Any], bool]:
        """Return the body of a health record, and whether something turned bad or good since the last."""
        body: dict[str, Any] = {"since_s": round(now_s - self._looked_s, 1)}
        for probe in self._probes:
            if told := dict(probe.look(now_s)):
                body[probe.name] = told
        if withheld := self._around.tally().withheld_snippets:
            body["withheld_snippets"] = withheld
        if steps := self._around.clock_steps():
            body["clock_steps"] = msgspec.to_builtins(steps)
        mark = self._mark()
        judged = {**body, "tq": mark.quality.value, "credentials": self._around.credentials(mark)[1]}
        found = dict(troubles(judged, self._before))
        body["troubles"] = list(found.values())
        turned = self._tell(found) or steps != self._before.get("steps", [])
        self._before = {**body, "steps": steps}
        self._looked_s = now_s
        return body, turned

    def _tell(self, found: dict[str, str]) -> bool:
        for key, words in found.items():
            if key not in self._open:
                _log.warning("health: %s", words)
        for key, words in self._open.items():
            if key not in found:
                _log.info("health: no longer: %s", words)
        turned = found.keys() != self._open.keys()
        self._open = found
        return turned


def _wall_ns(mark: TimeMark) -> int:
    return mark.box_ns + mark.offset_ns
