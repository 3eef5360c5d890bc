"""What every guided session is to the one who runs it: samples and keys in, a view and a verdict out.

A guide knows no terminal, no clock and no thread: time comes with the samples. So a test plays a whole
session in a moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from agent.calibrating.feed import Chunk
from agent.calibrating.terminal import Person
from agent.calibrating.view import View
from calibration.journal import Journal

WAIT_S = 0.05
UNDO, QUIT, END = "u", "q", "e"


class Feeding(Protocol):
    """What brings samples; `feed.Feed` is one."""

    temperature_degc: float | None

    @property
    def trouble(self) -> str:
        """What keeps samples from coming; empty if nothing."""
        ...

    def take(self) -> Sequence[Chunk]:
        """Return what has come since the last call."""
        ...


class Guide(Protocol):
    """One session with a person."""

    def over(self) -> bool:
        """Whether there is nothing more to do here: ask for the verdict."""
        ...

    @property
    def listening(self) -> bool:
        """Whether it waits for a key, and for nothing else."""
        ...

    def take(self, chunk: Chunk, temperature_degc: float | None) -> list[str]:
        """Take samples; return what happened, a sentence each."""
        ...

    def press(self, key: str) -> list[str]:
        """Take a key; return what happened."""
        ...

    def alone(self) -> bool:
        """Nobody can press a key any more: whether it can go on by itself."""
        ...

    def view(self, trouble: str = "") -> View:
        """Return what is to be seen now."""
        ...


S = TypeVar("S")
H = TypeVar("H")


class Guided(Generic[S, H]):
    """What every guided session keeps: itself, its journal, the hand of a virtual box, what was said.

    ``now``: the wall time for the journal, RFC 3339.
    """

    def __init__(
        self,
        session: S,
        journal: Journal,
        *,
        now: Callable[[], str],
        device: str,
        hand: H | None = None,
        unicode: bool = True,
    ) -> None:
        self.session = session
        self.keys_pressed = 0
        self._journal = journal
        self._rate_hz = journal.head.rate_hz
        self._now = now
        self._device = device
        self._hand = hand
        self._unicode = unicode
        self._over = False
        self._said, self._said_style = "", ""

    def over(self) -> bool:
        """Whether the person said that it is enough."""
        return self._over

    def _say(self, words: str, style: str) -> None:
        self._said, self._said_style = words, style


def converse(
    guide: Guide, feed: Feeding, person: Person, stop: threading.Event, *, hasty: bool = False
) -> bool:
    """Let `person` and samples drive `guide`; return whether it came to its end.

    With `hasty`, Enter is pressed whenever the guide waits for it. Else it is over too when nobody can press
    the key that it needs, on `stop`, and on the key q.
    """
    while not stop.is_set():
        for chunk in feed.take():
            for line in guide.take(chunk, feed.temperature_degc):
                person.tell(line)
        if guide.over():
            return True
        person.show(guide.view(feed.trouble))
        if person.gone and not hasty and not guide.alone():
            return False
        for key in _pressed(guide, person, stop, hasty):
            if key == QUIT:
                return False
            for line in guide.press(key):
                person.tell(line)
    return False


def _pressed(guide: Guide, person: Person, stop: threading.Event, hasty: bool) -> list[str]:
    """Return the keys that count now; takes a moment where there are none."""
    if hasty and guide.listening:
        return ["enter"]
    if not person.gone and (person.eager or guide.listening):
        return person.keys(WAIT_S)
    stop.wait(WAIT_S)
    return []
