"""Incidents: which of what the pipeline decided keeps its minutes of raw samples from deletion.

An event that is bad enough keeps the time around its beginning, around each record that tells of it, and
around its end. What lies between of one that lasts for hours is not kept: a warm day must not fill the card.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.blocks import NS_PER_S
from agent.records import Kind, Record, decode
from agent.timebase import wall_ns_of

PLAUSIBLE_NS = 3600 * NS_PER_S
"""A record is decided at most so long before the latest sample; beyond, its clock was set meanwhile."""

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """What is to be kept: spans of box time, and why."""

    id: str
    why: str
    severity: int
    spans: Spans
    t: str


@dataclass(frozen=True, slots=True)
class IncidentWatch:
    """Finds incidents among the records of one boot."""

    boot: str
    least_severity: int
    before_ns: int
    after_ns: int

    def of(self, records: Iterable[Record], now_ns: int, offset_ns: int) -> list[Incident]:
        """Return those in `records`; `now_ns`: box time of the latest sample, `offset_ns` to wall time."""
        return [
            found
            for record in records
            if record.kind in (Kind.ALARM, Kind.EVENT)
            and (found := self._of(record, now_ns, offset_ns)) is not None
        ]

    def _of(self, record: Record, now_ns: int, offset_ns: int) -> Incident | None:
        body = decode(record.payload)
        if body["severity"] < self.least_severity:
            return None
        told_ns = wall_ns_of(body["t"])
        decided_ns = told_ns - offset_ns
        if abs(decided_ns - now_ns) > PLAUSIBLE_NS:
            decided_ns = now_ns
        # by differences: they hold whatever the wall clock was
        times_ns = [decided_ns]
        times_ns += [decided_ns - told_ns + wall_ns_of(body[k]) for k in ("start", "end") if body.get(k)]
        spans = joined((at - self.before_ns, at + self.after_ns) for at in times_ns)
        name = f"{self.boot}-{body['id']}"
        return Incident(
            name, f"{body['type']}, severity {body['severity']}", body["severity"], spans, body["t"]
        )


def joined(spans: Iterable[tuple[int, int]]) -> Spans:
    """Return spans in order, those that touch as one."""
    out: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if out and begin <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((begin, end))
    return tuple(out)
