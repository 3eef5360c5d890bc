"""Many jobs, done by whoever does them, told of in their order.

jobs ──► a hand: this process · workers of this machine · a cluster ──► outcomes, in the order of the jobs
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.records import Record
from agent.replay.job import Job, Outcome, outcome_of
from agent.replay.runner import Interrupted

Hears = Callable[[int, Outcome], None]
Bar = Callable[[int, float], None]


class Hand(Protocol):
    """Whoever does jobs: it calls back with the place of each that is done, in any order, once."""

    def __call__(self, jobs: Sequence[Job], stop: threading.Event, hears: Hears, bar: Bar) -> None:
        """Return when all are done. Raises Interrupted once `stop` is set, FourPartError."""


def in_order(hand: Hand, jobs: Sequence[Job], *, stop: threading.Event, told: Hears, bar: Bar) -> None:
    """Have the jobs done; `told` hears of each when all before it are done, `bar` at once."""
    waiting: dict[int, Outcome] = {}
    turn = 0

    def hears(place: int, outcome: Outcome) -> None:
        nonlocal turn
        waiting[place] = outcome
        bar(place, 1.0)
        while turn in waiting:
            told(turn, waiting.pop(turn))
            turn += 1

    hand(jobs, stop, hears, bar)


class Here:
    """One after the other, in this process; `on_records` sees the records as they come."""

    def __init__(self, on_records: Callable[[Sequence[Record]], None] = lambda _: None) -> None:
        self._on_records = on_records

    def __call__(self, jobs: Sequence[Job], stop: threading.Event, hears: Hears, bar: Bar) -> None:
        """Do them."""
        for place, job in enumerate(jobs):

            def progress(part: float, place: int = place) -> None:
                bar(place, part)

            outcome = outcome_of(job, stop=stop, on_progress=progress, on_records=self._on_records)
            if outcome.interrupted or stop.is_set():
                raise Interrupted
            hears(place, outcome)
