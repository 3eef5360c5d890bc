"""The wiring: correction, detection, features and reduction, in the order that only this file knows.

The same object runs live and in replay. It is a pure function of the items that are pushed: no
clock, no file, no thread, no random number; and what it gives does not depend on how samples were cut
into blocks, nor on which stream's block came first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from agent.alignment import FOREVER_NS, Aligner
from agent.blocks import NS_PER_S, Block, SensorFault, SiBlock, Silence
from agent.correction import TEMPERATURE, Correction, NumbersOnly
from agent.detection import ContextWatch, DetectorSettings, make_detectors
from agent.detection.believed import Believed, Word
from agent.detection.finding import Detector, Finding
from agent.detection.sensor_fault import SensorFaults
from agent.features.engine import Features, Tank
from agent.features.table import Table
from agent.features.weighing import LOAD, MOTION, make_weigher
from agent.features.windows import WINDOW_NS
from agent.gaps import Gap, GapWatch
from agent.hops import TICK_NS
from agent.mounting import Vector
from agent.records import Head, Kind, Record
from agent.reduction import Batches, UploadSettings
from agent.scribe import Scribe
from agent.snippets import MEMORY_NS, Coder, Snippet, Snippets, SnippetSettings, coded_later
from agent.streams import StreamSpec, table_order
from agent.timebase import TimeMark
from calibration.certificate import Certificate

Item = Block | Silence | SensorFault | TimeMark

# Windows are summed up between two ticks, so that nothing which a tick decides waits for that
TELL_NS = TICK_NS // 2
MOST_WINDOWS = 10  # summed up in one go; a batch ends with the last of them
KEEP_MARKS_NS = 660 * NS_PER_S  # far more than lies between a decision and the horizon

# what happens at the same instant is published in this order: what ended there before what began there
_RANK_WINDOW, _RANK_HOP, _RANK_FAULT, _RANK_GAP, _RANK_SAMPLE = range(5)


_Occurrence = Finding | Gap | Table
_Key = tuple[int, int, int, int]  # box time, rank, which stream or detector, which of its own


class Pipeline:
    """Turns items of the sources into records.

    ``mount_up``: which way is up in the accelerometer's axes, or None where nobody said. ``any_sensor``:
    apply certificates of other sensors, too. Raises ConfigError when a certificate does not fit its stream,
    or is of another sensor.
    ``snippets``: what raw samples to send from around events, None for none; ``coder`` codes them.
    """

    def __init__(
        self,
        specs: Iterable[StreamSpec],
        *,
        head: Head,
        fleet: str,
        detectors: DetectorSettings | None = None,
        upload: UploadSettings | None = None,
        certificates: Sequence[Certificate] = (),
        mount_up: Vector | None = None,
        any_sensor: bool = False,
        snippets: SnippetSettings | None = None,
        coder: Coder = coded_later,
    ) -> None:
        self._specs = {spec.name: spec for spec in table_order(specs)}
        # the temperature first: the others may be corrected by it
        order = sorted(self._specs, key=lambda name: name != TEMPERATURE)
        self._aligner = Aligner(order)
        self._certificates = tuple(certificates)
        self._correction = Correction(tuple(self._specs.values()), certificates, any_sensor=any_sensor)
        self._numbers = NumbersOnly()
        watched = [spec for spec in self._specs.values() if spec.watch]
        self._context = ContextWatch(watched)
        self._detectors: tuple[Detector, ...] = make_detectors(
            detectors or DetectorSettings(), watched, mount_up, self._context
        )
        self._watching: dict[str, list[tuple[int, Detector]]] = defaultdict(list)
        for rank, detector in enumerate(self._detectors):
            for name in detector.streams:
                self._watching[name].append((rank, detector))
        known = {c.stream: c.standard_uncertainty for c in certificates if c.standard_uncertainty is not None}
        gravity_mps2 = next((c.gravity_mps2 for c in certificates if c.stream == MOTION), None)
        dead_kg = next((c.dead_load for c in certificates if c.stream == LOAD), None)
        weigher = make_weigher(self._specs.values(), mount_up, known, gravity_mps2, dead_kg)
        slosh = (detectors or DetectorSettings()).slosh
        self._features = Features(
            self._specs.values(), weigher, Tank.of(slosh.length_m, slosh.fill_m, slosh.width_m)
        )
        self._rank = {name: i for i, name in enumerate(self._specs)}
        settings = upload or UploadSettings()
        self._step = max(k for k in range(1, MOST_WINDOWS + 1) if settings.batch_s % k == 0)
        self._batches = Batches(settings.batch_s, Table.joined)
        self._scribe = Scribe(head, fleet, upload, self._correction, tuple(self._specs), self._features.told)
        self._reduction, self._wall = self._scribe.reduction, self._scribe.wall
        self.tally = self._scribe.tally
        self._snippets: Snippets | None = None
        if snippets is not None and snippets.takes_any:
            self._snippets = Snippets(snippets, tuple(self._specs), coder)
        self._tick = self._marks_due_ns = self._windows_due_ns = -FOREVER_NS
        self._faults = SensorFaults()
        self._believed = Believed(watched)
        self._gaps = GapWatch({spec.name: spec.rate_hz for spec in self._specs.values()})

    @property
    def streams(self) -> tuple[StreamSpec, ...]:
        """The streams that it was made for, in the table's order."""
        return tuple(self._specs.values())

    @property
    def overlapping_samples(self) -> int:
        """Samples that came twice and were dropped."""
        return self._aligner.overlapping_samples

    @property
    def withheld_rows(self) -> int:
        """Feature rows that still wait for the upload budget."""
        return self._reduction.withheld_rows

    @property
    def trust(self) -> Mapping[str, tuple[str, str]]:
        """How far each certified stream can be trusted now, and why not, in words."""
        now_ns = self.tally.last_ns
        return {} if now_ns is None else self._correction.trust(now_ns, self._wall.at(now_ns))

    @property
    def trust_changes(self) -> int:
        """How often a state of `trust` has changed, but for what expired."""
        return self._correction.trust_changes

    def notes(self) -> list[str]:
        """Say, in plain words, what is not being watched and why."""
        said = [note for detector in self._detectors for note in detector.notes()]
        if self.tally.samples:
            said += [f"{name}: not one sample came" for name in self._specs if not self.tally.samples[name]]
        said += self._numbers.notes() + self._correction.notes()
        said += [f"{name}: {state}: {why}" for name, (state, why) in self.trust.items() if why]
        unused = [c for c in self._certificates if c.stream not in self._specs]
        said += [f"certificate {c.hash}: not used: there is no stream {c.stream!r}" for c in unused]
        return said

    def push(self, *items: Item) -> list[Record]:
        """Take items; return the records that they complete, in their order."""
        for item in items:
            if isinstance(item, TimeMark):
                self._wall.add(item)
            else:
                self._aligner.push(item)
        return self._process(self._aligner.take())

    def finish(self) -> list[Record]:
        """The log has ended or the agent stops: return what was still waiting."""
        return self._process(self._aligner.finish(), ended=True)

    def health(self, time_ns: int, body: Mapping[str, Any]) -> Record:
        """Number a record of how the box itself does; what it says, and of when, comes from outside."""
        return self._scribe.told(Kind.HEALTH, time_ns, body)

    def dropped(self, time_ns: int, body: Mapping[str, Any]) -> Record:
        """Number a gap record of records that were not kept; what it says comes from outside."""
        self.tally.gaps += 1
        return self._scribe.told(Kind.GAP, time_ns, body)

    def ordered(self, snippet: Snippet, spec: StreamSpec, offset_ns: int, boot: str = "") -> list[Record]:
        """Number the records of a snippet that somebody ordered; it has an allowance of its own.

        `offset_ns`: from the box time of its samples to wall time; `boot`: of the start that measured them.
        Those of this start are told by the clock of now, as all else is: so restamping moves them alike.
        """
        now_ns = self.tally.last_ns if self.tally.last_ns is not None else snippet.start_ns
        if boot in ("", self._scribe.boot):
            drafts = self._scribe.snippet(snippet, spec, now_ns)
        else:
            drafts = self._scribe.snippet(snippet, spec, now_ns, offset_ns, boot)
        return [self._scribe.publish(draft) for draft in drafts]

    def remembered(
        self, stream: str, start_ns: int, end_ns: int
    ) -> tuple[StreamSpec, int, list[Block]] | None:
        """Return raw samples of `stream` between two wall times, with the offset of box time to wall time.

        None where the memory for snippets does not reach back so far.
        """
        now_ns = self.tally.last_ns
        if self._snippets is None or now_ns is None or stream not in self._specs:
            return None
        offset_ns = self._wall.at(now_ns).offset_ns
        if start_ns - offset_ns < now_ns - MEMORY_NS:
            return None
        blocks = self._snippets.memory.cut(stream, start_ns - offset_ns, end_ns - offset_ns)
        return (self._specs[stream], offset_ns, blocks) if blocks else None

    def _process(self, blocks: Sequence[Block], *, ended: bool = False) -> list[Record]:
        happened: list[tuple[_Key, _Occurrence]] = []
        words: list[Word] = []
        for effect in self._aligner.faults():
            self._gaps.fault(effect.at_ns, effect.fault)
            words.append(Word(effect.at_ns, effect.fault))
        horizon_ns = self._aligner.horizon_ns
        if self._snippets is not None:
            for raw in blocks:
                self._snippets.feed(raw)
        numbers = [part for block in blocks for part in self._numbers.parts(block)]
        corrected = [self._take_block(block, happened) for block in numbers]
        ticked = (tick := horizon_ns // TICK_NS) != self._tick
        if ticked:
            self._tick = tick
            self._context.advance(horizon_ns)  # before those who ask what is going on
        for block in corrected:
            self._detect(block, happened)
            words += self._believed.feed(block)
        self._number_faults(words, happened)
        if ticked:
            self._correction.forget_before(horizon_ns)
            self._advance(horizon_ns, happened)
            self._tell_silence(horizon_ns, happened)
        if horizon_ns >= self._windows_due_ns:
            self._sum_up(horizon_ns, happened)
        happened.sort(key=lambda pair: pair[0])
        records: list[Record] = []
        for key, occurrence in happened:
            if self._snippets is not None:
                self._snippets.cut_until(key[0])
            records.extend(self._records_of(key, occurrence))
        if self._snippets is not None:
            self._snippets.cut_until(horizon_ns)
            self._snippets.forget_before(horizon_ns)
        self._forget_marks(horizon_ns)
        if ended:
            rest = self._batches.rest()
            earned = self._features.raw_bytes(rest[1]) if rest is not None else np.empty(0)
            records.extend(self._scribe.publish(draft) for draft in self._reduction.finish(rest, earned))
            if self.tally.last_ns is not None:
                records += self._snippets_at(self.tally.last_ns // WINDOW_NS + 1, ended=True)
        return records

    def _snippets_at(self, end: int, *, ended: bool = False) -> list[Record]:
        """Return the records of the snippets that fit behind the features of second `end`."""
        records: list[Record] = []
        if self._snippets is None:
            return records
        for snippet in self._snippets.offered(end * WINDOW_NS, ended=ended):
            drafts = self._scribe.snippet(snippet, self._specs[snippet.stream], end * WINDOW_NS)
            size_bytes = sum(draft.published_bytes for draft in drafts)
            if self._reduction.takes_snippet(size_bytes, end, ended=ended):
                records += [self._scribe.publish(draft) for draft in drafts]
                self._snippets.sent(snippet)
        self.tally.withheld_snippets = self._snippets.withheld
        return records

    def _forget_marks(self, horizon_ns: int) -> None:
        """Drop the marks that no record can name: those before all that is to come and all that waits."""
        if horizon_ns >= self._marks_due_ns and horizon_ns != FOREVER_NS:
            self._marks_due_ns = horizon_ns + KEEP_MARKS_NS
            oldest = self._reduction.oldest_row
            held_ns = horizon_ns if oldest is None else oldest * WINDOW_NS
            if self._snippets is not None and self._snippets.oldest_ns is not None:
                held_ns = min(held_ns, self._snippets.oldest_ns)
            self._wall.forget_before(min(horizon_ns - KEEP_MARKS_NS, held_ns))
            self._context.forget_before(horizon_ns - KEEP_MARKS_NS)
            self._correction.forget_trust_before(min(horizon_ns - KEEP_MARKS_NS, held_ns))

    def _take_block(self, block: Block, happened: list[tuple[_Key, _Occurrence]]) -> SiBlock:
        name, rank = block.stream, self._rank[block.stream]
        for gap in self._gaps.before(block):
            happened.append(((gap.told_ns, _RANK_GAP, rank, gap.first), gap))
        corrected = self._correction.apply(block)
        self._count(block, int(corrected.times_ns[-1]))
        self._features.feed(corrected)
        if name in self._context.streams:
            self._context.feed(corrected)
        return corrected

    def _detect(self, block: SiBlock, happened: list[tuple[_Key, _Occurrence]]) -> None:
        for which, detector in self._watching[block.stream]:
            for i, finding in enumerate(detector.feed(block)):
                happened.append(((finding.decided_ns, _RANK_SAMPLE, which, i), finding))

    def _number_faults(self, words: list[Word], happened: list[tuple[_Key, _Occurrence]]) -> None:
        """Make events of what sources and readings say of sensors, in the order of their time."""
        for i, (decided_ns, fault) in enumerate(sorted(words, key=lambda word: word.decided_ns)):
            finding = self._faults.take(decided_ns, fault)
            if finding is not None:
                happened.append(((decided_ns, _RANK_FAULT, i, 0), finding))

    def _advance(self, horizon_ns: int, happened: list[tuple[_Key, _Occurrence]]) -> None:
        for which, detector in enumerate(self._detectors):
            for i, finding in enumerate(detector.advance(horizon_ns)):
                happened.append(((finding.decided_ns, _RANK_HOP, which, i), finding))

    def _sum_up(self, horizon_ns: int, happened: list[tuple[_Key, _Occurrence]]) -> None:
        """Take the windows that are over, and tell of the batches that they complete."""
        over = (horizon_ns - TELL_NS) // (WINDOW_NS * self._step) * self._step
        self._windows_due_ns = (over + self._step) * WINDOW_NS + TELL_NS
        ended = horizon_ns == FOREVER_NS
        rows = self._features.advance(horizon_ns if ended else over * WINDOW_NS)
        if rows is not None:
            self._batches.add(rows)
            last = int(rows.index[-1])
        elif ended:
            return
        for end, batch in self._batches.take(last + 1 if ended else over):
            happened.append(((end * WINDOW_NS + TELL_NS, _RANK_WINDOW, 0, end), batch))

    def _tell_silence(self, horizon_ns: int, happened: list[tuple[_Key, _Occurrence]]) -> None:
        if horizon_ns != FOREVER_NS:
            gaps = self._gaps.silence(horizon_ns)
        else:
            gaps = self._gaps.finish(self.tally.last_ns) if self.tally.last_ns is not None else []
        for gap in gaps:
            happened.append(((gap.told_ns, _RANK_GAP, self._rank[gap.stream], gap.first), gap))

    def _count(self, block: Block, last_ns: int) -> None:
        tally = self.tally
        tally.samples[block.stream] += len(block)
        tally.raw_bytes += len(block) * self._specs[block.stream].raw_bytes_per_sample
        if tally.first_ns is None or block.start_ns < tally.first_ns:
            tally.first_ns = block.start_ns
        tally.last_ns = max(tally.last_ns or last_ns, last_ns)

    def _records_of(self, key: _Key, occurrence: _Occurrence) -> list[Record]:
        if isinstance(occurrence, Finding):
            self._take_event(occurrence)
            return [self._scribe.event(occurrence, self._context.at(occurrence.decided_ns).value)]
        if isinstance(occurrence, Gap):
            return [self._scribe.gap(occurrence)]
        end, earned = key[3], self._features.raw_bytes(occurrence)
        draft = self._reduction.add(occurrence, earned, end)
        records = [] if draft is None else [self._scribe.publish(draft)]
        return records + self._snippets_at(end)

    def _take_event(self, finding: Finding) -> None:
        if self._snippets is not None:
            self._snippets.event(
                f"{finding.type.value}-{finding.number}",
                finding.phase,
                finding.severity,
                finding.streams,
                start_ns=finding.start_ns,
                decided_ns=finding.decided_ns,
            )
