"""Between the box and the guide: what comes, what is missing, what is complained of; and who presses what."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.calibrating.feed import Chunk, Feed
from agent.calibrating.guide import converse
from agent.calibrating.terminal import InPipe, person
from agent.config import Config
from agent.errors import UsageError
from agent.sources import Item
from agent.streams import TABLE, StreamSpec
from firmware_bridge.errors import LinkError
from tests.commands.calibrating import (
    Scripted,
    Stage,
    accel_guide,
    accel_head,
    journal_at,
    load_guide,
    load_head,
)

CLOCK = RegularClock.of_rate(1000.0)


class Cable:
    """A source that gives these items and then what it is told to."""

    mount_up: tuple[float, float, float] | None = None

    def __init__(self, items: list[Item], failure: Exception | None = None) -> None:
        self._items = items
        self._failure = failure
        self.given = threading.Event()
        self.closed = False

    def open(self) -> tuple[StreamSpec, ...]:
        return (TABLE["accel"], TABLE["temperature"])

    def items(self, stop: threading.Event) -> Iterator[Item]:
        yield from self._items
        self.given.set()
        if self._failure is not None:
            raise self._failure
        stop.wait()

    def close(self) -> None:
        self.closed = True


def block(first: int, n: int = 10) -> Block:
    return Block("accel", first, CLOCK, np.full((n, 3), first, np.int16))


def test_samples_arrive_with_their_times_their_gaps_and_the_temperature() -> None:
    warm = Block("temperature", 0, RegularClock.of_rate(1.0), np.array([[21.5]], np.float32))
    cable = Cable([block(0), warm, block(10), block(50)])
    with Feed(cable, Config(), "accel") as feed:
        assert cable.given.wait(30)
        chunks = feed.take()
        assert [(round(c.t_s, 3), len(c.raw), c.after_gap) for c in chunks] == [
            (0.0, 10, False),
            (0.01, 10, False),
            (0.05, 10, True),
        ]
        assert feed.temperature_degc == 21.5
        assert feed.take() == []
        assert feed.trouble == ""
    assert cable.closed


def test_what_ends_the_source_reaches_who_takes_after_the_last_sample() -> None:
    lost = LinkError("serial port", got="it is gone", expected="a port", remedy="Plug it in.")
    cable = Cable([block(0)], lost)
    with Feed(cable, Config(), "accel") as feed:
        assert cable.given.wait(30)
        assert len(feed.take()) == 1
        with pytest.raises(LinkError, match="it is gone"):
            for _ in range(1000):
                assert feed.take() == []
                threading.Event().wait(0.01)


def test_a_stream_that_is_not_there_is_named_and_the_port_let_go() -> None:
    cable = Cable([])
    with (
        pytest.raises(UsageError, match=r"looking for 'acel'.*did you mean 'accel'"),
        Feed(cable, Config(), "acel"),
    ):
        pass
    assert cable.closed


def test_complaints_go_to_the_screen_and_not_through_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.calibrating.feed.QUIET_S", 0.0)
    with Feed(Cable([]), Config(), "accel") as feed:
        logging.getLogger("firmware_bridge.link").warning("serial port: it went away")
        assert "serial port: it went away" in feed.trouble
        assert "Nothing has come" in feed.trouble
        assert not caplog.records
    logging.getLogger("firmware_bridge.link").warning("afterwards as ever")
    assert [r.getMessage() for r in caplog.records] == ["afterwards as ever"]


def test_pieces_have_the_times_of_their_samples() -> None:
    raw = np.arange(30).reshape(10, 3)
    parts = list(Chunk(5.0, raw, raw.astype(float), True).parts(100.0, 0.04))
    assert [(p.t_s, len(p.raw), p.after_gap) for p in parts] == [
        (5.0, 4, True),
        (5.04, 4, False),
        (5.08, 2, False),
    ]


# --- who presses what ---


class Staged:
    """The bench as what brings samples: a second whenever somebody takes."""

    temperature_degc: float | None = 20.0
    trouble = ""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def take(self) -> list[Chunk]:
        return list(self._stage.second())


def test_lines_that_were_written_before_answer_one_question_each(tmp_path: Path) -> None:
    stage = Stage("load")
    reading, writing = os.pipe()
    os.write(writing, b"\n\n\nu\n\nq\n")
    with journal_at(tmp_path, load_head(stage)) as journal, open(os.devnull, "w") as nowhere:
        with InPipe(reading, nowhere) as who:
            ended = converse(load_guide(stage, journal), Staged(stage), who, threading.Event())
        kept = [(step.kind, step.place) for step in journal.steps]
    os.close(reading)
    os.close(writing)
    assert not ended, "q leaves it"
    assert kept == [("zero", "centre"), ("span up", "centre"), ("zero", "centre")], (
        "three, one back, one again"
    )


def test_the_end_of_the_pipe_ends_what_needs_a_hand_and_keeps_what_was_taken(tmp_path: Path) -> None:
    stage = Stage("load")
    with journal_at(tmp_path, load_head(stage)) as journal:
        who = Scripted(["enter", "enter"])
        assert not converse(load_guide(stage, journal), Staged(stage), who, threading.Event())
        assert len(journal.steps) == 2, who.heard


def test_pressed_by_itself_it_comes_to_its_end_with_nobody_there(tmp_path: Path) -> None:
    stage = Stage("accel")
    with journal_at(tmp_path, accel_head(stage)) as journal:
        who = Scripted([])
        assert converse(accel_guide(stage, journal), Staged(stage), who, threading.Event(), hasty=True)
        assert len(journal.steps) >= 10
        assert who.shown > 10


def test_a_pipe_is_no_terminal() -> None:
    with open(os.devnull) as nothing, open(os.devnull, "w") as nowhere:
        assert isinstance(person(keys_fd=nothing.fileno(), out=nowhere), InPipe)
