"""Several sources as one: the box on its cable and the buses of this computer, each read by its own thread.

A box that is not plugged in need not keep the sensors of the buses waiting. Which streams it has only it
can say, and a pipeline is made for all its streams at once; so the others are read without it, and when
it has come, `items` ends with ``more`` set: whoever runs it begins anew, with a new boot id, and with all.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from agent.beats import beside, ended
from agent.errors import ConfigError
from agent.sources import Item, LiveSource, Vector, counts_of
from agent.streams import StreamSpec
from firmware_bridge.errors import LinkError

log = logging.getLogger("cargobox")

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 30.0
LOOK_S = 0.05  # the longest that a set stop event goes unheard here
QUEUE_ITEMS = 1024  # beyond it the sources are held back, as by the pipeline's own queue


class SeveralSources:
    """A source made of `sources`; no two may give a stream of the same name.

    With `wait`, one that raises `LinkError` on opening is left out and tried again, first after
    `first_retry_s`; as long as there is another that can be read.
    """

    def __init__(
        self, sources: Sequence[LiveSource], *, wait: bool = False, first_retry_s: float = FIRST_RETRY_S
    ) -> None:
        self._sources = tuple(sources)
        self._wait = wait
        self._first_retry_s = first_retry_s
        self._opened: list[LiveSource] = []
        self._absent: dict[int, LinkError] = {}
        self.mount_up: Vector | None = None
        self.more = False
        """A source that was absent has come: `items` ended for its sake."""

    @property
    def firmware(self) -> str:
        """Version of the microcontroller's program; empty without one."""
        return next((words for s in self._opened if (words := getattr(s, "firmware", ""))), "")

    def counts(self) -> dict[str, Any]:
        """Return what the sources count, those of several buses side by side."""
        told: dict[str, Any] = {}
        for source in tuple(self._opened):
            for part, figures in counts_of(source).items():
                told[part] = {**told.get(part, {}), **figures}
        return told

    @property
    def waits_for(self) -> LinkError | None:
        """Why one of the sources is not read yet; None when all are."""
        return next(iter(self._absent.values()), None)

    def open(self) -> tuple[StreamSpec, ...]:
        """Open all and return their streams. Raises what they raise, ConfigError where two give the same."""
        specs: dict[str, StreamSpec] = {}
        self.close()
        try:
            for number, source in enumerate(self._sources):
                try:
                    given = source.open()
                except LinkError as error:
                    if not self._wait:
                        raise
                    self._absent[number] = error
                    continue
                self._opened.append(source)
                _add(specs, given)
            if self.waits_for is not None and not self._opened:
                raise self.waits_for
        except Exception:
            self.close()
            raise
        for absent in self._absent.values():
            log.error("%s", absent)
        self.mount_up = next((s.mount_up for s in self._opened if s.mount_up is not None), None)
        return tuple(specs.values())

    def items(self, stop: threading.Event) -> Iterator[Item]:
        """Yield what comes of all, each stream in its order, until `stop` is set or one of them fails."""
        halt = threading.Event()
        merged = _Merged(halt)
        heard = [
            (name, source, beside(stop, halt, name))
            for name, source in ((f"source-{number}", source) for number, source in enumerate(self._opened))
        ]
        threads = [
            threading.Thread(target=merged.read, args=(source, halt), name=name, daemon=True)
            for name, source, halt in heard
        ]
        waiting = [
            threading.Thread(target=self._await, args=(self._sources[number], halt), daemon=True)
            for number in self._absent
        ]
        try:
            for thread in (*threads, *waiting):
                thread.start()
            yield from merged.items(stop, len(threads))
        finally:
            halt.set()
            for thread in (*threads, *waiting):
                thread.join()

    def close(self) -> None:
        """Let go of all; each whatever becomes of the others."""
        with contextlib.ExitStack() as parts:
            for source in reversed(self._opened):
                parts.callback(source.close)
        self._opened = []
        self._absent = {}

    def _await(self, source: LiveSource, halt: threading.Event) -> None:
        """Try a source again and again; when it is there, end all the others for its sake."""
        pause_s = self._first_retry_s
        while not halt.wait(pause_s):
            try:
                source.open()
            except LinkError as error:
                log.debug("%s", error)
                pause_s = min(2 * pause_s, LAST_RETRY_S)
                continue
            except Exception as error:  # it will be said again, and in its place, at the new beginning
                log.debug("%s", error)
            source.close()
            self.more = True
            halt.set()


class _Merged:
    """What several threads read, for one that takes it."""

    def __init__(self, halt: threading.Event) -> None:
        self._halt = halt
        # the plain queue costs a third of the bounded one; _put bounds it
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._room = threading.Event()
        self._failures: list[BaseException] = []

    def read(self, source: LiveSource, halt: threading.Event) -> None:
        """Read one source to its end; None says that it has come. A failure ends all."""
        try:
            for item in source.items(halt):
                self._put(item, halt)
        except Exception as error:  # whatever it is, the one who takes the items must hear of it
            self._failures.append(error)
            self._halt.set()
        finally:
            ended(halt)
            self._queue.put(None)

    def _put(self, item: Item, halt: threading.Event) -> None:
        while self._queue.qsize() >= QUEUE_ITEMS and not halt.is_set():
            self._room.clear()
            self._room.wait(LOOK_S)
        self._queue.put(item)

    def items(self, stop: threading.Event, reading: int) -> Iterator[Item]:
        """Yield until all `reading` threads have ended. Raises the first failure then."""
        while reading:
            if stop.is_set():
                self._halt.set()
            try:
                item = self._queue.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            self._room.set()
            if item is None:
                reading -= 1
            else:
                yield item
        if self._failures:
            raise self._failures[0]


def _add(specs: dict[str, StreamSpec], given: Sequence[StreamSpec]) -> None:
    for spec in given:
        if spec.name in specs:
            raise ConfigError(
                "opening the sources",
                got=f"the stream {spec.name!r} from two of them",
                expected="one source of each stream",
                remedy='Name that of a chip otherwise, stream = "…" under [[source.i2c]], or take it out.',
            )
        specs[spec.name] = spec
