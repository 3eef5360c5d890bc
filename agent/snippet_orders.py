"""Raw samples that a signed order asks for: from the stage's memory, or else from the recordings on the card.

The orders' thread finds them and gives them to be coded; the pipeline's thread sends them when they are. They
have an allowance of their own, counted before coding, so that who orders much takes nothing from the events.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agent.blocks import NS_PER_S, Block
from agent.errors import OrderError
from agent.orders import Done, Order
from agent.orders.verbs import SnippetArguments, arguments_of
from agent.records import Severity
from agent.snippets import Coder, Snippet, SnippetSettings, parts_of
from agent.snippets.memory import cut
from agent.streams import StreamSpec
from agent.timebase import measure_mark, rfc3339, wall_ns_of

HOUR_S = 3600.0
ANSWER_S = 10.0  # the pipeline's thread looks at least once a second
FUTURE_NS = 2 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Found:
    """Samples of one stream from one start of the agent; `boot` empty: this one. Wall: box + `offset_ns`."""

    boot: str
    spec: StreamSpec
    offset_ns: int
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Ordered:
    """A snippet to be sent."""

    snippet: Snippet
    spec: StreamSpec
    offset_ns: int
    boot: str


Remembered = Callable[[str, int, int], Found | None]
"""What the pipeline has in memory of a stream, between two wall times; None: that does not reach back."""


@dataclass(slots=True)
class _Question:
    stream: str
    start_ns: int
    end_ns: int
    answered: threading.Event = field(default_factory=threading.Event)
    found: Found | None = None


class SnippetOrders:
    """`order` is called on the orders' thread, `take_due` on the pipeline's.

    ``recordings``: the folder of the ring, None where there is none.
    """

    def __init__(
        self,
        settings: SnippetSettings,
        coder: Coder,
        *,
        recordings: Callable[[], Path | None] = lambda: None,
        streams: Callable[[], Iterable[StreamSpec]],
        now_wall_ns: Callable[[], int] | None = None,
    ) -> None:
        self._settings = settings
        self._coder = coder
        self._recordings = recordings
        self._streams = streams
        self._now_wall_ns = now_wall_ns or _now_wall_ns
        self._questions: queue.SimpleQueue[_Question] = queue.SimpleQueue()
        self._coding: deque[Ordered] = deque()
        self._spent: deque[tuple[float, int]] = deque()

    def order(self, order: Order) -> Done:
        """Find what was asked for. Raises OrderError with why there is none."""
        args = arguments_of(order)
        assert isinstance(args, SnippetArguments)
        start_ns, end_ns = self._times(args)
        names = [spec.name for spec in self._streams()]
        if names and args.stream not in names:
            raise _no(f"there is no stream {args.stream!r}; there are {', '.join(names)}")
        found, where = self._find(args.stream, start_ns, end_ns)
        raw_bytes = sum(block.values.nbytes for one in found for block in one.blocks)
        samples = sum(len(block) for one in found for block in one.blocks)
        if not samples:
            raise _no(
                f"no sample of {args.stream!r} of that time is kept, neither in memory nor in recordings"
            )
        self._spend(raw_bytes)
        packets = 0
        for number, one in enumerate(found):
            snippet = Snippet(
                f"order-{order.counter + number}",
                args.stream,
                (),
                Severity.GENERAL,
                0,
                raw_bytes,
                parts_of(one.blocks, self._coder),
            )
            packets += len(snippet.parts)
            self._coding.append(Ordered(snippet, one.spec, one.offset_ns, one.boot))
        first, last = found[0], found[-1]
        return Done(
            {
                "stream": args.stream,
                "samples": samples,
                "bytes_before_coding": raw_bytes,
                "from": rfc3339(first.blocks[0].start_ns + first.offset_ns),
                "to": rfc3339(last.blocks[-1].last_ns + last.offset_ns),
                "out_of": where,
                "id": f"order-{order.counter}",
                "packets": packets,
            }
        )

    def take_due(self, remembered: Remembered) -> list[Ordered]:
        """Answer what the orders' thread asks; return the snippets that are coded by now."""
        while not self._questions.empty():
            question = self._questions.get()
            question.found = remembered(question.stream, question.start_ns, question.end_ns)
            question.answered.set()
        due = []
        while self._coding and self._coding[0].snippet.ready:
            due.append(self._coding.popleft())
        return due

    def _times(self, args: SnippetArguments) -> tuple[int, int]:
        start_ns, end_ns = (_wall_ns(text) for text in (args.start, args.end))
        span_s = (end_ns - start_ns) / NS_PER_S
        if span_s <= 0:
            raise _no("its end is not after its start")
        if span_s > self._settings.ordered_max_s:
            raise _no(
                f"{span_s:.0f} s are asked for; [snippets] ordered_max_s allows "
                f"{self._settings.ordered_max_s:g}"
            )
        if end_ns > self._now_wall_ns() + FUTURE_NS:
            raise _no(f"that is not over yet: it is {rfc3339(self._now_wall_ns())} here")
        return start_ns, end_ns

    def _find(self, stream: str, start_ns: int, end_ns: int) -> tuple[list[Found], str]:
        question = _Question(stream, start_ns, end_ns)
        self._questions.put(question)
        if question.answered.wait(ANSWER_S) and question.found is not None:
            return [question.found], "memory"
        folder = self._recordings()
        if folder is None:
            raise _no("it is no longer in memory, and [recorder] is off, so it is nowhere else")
        from agent.recorder.reading import read  # lazily: the card's tools are needed now and then

        found = []
        for excerpt in read(folder, start_ns, end_ns):
            spec = next((spec for spec in excerpt.streams if spec.name == stream), None)
            blocks = [item for item in excerpt.items if isinstance(item, Block) and item.stream == stream]
            within = cut(blocks, start_ns - excerpt.offset_ns, end_ns - excerpt.offset_ns)
            if spec is not None and within:
                found.append(Found(excerpt.boot, spec, excerpt.offset_ns, within))
        return found, "recordings"

    def _spend(self, raw_bytes: int) -> None:
        now_s = time.monotonic()
        while self._spent and self._spent[0][0] < now_s - HOUR_S:
            self._spent.popleft()
        most = int(self._settings.ordered_kib_an_hour * 1024)
        left = most - sum(spent for _, spent in self._spent)
        if raw_bytes > left:
            raise _no(
                f"{raw_bytes} bytes before coding; of the {most} an hour that [snippets] ordered_kib_an_hour "
                f"allows, {left} are left"
            )
        self._spent.append((now_s, raw_bytes))


def _wall_ns(text: str) -> int:
    try:
        if datetime.fromisoformat(text).tzinfo is None:
            raise ValueError
        return wall_ns_of(text)
    except (ValueError, OverflowError):
        raise _no(f"{text!r} is no time with its zone, such as 2026-11-22T01:22:18Z") from None


def _now_wall_ns() -> int:
    mark = measure_mark()
    return mark.box_ns + mark.offset_ns


def _no(got: str) -> OrderError:
    return OrderError(
        "looking for raw samples",
        got=got,
        expected="a stream and a time of which samples are kept",
        remedy="`cargobox recordings list` on the box says what is there.",
    )
