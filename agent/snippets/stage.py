"""Which raw samples are taken around events, and which of them go up when there is room.

Everything is decided at times of the data: a piece is cut when its last sample must be there, offered some
time after that (`LAG_NS` and what its length takes to be coded, so that live the outcome is there by then),
with the most severe first, and given up after a while. So how samples are cut into blocks, and how fast the
machine is, changes nothing, as long as it keeps up.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.blocks import NS_PER_S, Block
from agent.records import Phase, Severity
from agent.snippets.coding import Coder, Coding, Values, coded_later
from agent.snippets.memory import Memory
from agent.snippets.settings import SnippetSettings

MEMORY_NS = 30 * NS_PER_S
"""So far back: an event may have begun so long before it is known to be one, less what is taken before."""
SLACK_NS = 2 * NS_PER_S  # what happened is told this much after its time, at most
LONGEST_NS = 30 * NS_PER_S  # of overlapping events; then a new snippet begins where this one ends
LAG_NS = 5 * NS_PER_S
NS_PER_VALUE = 100_000  # a small computer codes ten thousand values a second, and more
PART_BYTES = 48 << 10  # before coding: with its head below 64 KiB, which every broker takes
PART_SAMPLES = 16_384
MOST_WAITING_BYTES = 2 << 20  # before coding
WAIT_NS = {
    Severity.MINOR: 300 * NS_PER_S,
    Severity.GENERAL: 600 * NS_PER_S,
    Severity.MAJOR: 3600 * NS_PER_S,
    Severity.CRITICAL: 24 * 3600 * NS_PER_S,
}
"""For so long a snippet waits for the upload budget."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """As much as goes into one record: runs of one stream, and their values one below the other, coded."""

    runs: tuple[Block, ...]
    coding: Coding


@dataclass(frozen=True, slots=True, eq=False)
class Snippet:
    """Samples of one stream around `events`, which overlap; none: somebody ordered it."""

    id: str
    stream: str
    events: tuple[str, ...]
    severity: Severity
    due_ns: int
    raw_bytes: int
    parts: tuple[Part, ...]

    @property
    def ready(self) -> bool:
        """Whether all of it is coded."""
        return all(part.coding.ready() for part in self.parts)

    @property
    def start_ns(self) -> int:
        """Time of its first sample."""
        return self.parts[0].runs[0].start_ns


@dataclass(slots=True)
class _Capture:
    """What is to be cut when the time has come."""

    start_ns: int
    end_ns: int
    cut_ns: int
    severity: Severity
    events: list[str] = field(default_factory=list)


def parts_of(blocks: Iterable[Block], coder: Coder) -> tuple[Part, ...]:
    """Split samples of one stream so that each part fits into a packet, and give them to be coded."""
    parts: list[list[Block]] = []
    left = 0
    for block in blocks:
        values = block.values
        row_bytes = max(1, values.itemsize * values.shape[1])
        most = max(1, min(PART_SAMPLES, PART_BYTES // row_bytes))
        if parts and _kind(parts[-1][-1].values) != _kind(values):
            left = 0
        begin = 0
        while begin < len(block):
            if not left:
                parts.append([])
                left = most
            end = min(len(block), begin + left)
            parts[-1].append(block.cut(begin, end))
            left -= end - begin
            begin = end
    return tuple(Part(tuple(runs), coder(np.concatenate([b.values for b in runs]))) for runs in parts)


def _kind(values: Values) -> object:
    return values.dtype, values.shape[1:]


class Snippets:
    """Takes samples and events, both in the order of time, and gives what is to go up."""

    def __init__(self, settings: SnippetSettings, streams: Sequence[str], coder: Coder = coded_later) -> None:
        self.settings = settings
        self._rank = {name: i for i, name in enumerate(streams)}
        self._coder = coder
        self.memory = Memory()
        self._captures: dict[str, list[_Capture]] = {name: [] for name in streams}
        self._taken: dict[str, list[tuple[int, int]]] = {name: [] for name in streams}
        self._severity: dict[str, Severity] = {}
        self._waiting: list[Snippet] = []
        self._numbers = itertools.count(1)
        self.withheld = 0
        """Snippets that found no room within the upload budget and stayed at home."""

    @property
    def waiting(self) -> int:
        """Snippets that wait for the upload budget, or for their time."""
        return len(self._waiting)

    @property
    def oldest_ns(self) -> int | None:
        """Time of the first sample that waits."""
        return min((one.start_ns for one in self._waiting), default=None)

    def feed(self, block: Block) -> None:
        """Take raw samples."""
        self.memory.feed(block)

    def event(
        self,
        event: str,
        phase: Phase,
        severity: Severity,
        streams: Iterable[str],
        *,
        start_ns: int,
        decided_ns: int,
    ) -> None:
        """Take a phase of an event: something is cut where it begins, and more where it gets worse."""
        worse = severity > self._severity.get(event, 0)
        if phase is Phase.END:
            self._severity.pop(event, None)
        else:
            self._severity[event] = max(severity, self._severity.get(event, severity))
        before_ns, after_ns = self.settings.span_ns(severity)
        if not worse or not before_ns + after_ns:
            return
        # what began longer ago than is remembered is shown as it was when it was noticed
        known = start_ns - before_ns >= decided_ns - MEMORY_NS
        at_ns = start_ns if known else decided_ns
        for name in streams:
            if name in self._captures:
                for begin_ns, end_ns in self._not_taken(name, at_ns - before_ns, at_ns + after_ns):
                    cut_ns = max(end_ns, decided_ns)
                    self._want(name, _Capture(begin_ns, end_ns, cut_ns, severity, [event]))

    def _not_taken(self, name: str, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """Return what was not cut yet of a span: also what lies before the first piece of one that grew."""
        free = []
        for taken_start_ns, taken_end_ns in self._taken[name]:
            if start_ns < min(taken_start_ns, end_ns):
                free.append((start_ns, min(taken_start_ns, end_ns)))
            start_ns = max(start_ns, taken_end_ns)
        return [*free, (start_ns, end_ns)] if start_ns < end_ns else free

    def _want(self, name: str, wanted: _Capture) -> None:
        for other in self._captures[name]:
            if wanted.start_ns > other.end_ns or wanted.end_ns < other.start_ns:
                continue
            start_ns, end_ns = min(wanted.start_ns, other.start_ns), max(wanted.end_ns, other.end_ns)
            if end_ns - start_ns > LONGEST_NS:
                if wanted.end_ns > other.start_ns:
                    wanted.start_ns = max(wanted.start_ns, other.end_ns)
                continue
            other.start_ns, other.end_ns = start_ns, end_ns
            other.cut_ns = max(other.cut_ns, wanted.cut_ns)
            other.severity = max(other.severity, wanted.severity)
            other.events += [event for event in wanted.events if event not in other.events]
            return
        if wanted.start_ns < wanted.end_ns:
            self._captures[name].append(wanted)

    def cut_until(self, time_ns: int) -> None:
        """Every sample before `time_ns` was fed: cut what is complete, in the order of time."""
        ripe = [
            (capture.cut_ns, self._rank[name], name, capture)
            for name, captures in self._captures.items()
            for capture in captures
            if capture.cut_ns <= time_ns
        ]
        for cut_ns, _, name, capture in sorted(ripe, key=lambda one: one[:2]):
            self._captures[name].remove(capture)
            self._cut(name, capture, cut_ns)

    def _cut(self, name: str, capture: _Capture, cut_ns: int) -> None:
        insort(self._taken[name], (capture.start_ns, capture.end_ns))
        blocks = self.memory.cut(name, capture.start_ns, capture.end_ns)
        if not blocks:
            return
        values = sum(block.values.size for block in blocks)
        snippet = Snippet(
            f"snippet-{next(self._numbers)}",
            name,
            tuple(capture.events),
            capture.severity,
            cut_ns + LAG_NS + values * NS_PER_VALUE,
            sum(block.values.nbytes for block in blocks),
            parts_of(blocks, self._coder),
        )
        self._waiting.append(snippet)
        while sum(one.raw_bytes for one in self._waiting) > MOST_WAITING_BYTES and len(self._waiting) > 1:
            self._give_up(min(self._waiting, key=lambda one: one.severity))  # the oldest of these

    def forget_before(self, horizon_ns: int) -> None:
        """Drop what nothing that happens from `horizon_ns` on can ask for."""
        starts = (capture.start_ns for captures in self._captures.values() for capture in captures)
        oldest_ns = min((horizon_ns - MEMORY_NS - SLACK_NS, *starts))
        self.memory.forget_before(oldest_ns)
        for name, taken in self._taken.items():
            self._taken[name] = [span for span in taken if span[1] > oldest_ns - MEMORY_NS]

    def offered(self, time_ns: int, *, ended: bool = False) -> Iterator[Snippet]:
        """Yield what may go up now, the most severe first, of these the oldest; say `sent` of what does.

        `ended`: nothing comes after this, so all that is left may, and is waited for.
        """
        for snippet in sorted(self._waiting, key=lambda one: -one.severity):
            if ended or (snippet.due_ns <= time_ns and snippet.ready):
                yield snippet
        for snippet in list(self._waiting):
            if ended or time_ns - snippet.due_ns > WAIT_NS[snippet.severity]:
                self._give_up(snippet)

    def sent(self, snippet: Snippet) -> None:
        """It has left."""
        self._waiting.remove(snippet)

    def _give_up(self, snippet: Snippet) -> None:
        self._waiting.remove(snippet)
        self.withheld += 1
