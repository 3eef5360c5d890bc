"""The agent, live: threads around the pipeline, and nothing of what it decides.

One thread reads the source and waits for it; one runs the pipeline and puts its records on the card; one
writes the recording, for which no alarm waits; the uplink has its own. They meet at bounded queues and at
the outbox.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import agent
from agent import kernel_clock
from agent.beats import SLOW_S, Beats, Hang, HeardStop
from agent.certificates import at_hand
from agent.clock_book import ClockBook
from agent.config import Config
from agent.errors import FourPartError
from agent.health import Monitor, Reporter, Surroundings
from agent.order_doers import doers_of
from agent.ordering import open_desk
from agent.orders import Desk
from agent.outbox import Outbox
from agent.outbox.patient import PatientDisk
from agent.pipeline import Item, Pipeline
from agent.recording import Recorder, Recording, closed
from agent.records import Head, Record
from agent.restamping import RestampingQueue, Stamps
from agent.ring_recording import RingRecording, directory_of, ring_recording
from agent.snippet_coder import SnippetCoder
from agent.snippet_orders import Found, SnippetOrders
from agent.sources import LiveSource, Vector, counts_of
from agent.streams import StreamSpec
from agent.tally import Tally
from agent.timebase import TimeMark, measure_mark, new_boot_id
from agent.trust_telling import TrustTelling
from agent.uplink import Uplink, credentials

log = logging.getLogger("cargobox")

QUEUE_ITEMS = 4096  # ten seconds of a busy box; more would only hide that the machine is too slow
MOST_ITEMS_AT_ONCE = 256
HEARTBEAT_S = 1.0
DRAIN_S = 5.0


RecorderFactory = Callable[[Sequence[StreamSpec], str, Vector | None], Recorder]


class Service:
    """The whole agent around one source.

    ``on_items`` and ``on_records`` are told what flows, on the pipeline's thread: the demo's live view.
    ``make_recorder(streams, boot, mount_up)`` begins a recording of all that the source gives.
    """

    def __init__(
        self,
        config: Config,
        source: LiveSource,
        *,
        make_recorder: RecorderFactory | None = None,
        on_items: Callable[[Sequence[Item]], None] = lambda _: None,
        on_records: Callable[[Sequence[Record]], None] = lambda _: None,
        beats: Beats | None = None,
    ) -> None:
        self.beats = beats or Beats()
        self.boot = new_boot_id()
        self.ended = threading.Event()
        """Set when the source has ended or the agent cannot go on."""
        self.failure: BaseException | None = None
        self._config = config
        self._source = source
        self._make_recorder = make_recorder
        self._on_items = on_items
        self._on_records = on_records
        self._stop = threading.Event()
        # the plain queue costs a third of the bounded one, 300 times a second; _hand_on bounds it
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._room = threading.Event()
        self._threads: list[threading.Thread] = []
        self._recording: Recording | None = None
        self._ring: RingRecording | None = None
        self.ring_directory = directory_of(config)
        """Where the ring of raw recordings is; None where there is none."""
        self._pipeline: Pipeline | None = None
        self._certificates = at_hand(config)
        self._trust = TrustTelling(config.broker)
        self.outbox = Outbox(
            Path(config.outbox.directory),
            commit_window_s=config.outbox.commit_window_s,
            max_bytes=int(config.outbox.max_mib * (1 << 20)),
            memory_max_bytes=int(config.outbox.memory_mib * (1 << 20)),
            card_endurance_tbw=config.outbox.card_endurance_tbw,
            disk=PatientDisk(),
            beat=self.beats.of("outbox-commit"),
        )
        self._coder = SnippetCoder(self.beats.of("snippets"))
        self._snippet_orders = SnippetOrders(
            config.snippets,
            self._coder,
            recordings=lambda: self.ring_directory,
            streams=lambda: self.streams,
        )
        doers = {
            **doers_of(self, lambda: dict(self._desk.counts) if self._desk is not None else {}),
            "snippet": self._snippet_orders.order,
        }
        self._desk: Desk | None = open_desk(config, doers, self.boot, self.beats.of("orders"))
        self._stamps = Stamps(self.boot, ClockBook(Path(config.outbox.directory), kernel_clock.kernel_boot()))
        self.queue = RestampingQueue(self.outbox, self._stamps)
        """The outbox as the uplink sees it: with the right times."""
        self._reporter: Reporter | None = None
        self.uplink = Uplink(
            config.broker,
            self.queue,
            fleet=config.box.fleet,
            box=config.box.id,
            boot=self.boot,
            software=agent.__version__,
            beats=self.beats,
            ear=self._desk,
        )

    def start_uplink(self) -> None:
        """Begin to send what an earlier run left on the card; needs no source."""
        if self._desk is not None:
            self._desk.start()
        mark = measure_mark()
        self._stamps.mark(mark)  # what an earlier start left is sent before the source has said a word
        self._trust.connecting(mark)
        self.uplink.start()

    def start(self) -> None:
        """Make contact with the source and begin. Raises a FourPartError when there is no contact."""
        specs = self._source.open()
        said_up = self._source.mount_up
        streams = self._config.apply_to(specs)
        certificates = self._certificates.of(streams)
        for error in self._certificates.damaged:
            log.warning("%s", error)
        for words in self._certificates.passed_over(streams, certificates):
            log.warning("%s", words)
        self._trust.start(certificates)
        self._pipeline = Pipeline(
            streams,
            head=Head(self._config.box.id, self.boot, agent.__version__),
            fleet=self._config.box.fleet,
            detectors=self._config.detect,
            upload=self._config.upload,
            certificates=certificates,
            mount_up=self._config.mount_up(said_up),
            snippets=self._config.snippets,
            coder=self._coder,
        )
        if self._make_recorder is not None:
            self._recording = Recording(self._make_recorder(specs, self.boot, said_up), self.beats)
        if self.ring_directory is not None:
            ring = ring_recording(self._config, self.ring_directory, specs, self.boot, said_up, self.beats)
            self._ring = ring
        self._reporter = self._make_reporter()
        targets = {
            "source": self._read,
            "pipeline": self._work,
            "health": self._measure,
            "snippets": self._code,
        }
        if self._recording is not None:
            targets["recorder"] = self._recording.run
        if self._ring is not None:
            targets["ring"] = self._ring.run
        for name, target in targets.items():
            thread = threading.Thread(target=self._guarded, args=(target,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def _recordings(self) -> list[Recording | RingRecording]:
        return [recording for recording in (self._recording, self._ring) if recording is not None]

    @property
    def streams(self) -> tuple[StreamSpec, ...]:
        """The streams as the pipeline has them; empty before the start."""
        return self._pipeline.streams if self._pipeline is not None else ()

    @property
    def tally(self) -> Tally:
        """What has gone through so far."""
        return self._pipeline.tally if self._pipeline is not None else Tally()

    @property
    def notes(self) -> list[str]:
        """What is not being watched, and why."""
        return self._pipeline.notes() if self._pipeline is not None else []

    @property
    def alive(self) -> bool:
        """Whether every thread makes progress: what feeds the watchdog."""
        return not self.hanging and not self.ended.is_set()

    @property
    def hanging(self) -> tuple[Hang, ...]:
        """The threads that make none."""
        return self.beats.hanging()

    def stop(self, drain_s: float = DRAIN_S) -> None:
        """End in order: the source, the pipeline with what it still held, the uplink, the card."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        # each whatever becomes of the others: a full card must not cost the last records their way out
        with contextlib.ExitStack() as parts:
            parts.callback(self.outbox.close)
            parts.callback(self.uplink.stop, drain_s)
            if self._desk is not None:
                parts.callback(self._desk.stop)
            for recording in self._recordings:
                parts.callback(recording.close)
            parts.callback(closed, self._source)

    # -- on threads of its own -----------------------------------------------------------------

    def _guarded(self, target: Callable[[], None]) -> None:
        """Run a thread's work; its failure ends the agent, told in words, and never in silence."""
        with contextlib.suppress(OSError):  # `top -H` then shows which thread is at work
            Path("/proc/thread-self/comm").write_text(threading.current_thread().name[:15])
        try:
            target()
        except Exception as error:  # whatever it is, the main thread must hear of it
            self.failure = error
            if isinstance(error, FourPartError):
                log.error("%s", error)
            else:
                log.exception("the %s thread failed", threading.current_thread().name)
            self._stop.set()
            self.ended.set()

    def _read(self) -> None:
        stop = HeardStop(self._stop, self.beats.of("source"))
        try:
            for item in self._source.items(stop):
                self._hand_on(item)
        finally:
            self._hand_on(None)
            stop.beat.end()

    def _hand_on(self, item: Item | None) -> None:
        # a full queue holds the source back; the board counts what it then could not send
        while self._items.qsize() >= QUEUE_ITEMS and self.failure is None:
            self.beats.of("source")()  # it is the pipeline that is slow
            self._room.clear()
            self._room.wait(HEARTBEAT_S)
        self._items.put(item)

    def _work(self) -> None:
        assert self._pipeline is not None
        ended = False
        beat = self.beats.of("pipeline")
        try:
            while not ended:
                beat()
                items, ended = self._next_items()
                self._room.set()
                if items:
                    for recording in self._recordings:
                        recording.hand_over(items, beat, lambda: self.failure is not None)
                    records = self._pipeline.push(*items)
                    for item in items:
                        if isinstance(item, TimeMark):
                            self._take_mark(item)
                    self._emit(records)
                    self._trust.tell(self._pipeline)
                    self._tell_dropped(self._pipeline)
                    self._on_items(items)
                if self._reporter is not None:
                    self._emit(self._reporter.records(self._pipeline.health))
                self._emit(self._ordered_snippets(self._pipeline))
            self._emit(self._pipeline.finish())
            self._tell_dropped(self._pipeline, everything=True)
        finally:
            beat.end()
            for recording in self._recordings:
                recording.no_more()
        self.ended.set()

    def _make_reporter(self) -> Reporter:
        around = Surroundings(
            directory=Path(self._config.outbox.directory),
            outbox=self.outbox.stats,
            uplink=self.uplink.stats,
            streams=lambda: self.streams,
            tally=lambda: self.tally,
            firmware=lambda: getattr(self._source, "firmware", ""),
            clock_steps=self._stamps.steps,
            counts=lambda: counts_of(self._source),
            recorder=lambda: {} if self._ring is None else self._ring.ring.look(),
            credentials=lambda mark: (
                credentials.days_left(self._config.broker, mark),
                credentials.expiry_warnings(self._config.broker, mark),
            ),
        )
        return Reporter(
            Monitor(around, time.monotonic()),
            every_s=self._config.health.every_s,
            budget=self._config.upload.budget,
            raw_bytes=lambda: self.tally.raw_bytes,
        )

    def _ordered_snippets(self, pipeline: Pipeline) -> list[Record]:
        """Return the records of what orders asked for and is coded by now."""

        def remembered(stream: str, start_ns: int, end_ns: int) -> Found | None:
            known = pipeline.remembered(stream, start_ns, end_ns)
            return None if known is None else Found("", *known)

        due = self._snippet_orders.take_due(remembered)
        return [r for one in due for r in pipeline.ordered(one.snippet, one.spec, one.offset_ns, one.boot)]

    def _code(self) -> None:
        self._coder.run(self._stop)

    def _measure(self) -> None:
        if self._reporter is not None:
            self._reporter.run(self._stop, self.beats.of("health"))

    def _take_mark(self, mark: TimeMark) -> None:
        self._stamps.mark(mark)
        self._trust.mark(mark)

    def _tell_dropped(self, pipeline: Pipeline, *, everything: bool = False) -> None:
        """Publish gap records of what the outbox could not keep, in this run or before it."""
        if self._ring is not None and (now_ns := pipeline.tally.last_ns) is not None:
            self._emit([pipeline.dropped(now_ns, body) for body in self._ring.missed(everything=everything)])
        losses = self.outbox.take_dropped(everything=everything)
        if losses and (now_ns := pipeline.tally.last_ns) is not None:
            records = [pipeline.dropped(now_ns, loss.body()) for loss in losses]
            self._stamps.made(records)
            self.outbox.put_gaps(losses, records)
            self._on_records(records)

    def _next_items(self) -> tuple[list[Item], bool]:
        """Wait for items; return them, and whether the source has ended."""
        items: list[Item] = []
        try:
            item = self._items.get(timeout=min(HEARTBEAT_S, self.beats.rest_s))
            while item is not None:
                items.append(item)
                if len(items) >= MOST_ITEMS_AT_ONCE:
                    return items, False
                item = self._items.get_nowait()
        except queue.Empty:
            return items, False
        return items, True

    def _emit(self, records: list[Record]) -> None:
        if records:
            self._stamps.made(records)
            self.beats.of("pipeline")(SLOW_S)  # alarms wait for the card
            self.outbox.put(records)
            self.beats.of("pipeline")()
            if self._ring is not None:  # after the alarm is on the card
                self._ring.decided(records, self.tally.last_ns)
            self._on_records(records)
