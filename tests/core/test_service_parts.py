"""The agent's parts: an alarm waits for no recording; in the end each is closed, whatever the others do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.config import Config, OutboxSettings
from agent.errors import LogFileError
from agent.outbox import Outbox
from agent.pipeline import Item
from agent.service import Service
from agent.streams import TABLE, StreamSpec


class Quiet:
    """A source that gives nothing until it is told to stop."""

    mount_up: tuple[float, float, float] | None = None

    def open(self) -> tuple[StreamSpec, ...]:
        return (TABLE["pressure"],)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        stop.wait()
        nothing: list[Block] = []
        yield from nothing

    def close(self) -> None:
        raise full_card("source")


class FullCard:
    """A recorder on a card that is full."""

    def write(self, item: Item) -> None:
        raise full_card("recorder")

    def close(self) -> None:
        raise full_card("recorder")


def full_card(part: str) -> LogFileError:
    return LogFileError(f"closing the {part}", got="a full card", expected="room", remedy="Make some.")


def test_a_part_that_cannot_be_closed_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(outbox=OutboxSettings(directory=str(tmp_path / "outbox")))
    service = Service(config, Quiet(), make_recorder=lambda *_: FullCard())
    service.start_uplink()
    service.start()
    service.stop(drain_s=0.0)
    told = [r.getMessage() for r in caplog.records if "a full card" in r.getMessage()]
    assert len(told) == 2, told
    assert service.uplink.state == "stopped"
    Outbox(tmp_path / "outbox").close()  # its lock was let go of


class Swing(Quiet):
    """A source whose pressure jumps by more than the limit after a second."""

    def items(self, stop: threading.Event) -> Iterator[Item]:
        rate_hz = TABLE["pressure"].rate_hz
        values = np.full((int(2 * rate_hz), 1), 5000.0, np.float32)
        values[int(rate_hz) :] += 4500.0
        yield Block("pressure", 0, RegularClock.of_rate(rate_hz), values)
        stop.wait()

    def close(self) -> None:
        """Close without a word."""


class SlowCard:
    """A recorder whose card takes as long as the test lets it."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.written: list[Item] = []

    def write(self, item: Item) -> None:
        self.may_go_on.wait()
        self.written.append(item)

    def close(self) -> None:
        """Close without a word."""


def test_an_alarm_does_not_wait_for_the_recording_which_is_whole_in_the_end(tmp_path: Path) -> None:
    config = Config(outbox=OutboxSettings(directory=str(tmp_path / "outbox")))
    card, alarmed = SlowCard(), threading.Event()
    service = Service(
        config,
        Swing(),
        make_recorder=lambda *_: card,
        on_records=lambda records: alarmed.set() if any(r.urgent for r in records) else None,
    )
    service.start()
    try:
        assert alarmed.wait(20), "no alarm while the recorder's card was busy"
        assert not card.written
    finally:
        card.may_go_on.set()
        service.stop(drain_s=0.0)
    assert [item.stream for item in card.written if isinstance(item, Block)] == ["pressure"]
