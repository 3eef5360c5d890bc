"""The recording of a live run, on a thread of its own: no alarm waits for it, and it waits for the card.

What is handed over is bounded by items: a card that is slow for long holds the one who hands over back, as it
would without a thread, but not for longer than two seconds. A card that is too slow, or refuses, ends the
recording, and nothing else. A ring (``agent.recorder.ring``) holds nobody back and does not end: what there
is no place for is skipped, and told of.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from agent.beats import SLOW_S, Beats
from agent.errors import FourPartError, LogFileError
from agent.pipeline import Item

log = logging.getLogger("cargobox")

MOST_ITEMS = 4096  # ten seconds of a busy box
WAIT_S = 1.0
PATIENCE_S = 2.0
"""No alarm waits longer for a recording: a card that is too slow for it ends it."""


class Recorder(Protocol):
    """What a recording looks like from here."""

    def write(self, item: Item) -> None:
        """Take one item of the source."""

    def close(self) -> None:
        """Finish the file."""


class Recording:
    """Hands items from the pipeline's thread to the recorder's, which is `run`."""

    def __init__(
        self,
        recorder: Recorder,
        beats: Beats,
        *,
        name: str = "recorder",
        skipped: Callable[[Sequence[Item]], None] | None = None,
    ) -> None:
        """`skipped`: told of what there is no place for; without it, the recording ends there."""
        self.name = name
        self._recorder: Recorder | None = recorder
        self._beats = beats
        self._skipped = skipped
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._room = threading.Event()
        self._is_too_slow = False

    def hand_over(
        self, items: Sequence[Item], beat: Callable[[], None], given_up: Callable[[], bool]
    ) -> None:
        """Queue items; wait while there is no room, as long as nobody has given up."""
        if self._recorder is None or self._is_too_slow:
            return
        if self._skipped is not None:
            if self._items.qsize() >= MOST_ITEMS:
                self._skipped(items)
                return
            self._put(items)
            return
        until_s = time.monotonic() + PATIENCE_S
        while self._items.qsize() >= MOST_ITEMS and not self._is_too_slow and not given_up():
            beat()
            self._room.clear()
            self._room.wait(WAIT_S)
            if time.monotonic() >= until_s and self._items.qsize() >= MOST_ITEMS:
                self._is_too_slow = True
                log.error("%s", _too_slow())
        if not self._is_too_slow:
            self._put(items)

    def _put(self, items: Sequence[Item]) -> None:
        for item in items:
            self._items.put(item)

    def tell(self, word: Any) -> None:
        """Queue something that is no sample, whatever waits there: the recorder must know of it."""
        self._items.put(word)

    def no_more(self) -> None:
        """Say that all was handed over."""
        self._items.put(None)

    def run(self) -> None:
        """Write what comes, until there is no more."""
        beat = self._beats.of(self.name)
        while True:
            beat(SLOW_S)
            try:
                item = self._items.get(timeout=self._beats.rest_s)
            except queue.Empty:
                self._rest()
                continue
            if item is None:
                beat.end()
                return
            self._room.set()
            if self._recorder is None:
                continue
            if self._is_too_slow:
                self.close()
                continue
            try:
                self._recorder.write(item)
            except FourPartError as error:
                log.error("%s", error)
                recorder, self._recorder = self._recorder, None
                if recorder is not None:
                    closed(recorder, said=str(error))

    def _rest(self) -> None:
        """Nothing has come for a while."""

    def close(self) -> None:
        """Finish the file; one that cannot even be finished is told of and holds up nothing."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            closed(recorder)


def _too_slow() -> LogFileError:
    return LogFileError(
        "recording",
        got=f"a card that did not take what was measured: {MOST_ITEMS} pieces waited for {PATIENCE_S:g} s",
        expected="one that is faster than the sensors",
        remedy="The recording ends here; what it has can be replayed. Record to a faster card.",
    )


class Closable(Protocol):
    """Part of the agent that is closed at its end."""

    def close(self) -> None: ...  # noqa: D102


def closed(part: Closable, *, said: str = "") -> None:
    """Close a part of the agent; one that cannot even be closed is told of, once, and holds up nothing."""
    try:
        part.close()
    except FourPartError as error:
        if str(error) != said:
            log.error("%s", error)
