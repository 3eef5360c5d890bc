"""Alarm time in trouble, by turns with quiet stretches of the same run, as `scripts.benches.alarms` has it.

*Flooded*: somebody who may publish sends wrong orders to the box as fast as the broker takes them. *Coder
stopped*: the process in which snippets are coded is, as one that hangs would be (SIGSTOP), and goes on again.

What bare paho needs beside it says how much of a ratio is the machine's: whoever floods, the broker and all
who listen share its cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from agent.orders.keys import public_pem
from scripts.benches import alarms
from scripts.benches.alarm_trip import AlarmTrip
from scripts.benches.figures import Figure
from scripts.benches.turns import NS_PER_S, Flooder, Turns, by_turns
from tests.orders.fire import BOX, ORDERS
from tests.orders.signing import PUBLIC

TOPICS = ("cargobox/+/+/+/alarm", "bare/#")  # not the flood
DONE = "done"


def flooded(args: argparse.Namespace) -> list[Figure]:
    """Measure beside a flood of orders."""
    sent = [0]

    @contextlib.contextmanager
    def trouble(running: alarms.Running) -> Iterator[Turns]:
        with Flooder(running.broker.port, BOX) as flooder:
            with by_turns(flooder) as turns:
                yield turns
            sent[0] = flooder.sent

    name = "flooded"
    measured = _measure(name, args.alarms, trouble, more=ORDERS, files={"key.pub": public_pem(PUBLIC)})
    told = re.findall(r"orders: since the start (.*)", measured.said)
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", told[-1] if told else "")}
    refused = sum(count for word, count in counts.items() if word != DONE)
    return [
        *measured.figures,
        Figure(f"{name}: wrong orders sent a second", sent[0] / measured.seconds, ""),
        Figure(f"{name}: of them refused and counted", refused, "", at_least=1),
        Figure(f"{name}: done beside the one good one", counts.get(DONE, 0) - 1, "", at_least=0, at_most=0),
    ]


def coder_stopped(args: argparse.Namespace) -> list[Figure]:
    """Measure while the process that codes snippets is stopped."""
    stopped = [0]

    @contextlib.contextmanager
    def trouble(running: alarms.Running) -> Iterator[Turns]:
        def stop(on: bool) -> None:
            for pid in coders_of(running.agent_pid):
                stopped[0] += on
                os.kill(pid, signal.SIGSTOP if on else signal.SIGCONT)

        try:
            with by_turns(stop) as turns:
                yield turns
        finally:
            stop(False)

    name = "coder stopped"
    measured = _measure(name, args.alarms, trouble)
    return [*measured.figures, Figure(f"{name}: times", stopped[0], "", at_least=1)]


def coders_of(agent_pid: int) -> list[int]:
    """Return the processes that code snippets for an agent."""
    found = []
    for task in Path(f"/proc/{agent_pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(FileNotFoundError):
                if b"agent.snippet_child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it; `seconds`: of trouble."""

    figures: list[Figure]
    seconds: float
    said: str


def _measure(
    name: str,
    count: int,
    trouble: Callable[[alarms.Running], AbstractContextManager[Turns]],
    *,
    more: str = "",
    files: Mapping[str, str] = MappingProxyType({}),
) -> Measured:
    trip = AlarmTrip()
    seen: list[Turns] = []

    @contextlib.contextmanager
    def noted(running: alarms.Running) -> Iterator[None]:
        with trouble(running) as turns:
            seen.append(turns)
            yield

    travel = alarms.travelled(trip, count, more=more, trouble=noted, files=files, topics=TOPICS)
    (turns,) = seen
    figures, at = [], {}
    for when, wanted in (("quiet", False), (name, True)):
        times = alarms.timed(trip, travel, turns.when(wanted))
        some = [one for each in times.alarms.values() for one in each]
        figures.append(Figure(f"{name}: alarms timed, {when}", len(some), "", at_least=1))
        for point, percent in (("p50", 50), ("p99", 99), ("max", 100)):
            at[when, point] = alarms.at(some, percent)
            at[f"bare {when}", point] = alarms.at(times.bare, percent)
            figures.append(Figure(f"{name}: alarm time, {when}, {point}", at[when, point], "ms"))
            bare_ms = at[f"bare {when}", point]
            figures.append(Figure(f"{name}: bare paho, {when}, {point}", bare_ms, "ms"))
    for who, label in (("", "alarm time"), ("bare ", "bare paho")):
        for point in ("p50", "p99", "max"):
            ratio = at[f"{who}{name}", point] / at[f"{who}quiet", point]
            figures.append(Figure(f"{name}: {label}, {point} to quiet {point}", ratio, "×", "the same run"))
    changed = alarms.timed(trip, travel, turns.when(None))
    first = [one for each in changed.alarms.values() for one in each]
    figures.append(
        Figure(f"{name}: alarm time, half a second after each change, max", alarms.at(first, 100), "ms")
    )
    seconds = sum(end - begin for begin, end in turns.spans) / NS_PER_S
    return Measured(figures, seconds, travel.said)
