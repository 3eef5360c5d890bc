"""Several sources as one: nothing is lost or exchanged, all end together, and an absent box is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.cli import main
from agent.commands import run as run_verb
from agent.config import Config
from agent.errors import ConfigError, UsageError
from agent.sources import Item
from agent.sources.several import SeveralSources
from agent.streams import TABLE, StreamSpec
from firmware_bridge.errors import PortError

LIMIT_S = 60.0  # nobody waits so long unless something is wrong
Vector = tuple[float, float, float]


def absent() -> PortError:
    return PortError("serial port", got="there is no such port", expected="one", remedy="Plug it in.")


def block(stream: str, first: int) -> Block:
    return Block(
        stream, first, RegularClock.of_rate(100), np.full((1, len(TABLE[stream].axes)), first, np.int32)
    )


class Fake:
    """A source that gives so many blocks, and then waits to be stopped, or fails."""

    def __init__(
        self,
        stream: str,
        blocks: int = 0,
        *,
        fails: Exception | None = None,
        absent_times: int = 0,
        mount_up: Vector | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.stream = stream
        self.mount_up = mount_up
        self.opened = self.closed = 0
        self.stopped = threading.Event()
        self._blocks = blocks
        self._fails = fails
        self._absent_times = absent_times
        self._told = told

    def open(self) -> tuple[StreamSpec, ...]:
        if self._absent_times:
            self._absent_times -= 1
            raise absent()
        self.opened += 1
        self._told(f"{self.stream} opened")
        return (TABLE[self.stream],)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        for first in range(self._blocks):
            yield block(self.stream, first)
        if self._fails is not None:
            raise self._fails
        assert stop.wait(LIMIT_S), "nobody said that it is over"
        yield block(self.stream, self._blocks)
        self.stopped.set()

    def close(self) -> None:
        self.closed += 1


def firsts(items: Sequence[Item], stream: str) -> list[int]:
    return [item.first for item in items if isinstance(item, Block) and item.stream == stream]


def test_all_that_comes_comes_in_its_order() -> None:
    sources = [Fake("accel", 5000), Fake("load", 5000), Fake("temperature", 10)]
    several = SeveralSources(sources)
    assert [spec.name for spec in several.open()] == ["accel", "load", "temperature"]
    stop = threading.Event()
    items: list[Item] = []
    for item in several.items(stop):
        items.append(item)
        if len(items) == 10_010:
            stop.set()
    several.close()
    assert firsts(items, "accel") == firsts(items, "load") == list(range(5001))
    assert firsts(items, "temperature") == list(range(11)), "what a source still gives at the end is taken"
    assert [(s.opened, s.closed) for s in sources] == [(1, 1)] * 3


def test_one_that_fails_ends_all() -> None:
    broken = ZeroDivisionError("none left")
    sources = [Fake("accel", 3), Fake("load", 2, fails=broken)]
    several = SeveralSources(sources)
    several.open()
    with pytest.raises(ZeroDivisionError, match="none left"):
        list(several.items(threading.Event()))
    assert sources[0].stopped.is_set()


def test_what_came_before_a_failure_is_given_first() -> None:
    several = SeveralSources([Fake("accel", 3), Fake("load", 200, fails=ZeroDivisionError())])
    several.open()
    items: list[Item] = []
    with pytest.raises(ZeroDivisionError):
        for item in several.items(threading.Event()):
            items.append(item)  # a comprehension would lose what came
    assert firsts(items, "load") == list(range(200))
    assert firsts(items, "accel") == list(range(4))


def test_one_who_takes_no_more_leaves_nobody_behind() -> None:
    sources = [Fake("accel", 10_000), Fake("load", 10_000)]
    several = SeveralSources(sources)
    several.open()
    items = several.items(threading.Event())
    next(items)
    before = threading.active_count()
    items.close()  # type: ignore[attr-defined]  # it is a generator
    assert threading.active_count() == before - 2


def test_a_stream_that_two_give_is_refused_and_nothing_stays_open() -> None:
    sources = [Fake("accel"), Fake("accel")]
    with pytest.raises(ConfigError, match="the stream 'accel' from two of them"):
        SeveralSources(sources).open()
    assert [s.closed for s in sources] == [1, 1]


def test_up_is_what_the_first_says_that_knows() -> None:
    several = SeveralSources([Fake("accel"), Fake("load", mount_up=(0.0, 1.0, 0.0)), Fake("lid")])
    several.open()
    assert several.mount_up == (0.0, 1.0, 0.0)


def test_without_waiting_an_absent_box_is_an_error() -> None:
    sources = [Fake("load"), Fake("accel", absent_times=1)]
    with pytest.raises(PortError):
        SeveralSources(sources).open()
    assert sources[0].closed == 1


def test_where_all_are_absent_nothing_can_be_read() -> None:
    with pytest.raises(PortError):
        SeveralSources([Fake("accel", absent_times=1)], wait=True).open()


def test_an_absent_box_is_waited_for_while_the_others_are_read() -> None:
    box, bus = Fake("accel", absent_times=3), Fake("load", 5)
    several = SeveralSources([box, bus], wait=True, first_retry_s=0.001)
    assert [spec.name for spec in several.open()] == ["load"]
    assert several.waits_for is not None and several.waits_for.got == "there is no such port"
    items = list(several.items(threading.Event()))
    assert several.more, "it ended, and not because the box had come"
    assert firsts(items, "load") == list(range(6))
    assert (box.opened, box.closed) == (1, 1), "the port is free for the new beginning"
    several.close()


class Recorded:
    """What the agent was told: a run with sources of ours, and an outbox in a folder of its own."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[SeveralSources]) -> None:
        self.told: list[str] = []
        self.config = tmp_path / "cargobox.toml"
        self.config.write_text('[outbox]\ndirectory = "outbox"\n[broker]\nport = 1\n')
        monkeypatch.setattr(run_verb, "source_of", lambda *_, **__: made.pop(0))
        monkeypatch.setattr(run_verb, "notify", self.told.append)
        monkeypatch.setattr("agent.service.DRAIN_S", 0.0)
        monkeypatch.setattr("agent.commands.run.signal.signal", lambda *_: None)


def test_the_agent_begins_anew_with_all_when_the_box_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = ZeroDivisionError("the end of this test")
    first = SeveralSources([Fake("accel", absent_times=2), Fake("load", 5)], wait=True, first_retry_s=0.001)
    second = SeveralSources([Fake("accel", 7), Fake("load", 5, fails=failing)], wait=True)
    agent = Recorded(tmp_path, monkeypatch, [first, second])
    assert main(["run", "--config", str(agent.config), "--wait", "--json"]) == 1
    states = [line for line in agent.told if "STATUS" in line or "STOPPING" in line]
    assert states == [
        "READY=1\nSTATUS=reading without the box, which it waits for: there is no such port",
        "READY=1\nSTATUS=reading the box",
        "STOPPING=1",
    ]
    out = capsys.readouterr().out
    assert '"accel": {"samples": 8' in out and "the end of this test" in out


def test_a_further_recording_takes_the_next_free_name(tmp_path: Path) -> None:
    asked = tmp_path / "trip.mcap"
    assert run_verb.numbered(asked, 1) == asked
    assert run_verb.numbered(asked, 2) == tmp_path / "trip-2.mcap"
    (tmp_path / "trip-2.mcap").write_bytes(b"")
    assert run_verb.numbered(asked, 2) == tmp_path / "trip-3.mcap"
    with pytest.raises(UsageError):
        run_verb.recorder_factory(tmp_path / "trip.csv", Config())


def test_who_is_asked_to_end_does_not_begin_anew() -> None:
    ending = run_verb.Ending(None)
    ending.stop.set()
    ending.begin_anew()
    assert not ending.stop.is_set()
    ending.ask()
    ending.begin_anew()
    assert ending.stop.is_set()
