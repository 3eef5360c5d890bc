"""What an alarm waits for in the outbox: its own sync, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.outbox import Outbox
from agent.outbox.files import Disk
from agent.records import Kind
from tests.outbox.samples import NEVER_S, record, records


class Watched(Disk):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def sync(self, fd: int) -> None:
        self.asked.append("sync")
        super().sync(fd)

    def remove(self, path: Path) -> None:
        self.asked.append("remove")
        super().remove(path)


def test_files_that_are_done_with_are_not_removed_while_an_alarm_waits(tmp_path: Path) -> None:
    disk = Watched()
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=2000, disk=disk) as outbox:
        outbox.put(records(range(60)))
        outbox.flush()
        outbox.acknowledge([waiting.doc_id for waiting in outbox.take(60, timeout_s=0)])
        assert outbox.stats().segments > 2, "there is something to remove"
        disk.asked.clear()
        outbox.put([record(60, Kind.ALARM)])
        assert disk.asked.count("sync") >= 1
        assert "remove" not in disk.asked, disk.asked
        (alarm,) = outbox.take(10, timeout_s=0)
        assert alarm.seq == 60
        outbox.put([record(61)])
        outbox.flush()
        assert "remove" in disk.asked


@pytest.mark.parametrize("kind", [Kind.ALARM, Kind.FEATURES])
def test_the_card_begins_with_an_alarm_before_it_is_asked_to_end(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noted(name: str) -> Callable[..., object]:
        call = getattr(os, name)

        def note(*arguments: object) -> object:
            asked.append(name)
            return call(*arguments)

        return note

    for name in ("posix_fadvise", "fdatasync"):
        monkeypatch.setattr(os, name, noted(name))
    with Outbox(tmp_path, commit_window_s=NEVER_S) as outbox:
        outbox.put([record(0, kind)])  # the first writes the zeros ahead
        outbox.flush()
        asked.clear()
        outbox.put([record(1, kind), record(2, kind)])
        outbox.flush()
        begun = [] if kind is Kind.FEATURES else ["posix_fadvise"]  # what can wait is to fill its page first
        assert asked == [*begun, "fdatasync"]
