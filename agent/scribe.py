"""The scribe: writes what happened as records, numbered in one sequence, with what each stands on.

An event is an alarm when it becomes one, and when it grows; "auto" writes in MessagePack what the budget
does not bear in JSON; and each record says which certificate its figures stand on, and how far that can be
trusted. Pure: the time is that of the data, and what the wall clock said comes in marks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from agent.correction import NO_CERTIFICATE, Correction
from agent.detection.finding import EventType, Finding
from agent.features.table import Table
from agent.features.windows import WINDOW_NS
from agent.gaps import Gap
from agent.records import Head, Kind, Phase, Record, Severity, packed, publish_size_bytes, topic_of
from agent.reduction import Reduction, UploadSettings
from agent.snippets import Snippet
from agent.snippets.form import body_of
from agent.streams import StreamSpec
from agent.tally import Tally
from agent.timebase import TimeMark, TimeQuality, WallClock, rfc3339

PACKABLE = (Kind.EVENT, Kind.GAP)  # what "auto" writes in MessagePack when the budget is short
Body = dict[str, Any]


class _Basis(NamedTuple):
    """What a record stands on: the hash of the certificate, and how far that can be trusted."""

    certificate: str
    trust: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A record of features or of a snippet, written with the number that the next one gets."""

    payload: bytes
    published_bytes: int
    mark: TimeMark
    kind: Kind = Kind.FEATURES


class Scribe:
    """Writes the records of a run. ``streams``: all of them; ``columns``: what is told of rows of windows."""

    def __init__(
        self,
        head: Head,
        fleet: str,
        upload: UploadSettings | None,
        correction: Correction,
        streams: tuple[str, ...],
        columns: Callable[[Table], Mapping[str, Any]],
    ) -> None:
        encoding = upload.encoding if upload is not None else head.encoding
        self._auto = encoding == "auto"
        self._head = replace(head, encoding="msgpack" if encoding == "msgpack" else "json")
        self._packed_head = replace(head, encoding="msgpack")
        self._topics = {kind: topic_of(fleet, head.box, kind) for kind in Kind}
        self._correction = correction
        self._streams = streams
        self._cal = correction.certificate_of(streams)
        self._columns = columns
        self._said: dict[tuple[EventType, int], Severity] = {}
        self._seq = 0
        self.wall = WallClock()
        self.tally = Tally()
        self.reduction = Reduction(upload or UploadSettings(), draft=self._draft, join=Table.joined)

    @property
    def boot(self) -> str:
        """Of the run."""
        return self._head.boot

    def told(self, kind: Kind, time_ns: int, body: Mapping[str, Any]) -> Record:
        """Write what comes from outside, and of when."""
        # paid by the samples so far: a clock that runs ahead of them must not make the budget forget them
        return self._record(kind, time_ns, _Basis("", ""), body, self.tally.last_ns)

    def event(self, finding: Finding, context: str) -> Record:
        """Write a phase of an event, and what was going on around the box: a word."""
        started = finding.phase is Phase.START
        if started:
            self.tally.events[finding.type.value] += 1
        offset_ns = self.wall.at(finding.decided_ns).offset_ns
        body: Body = {
            "type": finding.type.value,
            "id": f"{finding.type.value}-{finding.number}",
            "phase": finding.phase.value,
            "start": rfc3339(finding.start_ns + offset_ns),
            "end": None if finding.end_ns is None else rfc3339(finding.end_ns + offset_ns),
            "severity": int(finding.severity),
            "values": dict(finding.values),
            "streams": list(finding.streams),
            "context": context,
        }
        event = finding.type, finding.number
        said = self._said.get(event, Severity.MINOR)
        # an alarm when it becomes one, at its start or later, and when it grows from major to critical
        newly = finding.phase is not Phase.END and finding.severity >= Severity.MAJOR
        kind = Kind.ALARM if newly and finding.severity > said else Kind.EVENT
        self._said[event] = max(said, finding.severity)
        if finding.phase is Phase.END:
            del self._said[event]
        return self._record(kind, finding.decided_ns, self._basis(finding.streams, finding.decided_ns), body)

    def gap(self, gap: Gap) -> Record:
        """Write a gap of a stream."""
        self.tally.gaps += 1
        self.tally.missing[gap.stream] += gap.samples
        offset_ns = self.wall.at(gap.told_ns).offset_ns
        body: Body = {
            "stream": gap.stream,
            "first": gap.first,
            "last": gap.last,
            "reason": gap.reason,
            "start": rfc3339(gap.start_ns + offset_ns),
            "end": rfc3339(gap.end_ns + offset_ns),
        }
        return self._record(Kind.GAP, gap.told_ns, self._basis((gap.stream,), gap.told_ns), body)

    def snippet(
        self,
        snippet: Snippet,
        spec: StreamSpec,
        time_ns: int,
        offset_ns: int | None = None,
        boot: str = "",
    ) -> list[Draft]:
        """Write the records of a snippet, in MessagePack, for samples are no text; to be published in a row.

        `offset_ns`: from the box time of its samples to wall time, where that is another than now; `boot`: of
        an earlier start of the agent, if they are from there.
        """
        mark = self.wall.at(time_ns)
        offset_ns = mark.offset_ns if offset_ns is None else offset_ns
        drafts = []
        for number, part in enumerate(snippet.parts):
            start_ns, end_ns = part.runs[0].start_ns, part.runs[-1].last_ns + 1
            start = rfc3339(start_ns + offset_ns)
            payload = self._packed_head.payload(
                seq=self._seq + number,
                time=rfc3339(time_ns + mark.offset_ns),
                quality=mark.quality,
                certificate=self._correction.certificate_of((snippet.stream,)),
                trust=self._trust_of((snippet.stream,), start_ns, end_ns),
                body=body_of(snippet, number, part.coding.result(), spec, start, boot),
            )
            size_bytes = publish_size_bytes(self._topics[Kind.SNIPPET], payload)
            drafts.append(Draft(payload, size_bytes, mark, Kind.SNIPPET))
        return drafts

    def _draft(self, rows: Table, span: int) -> Draft:
        """Write the record of rows of `span` seconds: a column a feature, a list an axis."""
        start_ns, end_ns = int(rows.index[0]) * WINDOW_NS, (int(rows.index[-1]) + span) * WINDOW_NS
        offset_ns = self.wall.at(end_ns).offset_ns
        body: Body = {"window_s": span}
        if span > 1:
            body["coarsened"] = "budget"
        body |= {"start": rfc3339(start_ns + offset_ns), "n": len(rows)}
        at = (rows.index - rows.index[0]) // span
        if int(at[-1]) != len(rows) - 1:
            body["at"] = at.tolist()
        body |= self._columns(rows)
        basis = _Basis(self._cal, self._trust_of(self._streams, start_ns, end_ns))
        payload = self._encode(end_ns, basis, body)
        size_bytes = publish_size_bytes(self._topics[Kind.FEATURES], payload)
        return Draft(payload, size_bytes, self.wall.at(end_ns))

    def _basis(self, streams: Sequence[str], time_ns: int) -> _Basis:
        """Return what a record stands on that these streams made at `time_ns`."""
        return _Basis(self._correction.certificate_of(streams), self._trust_of(streams, time_ns - 1, time_ns))

    def _trust_of(self, streams: Sequence[str], start_ns: int, end_ns: int) -> str:
        return self._correction.trust_of(streams, start_ns, end_ns, self.wall.at(end_ns))

    def _encode(self, time_ns: int, basis: _Basis, body: Mapping[str, Any]) -> bytes:
        mark = self.wall.at(time_ns)
        return self._head.payload(
            seq=self._seq,
            time=rfc3339(time_ns + mark.offset_ns),
            quality=mark.quality,
            certificate=basis.certificate or NO_CERTIFICATE,
            trust=basis.trust,
            body=body,
        )

    def _record(
        self, kind: Kind, time_ns: int, basis: _Basis, body: Mapping[str, Any], paid_ns: int | None = None
    ) -> Record:
        payload = self._encode(time_ns, basis, body)
        second = (time_ns if paid_ns is None else paid_ns) // WINDOW_NS
        if self._auto and kind in PACKABLE:
            size_bytes = publish_size_bytes(self._topics[kind], payload)
            payload = payload if self.reduction.bears(size_bytes, second) else packed(payload)
        record = self._numbered(kind, payload, self.wall.at(time_ns))
        self.reduction.spend(record.published_bytes, second)
        return record

    def publish(self, draft: Draft) -> Record:
        """Number a draft."""
        return self._numbered(draft.kind, draft.payload, draft.mark)

    def _numbered(self, kind: Kind, payload: bytes, mark: TimeMark) -> Record:
        unsure_ns = None if mark.quality is TimeQuality.SYNCED else mark.offset_ns
        record = Record(kind, self._head.boot, self._seq, self._topics[kind], payload, unsure_ns)
        self._seq += 1
        self.tally.published_bytes += record.published_bytes
        self.tally.published[kind.value] += 1
        return record
