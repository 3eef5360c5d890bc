"""Every thread shows that it makes progress; one that is held up is named, and no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.beats import SLOW_S, WORK_S, Beats, HeardStop
from agent.blocks import Block, RegularClock
from agent.config import Config, OutboxSettings
from agent.pipeline import Item
from agent.service import Service
from agent.sources import LiveSource
from agent.sources.several import SeveralSources
from agent.streams import TABLE, StreamSpec
from agent.uplink import BrokerConfig
from tests.uplink.brokers import Mosquitto

PATIENCE_S = 20.0
ALL = {"source", "pipeline", "recorder", "snippets", "health", "outbox-commit", "uplink", "uplink-network"}


class Clock:
    """Stands still until it is told to jump; knows who has read it since."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._readers: set[str] = set()
        self._read = threading.Condition()

    def __call__(self) -> float:
        with self._read:
            self._readers.add(threading.current_thread().name)
            self._read.notify_all()
            return self._now_s

    def jump(self, by_s: float) -> None:
        with self._read:
            self._now_s += by_s
            self._readers.clear()

    def heard(self, names: set[str]) -> None:
        with self._read:
            heard = self._read.wait_for(lambda: names <= self._readers, PATIENCE_S)
            assert heard, f"not heard of: {names - self._readers}"


class Dripping:
    """A source that gives a second of pressure when asked to, or hangs for good."""

    mount_up: tuple[float, float, float] | None = None

    def __init__(self, stream: str = "pressure") -> None:
        self.stream = stream
        self.drip = threading.Event()
        self.held: threading.Event | None = None

    def open(self) -> tuple[StreamSpec, ...]:
        return (TABLE[self.stream],)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        rate_hz, first = TABLE[self.stream].rate_hz, 0
        while not stop.wait(0.005):
            if self.held is not None:
                self.held.wait()
            if self.drip.is_set():
                self.drip.clear()
                values = np.full((int(rate_hz), 1), 5000.0, np.float32)
                yield Block(self.stream, first, RegularClock.of_rate(rate_hz), values)
                first += len(values)

    def close(self) -> None:
        """Nothing is open."""


class Held:
    """What a thread walks into and does not come out of until it may."""

    def __init__(self) -> None:
        self.armed = False
        self.entered, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, *_: object) -> None:
        if self.armed:
            self.entered.set()
            self.may_go_on.wait()


class Recorder:
    """Writes nothing, and may be held."""

    def __init__(self, held: Held) -> None:
        self.write = held

    def close(self) -> None:
        """Nothing is open."""


class Agent:
    """A whole service on a fast board of beats, with a real broker."""

    def __init__(self, tmp_path: Path, broker: BrokerConfig) -> None:
        self.clock, self.source = Clock(), Dripping()
        self.pipeline_held, self.recorder_held = Held(), Held()
        config = Config(outbox=OutboxSettings(directory=str(tmp_path / "outbox")), broker=broker)
        self.service = Service(
            config,
            self.source,
            make_recorder=lambda *_: Recorder(self.recorder_held),
            on_items=self.pipeline_held,
            beats=Beats(self.clock, rest_s=0.02),
        )
        self.service.start_uplink()
        self.service.start()

    def names(self) -> set[str]:
        return {hang.name for hang in self.service.hanging}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    broker = Mosquitto(tmp_path)
    one = Agent(tmp_path, broker.config())
    try:
        one.clock.heard(ALL)
        yield one
    finally:
        one.pipeline_held.may_go_on.set()
        one.recorder_held.may_go_on.set()
        if one.source.held is not None:
            one.source.held.set()
        one.service.stop(drain_s=0.0)
        broker.kill()


def test_an_agent_that_is_well_hangs_nowhere_however_long_nothing_happens(agent: Agent) -> None:
    for _ in range(3):
        agent.clock.jump(10 * SLOW_S)
        agent.clock.heard(ALL)
        assert agent.service.alive, agent.service.hanging


def hold_the_source(agent: Agent) -> Callable[[], None]:
    agent.source.held = threading.Event()
    return agent.source.held.set


def hold_the_pipeline(agent: Agent) -> Callable[[], None]:
    agent.pipeline_held.armed = True
    agent.source.drip.set()
    assert agent.pipeline_held.entered.wait(PATIENCE_S)
    return agent.pipeline_held.may_go_on.set


def hold_the_recorder(agent: Agent) -> Callable[[], None]:
    agent.recorder_held.armed = True
    agent.source.drip.set()
    assert agent.recorder_held.entered.wait(PATIENCE_S)
    return agent.recorder_held.may_go_on.set


def hold_the_uplink(agent: Agent) -> Callable[[], None]:
    """Hold it where it watches the connection: its lock would hold up the network thread, too."""
    while agent.service.uplink.state != "connected" or agent.service.uplink.stats().inflight:
        settle(agent, ALL)
    settle(agent, ALL)
    uplink, go_on = agent.service.uplink, threading.Event()

    def held(*_: object) -> bool:
        go_on.wait()
        return False

    watch, uplink._watch = uplink._watch, held  # type: ignore[method-assign, assignment]
    with uplink._cond:
        uplink._cond.notify_all()

    def let_go() -> None:
        uplink._watch = watch  # type: ignore[method-assign]
        go_on.set()

    return let_go


HOLDS = {
    "source": hold_the_source,
    "pipeline": hold_the_pipeline,
    "recorder": hold_the_recorder,
    "uplink": hold_the_uplink,
}


@pytest.mark.parametrize("name", HOLDS)
def test_a_thread_that_is_held_up_is_named_and_no_other(agent: Agent, name: str) -> None:
    go_on = HOLDS[name](agent)
    try:
        settle(agent, ALL - {name})
        agent.clock.jump(10 * SLOW_S)
        agent.clock.heard(ALL - {name})
        assert agent.names() == {name}, agent.service.hanging
        assert not agent.service.alive
        assert f"the {name} thread has hung for 1200 s" in str(agent.service.hanging[0])
    finally:
        go_on()
    agent.clock.heard(ALL)
    assert agent.service.alive, f"it goes on, and yet: {agent.service.hanging}"


def test_a_store_whose_lock_is_never_let_go_of_is_noticed(agent: Agent) -> None:
    with agent.service.outbox._lock:
        settle(agent, {"source", "pipeline", "recorder"})
        agent.clock.jump(10 * SLOW_S)
        agent.clock.heard({"source", "pipeline", "recorder"})
        assert "outbox-commit" in agent.names(), agent.service.hanging
    agent.clock.heard(ALL)
    assert agent.service.alive, agent.service.hanging


def settle(agent: Agent, names: set[str]) -> None:
    """Let what is to be held reach the place: the others have gone round twice meanwhile."""
    for _ in range(2):
        agent.clock.jump(0.0)
        agent.clock.heard(names)


def test_a_slow_card_is_no_card_that_hangs() -> None:
    now_s = 0.0
    beats = Beats(lambda: now_s)
    beat = beats.of("outbox-commit")
    beat(SLOW_S)
    now_s = SLOW_S - 1
    assert not beats.hanging()
    now_s = SLOW_S + 1
    assert [str(hang) for hang in beats.hanging()] == [
        "the outbox-commit thread has hung for 121 s: it was to be heard of within 120 s"
    ]
    beat.end()
    assert not beats.hanging(), "a thread that has ended owes nothing"


def test_one_of_several_sources_that_hangs_is_named(tmp_path: Path) -> None:
    clock = Clock()
    beats = Beats(clock, rest_s=0.02)
    one, other = Dripping("pressure"), Dripping("humidity")
    sources: list[LiveSource] = [one, other]
    source, end = SeveralSources(sources), threading.Event()
    source.open()
    reader = threading.Thread(
        target=lambda: list(source.items(HeardStop(end, beats.of("source")))), name="source", daemon=True
    )
    reader.start()
    clock.heard({"source", "source-0", "source-1"})
    other.held = threading.Event()
    for _ in range(2):
        clock.jump(0.0)
        clock.heard({"source", "source-0"})
    clock.jump(WORK_S + 1)
    clock.heard({"source", "source-0"})
    assert [hang.name for hang in beats.hanging()] == ["source-1"]
    other.held.set()
    clock.heard({"source-1"})
    end.set()
    reader.join(PATIENCE_S)
    assert not beats.hanging(), "none is left, and none is missed"


def test_who_waits_to_be_stopped_is_heard_of_and_stopped_at_once() -> None:
    beats = Beats(rest_s=0.01)
    inner = threading.Event()
    stop = HeardStop(inner, beats.of("source"))
    began_s = time.monotonic()
    assert not stop.wait(0.03)
    assert time.monotonic() - began_s >= 0.03
    inner.set()
    assert stop.wait()
    assert stop.is_set()
