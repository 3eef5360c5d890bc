"""A killed process, a new one, then the power: what the new one handed out is not lost."""

from __future__ import annotations

from pathlib import Path

from agent.outbox import Outbox
from tests.outbox.samples import NEVER_S, records, seqs_after, seqs_taken
from tests.outbox.shaky_disk import LosingDisk


def the_worst(low: int, high: int) -> int:
    """Keep as little of a file as may be; lose each name that may be lost."""
    return low if high > 1 else high


def test_what_is_read_again_is_made_durable_first(tmp_path: Path) -> None:
    disk = LosingDisk()
    killed = Outbox(tmp_path / "a", commit_window_s=NEVER_S, disk=disk)
    killed.put(records(range(5)))
    disk = disk.after_kill(tmp_path / "a", tmp_path / "b")
    killed.close()
    with Outbox(tmp_path / "b", commit_window_s=NEVER_S, disk=disk) as outbox:
        assert seqs_taken(outbox) == [0, 1, 2, 3, 4]
        disk.cut_into(tmp_path / "c", tmp_path / "b", the_worst)
    assert seqs_after(tmp_path / "c") == [0, 1, 2, 3, 4]
