"""What comes between two steps of making room: a sync that fails, a power cut, a record handed out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.outbox import Dropped, Outbox, Waiting
from agent.outbox.frames import Flag, Why
from agent.outbox.log import SegmentLog
from agent.outbox.losses import Loss
from tests.outbox.cuts import lay_out
from tests.outbox.cutting_disk import CuttingDisk
from tests.outbox.samples import NEVER_S, records

SEGMENT_BYTES = 1000


@dataclass
class ForgettingDisk(CuttingDisk):
    """Refuses to sync while it is `ill`; what it did not sync is gone then (fsync(2): EIO), and stays so."""

    ill: bool = False

    def sync(self, fd: int) -> None:
        if self.ill:
            self._open[fd].live = self._open[fd].synced
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)

    def cut(self, target: Path) -> list[int]:
        """Return the ids that wait after a power cut now."""
        target.mkdir()
        _, synced_only, _ = self._ends(None)
        lay_out(synced_only, target)
        log = SegmentLog(target, segment_bytes=SEGMENT_BYTES)
        try:
            return list(log.index)
        finally:
            log.close()


@pytest.fixture
def disk(tmp_path: Path) -> ForgettingDisk:
    (tmp_path / "log").mkdir()
    return ForgettingDisk(tmp_path / "log", lambda *_: None)


def begun(disk: ForgettingDisk) -> SegmentLog:
    """Return a log of ids 1 to 8, two a file; that 1 has arrived stands in the third file."""
    log = SegmentLog(disk.directory, segment_bytes=SEGMENT_BYTES, disk=disk)
    first = log.next_id
    for turn in range(4):
        log.append([(b"%d" % turn + b"x" * 400, Flag.RECORD)] * 2)
        if turn == 2:
            log.done([first], Why.ACKNOWLEDGED)
        log.commit()
        log.seal()
    return log


def test_an_acknowledgement_that_was_carried_by_a_sync_that_failed_is_carried_again(
    disk: ForgettingDisk, tmp_path: Path
) -> None:
    log = begun(disk)
    segment = sorted(log.sealed())[2]
    waiting = list(log.index)
    log.move(log.records_in(segment))
    log.carry(segment)
    disk.ill = True
    log.commit()
    assert log.in_memory == 2, "the sync failed"
    disk.ill = False
    log.try_now()
    log.retry()
    log.commit()  # the copies are durable ...
    log.commit()  # ... and what is done with may go
    assert log.in_memory == 0
    assert disk.cut(tmp_path / "cut") == waiting, "the acknowledgement went with its file"
    log.carry(segment)
    log.commit()
    log.commit()
    assert segment not in log.sealed(), "now it can go"
    assert disk.cut(tmp_path / "later") == waiting
    log.close()


def test_a_file_stays_until_the_copies_of_its_records_are_durable(
    disk: ForgettingDisk, tmp_path: Path
) -> None:
    log = begun(disk)
    waiting = list(log.index)
    log.move(log.records_in(min(log.sealed())))
    assert disk.cut(tmp_path / "moved") == waiting
    disk.ill = True
    log.commit()
    log.commit()  # nothing is left to be synced: the copies are in memory only
    assert log.in_memory == 1
    assert disk.cut(tmp_path / "refused") == waiting, "the file went before its copy was on the medium"
    disk.ill = False
    log.close()
    assert disk.cut(tmp_path / "closed") == waiting


def test_a_record_that_is_handed_out_while_it_is_chosen_to_go_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[Dropped] = []
    taken: list[Waiting] = []
    with Outbox(
        tmp_path,
        commit_window_s=NEVER_S,
        segment_bytes=SEGMENT_BYTES,
        max_bytes=3000,
        on_dropped=dropped.extend,
    ) as outbox:
        note = outbox._book.note

        def take_meanwhile(losses: Iterable[Loss]) -> None:
            note(losses)
            taken.extend(outbox.take(1, timeout_s=0))

        monkeypatch.setattr(outbox._book, "note", take_meanwhile)
        outbox.put(records(range(40)))
        outbox.flush()
        handed_out, gone = {w.seq for w in taken}, {seq for _, seq, _ in dropped}
        assert taken and gone, "it was too full"
        assert not handed_out & gone, f"{handed_out & gone} went while they were on their way"
        outbox.release_all()
        left = {w.seq for w in outbox.take(100, timeout_s=0)}
        assert handed_out <= left and left | gone == set(range(40)), (handed_out, left, gone)
