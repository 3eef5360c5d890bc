"""What the health record says of the store, each figure against the truth: files, and what a device took."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from agent.health.queue import Queue
from agent.outbox import Outbox
from agent.outbox import wear as wear_module
from agent.outbox.inspect import iter_waiting
from agent.outbox.losses import FILE_NAME
from agent.records import Kind, Record, encode
from agent.timebase import rfc3339
from tests.card.cards import CannotMount, Ext4
from tests.outbox.samples import NEVER_S, record

NOW_NS = 1_790_000_000_000_000_000
SECTOR_BYTES = 512  # of /sys/block/*/stat, whatever the device's


def said(outbox: Outbox) -> dict[str, Any]:
    """Return the part of a health record."""
    return dict(Queue(outbox.stats, lambda: NOW_NS).look(0.0))


def test_what_waits_how_old_and_how_large(tmp_path: Path) -> None:
    def made(seq: int, kind: Kind, age_s: int) -> Record:
        body = encode({"seq": seq, "t": rfc3339(NOW_NS - age_s * 1_000_000_000)})
        return Record(kind, "ab" * 8, seq, f"cargobox/1/f/b/{kind}", body)

    with Outbox(tmp_path, commit_window_s=NEVER_S) as outbox:
        outbox.put([made(seq, Kind.ALARM if seq % 4 == 0 else Kind.EVENT, 1000 - seq) for seq in range(40)])
        outbox.flush()
        outbox.acknowledge([w.doc_id for w in outbox.take(3, timeout_s=0)])  # alarms 0, 4 and 8
        told = said(outbox)
        left = list(iter_waiting(tmp_path))
    assert told["waiting"] == len(left) == 37, told
    assert told["waiting_urgent"] == sum(w.kind == "alarm" for w in left) == 7, told
    assert told["oldest_s"] == 1000 - min(w.seq for w in left) == 999, told
    size_bytes = sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    assert told["bytes"] == size_bytes, (told, size_bytes)
    assert (told["card_refuses"], told["in_memory"], told["dropped"], told["thinned"]) == (False, 0, 0, 0)


def test_what_is_dropped_is_what_the_book_says(tmp_path: Path) -> None:
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=2000, max_bytes=20_000) as outbox:
        for seq in range(300):
            outbox.put([record(seq, Kind.EVENT, filler="x" * 100)])
            outbox.flush()
        told = said(outbox)
        left = {w.seq for w in iter_waiting(tmp_path)}
        of_book = sum(last - first + 1 for loss in outbox.take_dropped() for first, last in loss.seqs)
    assert (tmp_path / FILE_NAME).exists()
    assert told["dropped"] == of_book == 300 - len(left) > 100, (told["dropped"], of_book, len(left))


def five_seconds_pass(directory: Path) -> None:
    """Let ext4 note the times of the files, as it does by itself every five seconds (commit=5 of ext4(5))."""
    path = max(directory.glob("*.seg"))
    os.utime(path)  # else writes within one tick of the kernel's clock share a time
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def test_bytes_written_are_what_the_device_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wear_module, "KNOWN_S", 0.0)
    card = Ext4(tmp_path, 64)
    try:
        with card:
            before = card.written_sectors()
            began_s = time.monotonic()
            with Outbox(card.path / "outbox", commit_window_s=NEVER_S) as outbox:
                for seq in range(200):
                    outbox.put([record(seq, Kind.ALARM, filler="x" * 600)])
                    five_seconds_pass(card.path / "outbox")
                counted = outbox.stats().written_bytes
                told = said(outbox)
                passed_s = time.monotonic() - began_s
            took = (card.written_sectors() - before) * SECTOR_BYTES
    except CannotMount as why:
        pytest.skip(str(why))
    assert 0.5 < counted / took < 2.5, f"counted {counted} bytes, the device took {took}"
    a_day = counted * 86_400 / passed_s
    assert told["written_bytes_a_day"] == pytest.approx(a_day, rel=0.2), (told, a_day)
    years = 10e12 / (told["written_bytes_a_day"] * wear_module.AMPLIFICATION * 365.25)
    assert told["card_life_years"] == pytest.approx(years, rel=0.01), (told, years)
