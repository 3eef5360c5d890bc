"""The end of the agent: each part is closed, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.blocks import Block
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
