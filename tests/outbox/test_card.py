"""A card that is full, read-only or broken: delivery goes on, and durability returns by itself."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from agent.outbox import Outbox
from agent.outbox import card as card_module
from agent.outbox.files import Disk
from agent.records import Kind
from tests.outbox.samples import NEVER_S, record, records, seqs_after, seqs_taken
from tests.outbox.shaky_disk import RefusingDisk

FULL = frozenset({"write", "create"})


def recovers(outbox: Outbox, disk: RefusingDisk) -> None:
    """Let the disk take everything again, and the outbox try at once what it would try in a second."""
    disk.refuses = frozenset()
    disk.room_bytes = None
    outbox.try_card_now()


def test_a_full_card_keeps_records_in_memory_and_hands_them_out(tmp_path: Path) -> None:
    disk = RefusingDisk()
    with Outbox(tmp_path, commit_window_s=NEVER_S, disk=disk) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        disk.refuses = FULL
        outbox.put([record(1), record(2, Kind.ALARM)])
        stats = outbox.stats()
        assert stats.trouble is not None and "No space left" in stats.trouble
        assert stats.in_memory == 2
        taken = outbox.take(10, timeout_s=0)
        assert [w.seq for w in taken] == [0, 2, 1]
        outbox.acknowledge([taken[1].doc_id])
        recovers(outbox, disk)
        outbox.put([record(3)])
        outbox.flush()
        stats = outbox.stats()
        assert (stats.trouble, stats.in_memory) == (None, 0)
        assert seqs_taken(outbox) == [3], "what was handed out stays handed out"
    assert seqs_after(tmp_path) == [0, 1, 3]


def test_a_write_that_fits_in_part_leaves_no_trace(tmp_path: Path) -> None:
    disk = RefusingDisk()
    with Outbox(tmp_path, commit_window_s=NEVER_S, disk=disk) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        disk.room_bytes = 100
        outbox.put([record(1, Kind.ALARM, filler="long" * 50)])
        recovers(outbox, disk)
        outbox.put([record(2, Kind.ALARM)])
        assert seqs_taken(outbox) == [0, 1, 2]
    with Outbox(tmp_path) as outbox:
        assert outbox.stats().findings == ()
        assert seqs_taken(outbox) == [0, 1, 2]


def test_a_refused_sync_is_not_believed_later(tmp_path: Path) -> None:
    """The kernel reports a failed write-back once and then forgets the pages: write them anew."""
    disk = RefusingDisk()
    disk.error = errno.EIO
    with Outbox(tmp_path, commit_window_s=NEVER_S, disk=disk) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        disk.refuses = frozenset({"sync"})
        outbox.put(records([1, 2]))
        outbox.flush()
        assert outbox.stats().in_memory == 2
        assert [w.seq for w in outbox.take(10, timeout_s=0)] == [0, 1, 2]
        recovers(outbox, disk)
        outbox.put([record(3, Kind.ALARM)])
        assert outbox.stats().in_memory == 0
        newest = max(tmp_path.glob("*.seg"))
        assert newest.name != "00000001.seg", "the file that was refused is not written to again"
        assert b'"seq":1,' in newest.read_bytes()
    assert sorted(seqs_after(tmp_path)) == [0, 1, 2, 3]


def test_the_card_is_offered_again_without_a_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module, "RETRY_MIN_S", 0.05)
    disk = RefusingDisk()
    disk.refuses = FULL
    taken = threading.Event()
    disk.on_write = taken.set
    with Outbox(tmp_path, commit_window_s=0, disk=disk) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        taken.clear()
        disk.refuses = frozenset()
        assert taken.wait(10)
    assert seqs_after(tmp_path) == [0]


def test_memory_is_bounded_and_alarms_are_dropped_last(tmp_path: Path) -> None:
    disk = RefusingDisk()
    dropped: list[tuple[str, int, str]] = []
    with Outbox(
        tmp_path, commit_window_s=NEVER_S, memory_max_bytes=20_000, disk=disk, on_dropped=dropped.extend
    ) as outbox:
        disk.refuses = FULL
        for seq in range(200):
            outbox.put([record(seq, Kind.ALARM if seq % 10 == 0 else Kind.FEATURES, filler="x" * 200)])
        left = seqs_taken(outbox)
        assert set(range(0, 200, 10)) <= set(left)
        assert sorted(seq for _, seq, _ in dropped) == sorted(set(range(200)) - set(left))
        assert outbox.stats().dropped == len(dropped) > 100


def test_a_read_only_card_is_emptied_and_the_agent_starts(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put(records(range(3)))
    disk = RefusingDisk()
    disk.error = errno.EROFS
    disk.refuses = frozenset({"write", "create", "open_write", "remove", "sync"})
    with Outbox(tmp_path, disk=disk) as outbox:
        trouble = outbox.stats().trouble
        assert trouble is not None and "Read-only" in trouble
        outbox.put([record(3, Kind.ALARM)])
        taken = outbox.take(10, timeout_s=0)
        assert [w.seq for w in taken] == [3, 0, 1, 2]
        outbox.acknowledge([w.doc_id for w in taken])
        assert outbox.waiting() == 0
    assert seqs_after(tmp_path) == [0, 1, 2], "it could not note that they arrived: duplicates, no loss"


def test_no_card_at_all_is_memory_only(tmp_path: Path) -> None:
    disk = RefusingDisk()
    disk.error = errno.EIO
    disk.refuses = frozenset({"make_directory", "create", "write"})
    with Outbox(tmp_path / "outbox", disk=disk) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        assert seqs_taken(outbox) == [0]
        assert "memory only" in " ".join(outbox.stats().findings)


def test_files_that_cannot_be_removed_are_removed_later(tmp_path: Path) -> None:
    disk = RefusingDisk()
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=500, disk=disk) as outbox:
        outbox.put(records(range(20)))
        outbox.flush()
        disk.refuses = frozenset({"remove"})
        outbox.acknowledge([w.doc_id for w in outbox.take(20, timeout_s=0)])
        outbox.flush()
        assert outbox.stats().trouble is not None
        recovers(outbox, disk)
        outbox.put([record(20, Kind.ALARM)])
        outbox.flush()
        assert outbox.stats().trouble is None
        assert outbox.stats().segments == 1


@pytest.mark.parametrize("refused", ["sync", "write"])
def test_alarms_moved_to_make_room_keep_their_old_place_until_the_new_one_is_durable(
    tmp_path: Path, refused: str
) -> None:
    disk = RefusingDisk()
    outbox = Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=2000, max_bytes=12_000, disk=disk)
    outbox.put(records(range(5), Kind.ALARM))
    for seq in range(5, 60):
        outbox.put([record(seq)])
    outbox.flush()
    disk.refuses = frozenset({refused})
    for seq in range(60, 200):
        outbox.put([record(seq)])
    outbox.flush()
    disk.refuses = frozenset()
    outbox.flush()  # the card would take it now, but is left alone for a while yet
    left = {path.name: path.read_bytes() for path in tmp_path.glob("*.seg")}  # a cut here
    recovers(outbox, disk)
    outbox.close()
    (tmp_path / "cut").mkdir()
    for name, data in left.items():
        (tmp_path / "cut" / name).write_bytes(data)
    assert seqs_after(tmp_path / "cut")[:5] == [0, 1, 2, 3, 4]
    assert seqs_after(tmp_path)[:5] == [0, 1, 2, 3, 4]


def test_the_real_disk_asks_the_kernel_to_sync() -> None:
    reading, writing = os.pipe()  # what cannot be synced refuses it: so it was asked
    with pytest.raises(OSError) as said:
        Disk().sync(writing)
    assert said.value.errno == errno.EINVAL, said.value
    with pytest.raises(OSError) as said:
        Disk().sync_directory(Path("/proc/self"))
    assert said.value.errno == errno.EINVAL, said.value
    os.close(reading)
    os.close(writing)
