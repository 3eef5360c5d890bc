"""The real agent on a card that is maltreated, a real broker, and what is measured of both meanwhile."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt

from agent.records import Kind
from agent.timebase import wall_ns_of
from tests.live.processes import Running, command
from tests.live.watcher import Message, Watcher

WATCHDOG_S = 10.0
"""What the unit would allow; the agent is to be heard of twice as often."""
LOOK_S = 0.05
PATIENCE_S = 180.0
"""No state of a card is waited in for longer."""


class TimedWatcher(Watcher):
    """A subscriber that notes when each record came first."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.came_s: dict[tuple[str, int], float] = {}

    def _take(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        came = Message(message.topic, bytes(message.payload), message.qos, message.retain)
        if came.kind not in (*Kind, "status"):
            return  # orders and their answers
        if came.kind != "status":
            self.came_s.setdefault((came.body["boot"], came.body["seq"]), time.time())
        super()._take(client, data, message)


class Heard:
    """What systemd would hear of the agent: a socket of our own in its place."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(LOOK_S)
        self._stop = threading.Event()
        self.beats_s: list[float] = []
        self.states: list[str] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                said = self._socket.recv(4096).decode()
            except TimeoutError:
                continue
            if "WATCHDOG=1" in said:
                self.beats_s.append(time.time())
            else:
                self.states.append(said)

    def longest_s(self, begin_s: float, end_s: float) -> float:
        """Return the longest silence between two times."""
        beats_s = [begin_s, *(b for b in self.beats_s if begin_s < b < end_s), end_s]
        return max(after - before for before, after in itertools.pairwise(beats_s))

    def close(self) -> None:
        """Listen no more."""
        self._stop.set()
        self._thread.join()
        self._socket.close()


@dataclass
class Phase:
    """A stretch of the ride, between two times of the wall clock."""

    name: str
    begin_s: float
    end_s: float = 0.0
    alarms: int = 0
    """Made meanwhile."""
    left: int = 0
    """Of them, arrived before it was over."""
    slowest_ms: float = 0.0
    """From the alarm's making to its arrival, the worst of those."""
    late_ms: list[float] = field(default_factory=list)
    """Of each of them."""
    silence_s: float = 0.0
    """Longest without a beat for the watchdog."""
    memory_mib: float = 0.0
    """The most that the agent held."""

    def line(self) -> str:
        """Say it on a line."""
        return (
            f"{self.name}, {self.end_s - self.begin_s:.0f} s: {self.alarms} alarms made, {self.left} arrived "
            f"meanwhile, the slowest after {self.slowest_ms:.0f} ms; longest without a beat "
            f"{self.silence_s:.1f} s of {WATCHDOG_S:g}; memory at most {self.memory_mib:.0f} MiB"
        )


class Ride:
    """`cargobox run` inside the ``with``, and what it did."""

    def __init__(self, folder: Path, config: Path, watcher: TimedWatcher, *options: object) -> None:
        self.watcher = watcher
        self.phases: list[Phase] = []
        self.heard = Heard(folder)
        self.agent = Running(
            command("run", "--config", config, "--json", *options),
            NOTIFY_SOCKET=str(self.heard.path),
            WATCHDOG_USEC=str(round(WATCHDOG_S * 1e6)),
        )
        self.document: dict[str, Any] = {}
        self.status = -1

    def __enter__(self) -> Self:
        self.boot = self.agent.wait_line("reading .*; boot").rpartition(" ")[2]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.agent.__exit__(kind, error, trace)
        self.heard.close()
        self.heard.path.unlink(missing_ok=True)

    def phase(self, name: str, until: Callable[[Phase], bool]) -> Phase:
        """Let time pass until a condition holds, and measure meanwhile."""
        phase = Phase(name, time.time())
        self.phases.append(phase)
        while True:
            assert self.agent.process.poll() is None, f"the agent has ended:\n{self.agent.err}"
            phase.memory_mib = max(phase.memory_mib, self._memory_mib())
            phase.end_s = time.time()
            self._judge(phase)
            if until(phase):
                return phase
            assert phase.end_s - phase.begin_s < PATIENCE_S, f"{phase.line()}: for ever\n{self.agent.err}"
            time.sleep(LOOK_S)

    def end(self) -> None:
        """End it in order."""
        self.status = self.agent.end(signal.SIGTERM)
        assert self.status == 0, self.agent.err
        self.document = self.agent.document

    def made(self) -> int:
        """Return how many records the agent numbered; it has ended."""
        return sum(self.document["records"].values())

    def _judge(self, phase: Phase) -> None:
        alarms = self.watcher.of("alarm", boot=self.boot)
        made = [(wall_ns_of(m.body["t"]) / 1e9, m.body["seq"]) for m in alarms]
        mine = [(t_s, seq) for t_s, seq in made if phase.begin_s <= t_s <= phase.end_s]
        phase.alarms = len(mine)
        late_s = [self.watcher.came_s[self.boot, seq] - t_s for t_s, seq in mine]
        phase.left = sum(t_s + late <= phase.end_s for (t_s, _), late in zip(mine, late_s, strict=True))
        phase.late_ms = [1000 * late for late in late_s]
        phase.slowest_ms = max(phase.late_ms, default=0.0)
        phase.silence_s = self.heard.longest_s(phase.begin_s, phase.end_s)

    def settle(self) -> None:
        """Judge all phases anew: alarms may have come after the phase in which they were made."""
        for phase in self.phases:
            self._judge(phase)

    def _memory_mib(self) -> float:
        pages = Path(f"/proc/{self.agent.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@dataclass
class Account:
    """Where each number of a boot is."""

    made: int
    arrived: int
    twice: int
    stood_for: int
    """In a thinned record's ``seqs``."""
    told: int
    """In a gap record as not kept."""
    holes: list[int] = field(default_factory=list)

    def line(self) -> str:
        """Say it on a line."""
        return (
            f"{self.made} records made: {self.arrived} arrived ({self.twice} of all came twice), "
            f"{self.stood_for} stood for by thinned ones, {self.told} told of by gap records, "
            f"holes: {len(self.holes)}"
        )


def account(messages: Iterable[dict[str, Any]], boot: str, made: int, twice: int) -> Account:
    """Return where the numbers 0 to `made` - 1 of a boot are, by the documents that arrived."""
    arrived: set[int] = set()
    stood_for: set[int] = set()
    told: set[int] = set()
    for body in messages:
        if body["boot"] == boot:
            arrived.add(body["seq"])
            if "window_s" in body:
                stood_for.update(_numbers(body.get("seqs", ())))
        if body.get("of") == boot:
            told.update(_numbers(body.get("seqs", ())))  # that of a recording has none
    stood_for -= arrived
    told -= arrived | stood_for
    holes = sorted(set(range(made)) - arrived - stood_for - told)
    return Account(made, len(arrived), twice, len(stood_for), len(told), holes)


def _numbers(runs: Iterable[tuple[int, int]]) -> Iterable[int]:
    for first, last in runs:
        yield from range(first, last + 1)
