"""A van under a real agent: a source that goes on when it is told to, and what of it came to the far end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

import agent
from agent.blocks import NS_PER_S, Block, RegularClock
from agent.config import Config, HealthSettings, OutboxSettings
from agent.pipeline import Item, Pipeline
from agent.records import Head, Kind, Record, decode
from agent.reduction import UploadSettings
from agent.service import Service
from agent.snippet_coder import SnippetCoder
from agent.snippets.coding import Coding, Values
from agent.sources.wall_marks import WallMarks
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark, TimeQuality, wall_ns_of
from agent.uplink import BrokerConfig
from tests.clock.kernel import Kernel
from tests.snippets.cached import cached_coder

PATIENCE_S = 30.0
RATE_HZ = 400  # so much that the budget for the upload, which counts the letters of `tq`, decides nothing
STREAM = msgspec.structs.replace(TABLE["pressure"], rate_hz=RATE_HZ)
SWING_EVERY_S = 20
UPLOAD = UploadSettings(batch_s=1, budget=1.0)
Document = dict[str, Any]


def second_of_road(second: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a second of pressure: every 20 s it swings, which is an alarm."""
    values = np.full((RATE_HZ, 1), 5000.0, np.float32)
    if second % SWING_EVERY_S == 10:
        values[RATE_HZ // 2 : RATE_HZ // 2 + 80] += 4500.0
    return values


class Van:
    """Seconds of road, one after the other, by the box time of `kernel`."""

    mount_up: tuple[float, float, float] | None = None

    def __init__(self, kernel: Kernel) -> None:
        self.blocks: list[Block] = []
        self._kernel = kernel
        self._clock = RegularClock.of_rate(RATE_HZ, anchor_ns=kernel.box_ns)
        self._go: queue.SimpleQueue[None] = queue.SimpleQueue()

    def open(self) -> tuple[StreamSpec, ...]:
        return (STREAM,)

    def go(self) -> None:
        """Drive for a second."""
        self._go.put(None)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        marks = WallMarks(lambda: self._kernel.box_ns)
        yield marks.first()
        while not stop.is_set():
            try:
                self._go.get(timeout=0.01)
            except queue.Empty:
                continue
            if (mark := marks.due(self._kernel.box_ns)) is not None:
                yield mark
            second = len(self.blocks)
            block = Block("pressure", second * RATE_HZ, self._clock, second_of_road(second))
            self._kernel.box_ns += NS_PER_S
            self.blocks.append(block)
            yield block

    def close(self) -> None:
        """Nothing is open."""


class PromptCoder(SnippetCoder):
    """Has coded at once, for the van drives in seconds what a coder has minutes for."""

    def __call__(self, values: Values) -> Coding:
        return cached_coder(values)


class Ride:
    """A real agent in `folder` that goes to a broker; ``with`` ends it in order."""

    def __init__(
        self,
        folder: Path,
        kernel: Kernel,
        broker: BrokerConfig,
        *,
        health_s: float = 86_400,
        contact: bool = True,
    ) -> None:
        self.kernel = kernel
        self.van = Van(kernel)
        self.made: list[Record] = []
        self._changed = threading.Condition()
        self._blocks = 0
        config = Config(
            outbox=OutboxSettings(directory=str(folder / "outbox"), commit_window_s=0.01),
            broker=broker,
            health=HealthSettings(every_s=health_s),
            upload=UPLOAD,
        )
        self._snippets = config.snippets
        self.service = Service(config, self.van, on_items=self._see, on_records=self._keep)
        self.service._coder = PromptCoder()
        self._good = TimeMark(kernel.box_ns, kernel.true_ns, TimeQuality.SYNCED)
        self.service.start_uplink()
        if contact:
            self.service.start()

    def drive(self, seconds: int) -> None:
        """Return when so much more of the road has been through the pipeline."""
        with self._changed:
            goal = self._blocks + seconds
            for _ in range(seconds):
                self.van.go()
            assert self._changed.wait_for(lambda: self._blocks >= goal, PATIENCE_S)

    def end(self) -> None:
        """End in order, with all that waits sent, where the broker is connected to."""
        self.service.stop(drain_s=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.service.stop(drain_s=0.0)

    def _see(self, items: Sequence[Item]) -> None:
        with self._changed:
            self._blocks += sum(isinstance(item, Block) for item in items)
            self._changed.notify_all()

    def _keep(self, records: Sequence[Record]) -> None:
        with self._changed:
            self.made += records
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when it holds; looked at when records were made, and now and then."""
        deadline_s = time.monotonic() + PATIENCE_S
        with self._changed:
            while not condition():
                assert time.monotonic() < deadline_s, [r.payload for r in self.made[-3:]]
                self._changed.wait(0.02)

    def health(self) -> list[Document]:
        return [decode(r.payload) for r in list(self.made) if r.kind is Kind.HEALTH]

    def with_a_good_clock(self) -> list[Document]:
        """Return what the same samples give with a clock that was right all the time."""
        pipeline = Pipeline(
            [STREAM],
            head=Head("box", "0" * 16, agent.__version__),
            fleet="default",
            upload=UPLOAD,
            snippets=self._snippets,
            coder=cached_coder,
        )
        records = pipeline.push(self._good)
        for block in self.van.blocks:
            records += pipeline.push(block)
        return [decode(r.payload) for r in records + pipeline.finish()]


@dataclass(frozen=True)
class Told:
    """What a record says beside the date: it must not depend on the clock."""

    kind: str
    body: str
    lasted_ns: int | None
    told_after_ns: int | None


OF_THE_CLOCK = frozenset({"t", "tq", "start", "end", "seq", "boot", "sw", "box"})


def told(document: Document) -> Told:
    t, start, end = (document.get(key) for key in ("t", "start", "end"))
    untyped = "features" if "columns" in document else "snippet" if "codec" in document else "gap"
    return Told(
        kind=document.get("type", untyped),
        body=repr({k: v for k, v in document.items() if k not in OF_THE_CLOCK}),
        lasted_ns=wall_ns_of(end) - wall_ns_of(start) if start and end else None,
        told_after_ns=wall_ns_of(str(t)) - wall_ns_of(start) if start else None,
    )
