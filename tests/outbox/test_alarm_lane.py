"""What an alarm waits for in the outbox: its own sync, and nothing else."""

from __future__ import annotations

from pathlib import Path

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
