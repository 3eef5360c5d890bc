"""A record that the broker refuses leaves a hole at the far end; a gap record tells of it, once."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.outbox import Outbox
from agent.outbox.files import Disk
from agent.outbox.losses import FILE_NAME, Loss, LossBook
from agent.outbox.queue import TELL_S
from agent.records import Kind, Record, encode
from tests.docs.contract import fault_of
from tests.outbox.samples import BOOT, NEVER_S, record, records

HEAD = {"v": 1, "box": "b", "boot": "1" * 16, "seq": 0, "t": "2026-01-01T00:00:00.000000Z", "tq": "synced"}


def refuse(outbox: Outbox, count: int) -> None:
    for waiting in outbox.take(count, timeout_s=0):
        outbox.set_aside(waiting.doc_id, "not authorised")


def test_a_refusal_is_told_of_and_survives_a_new_start(tmp_path: Path) -> None:
    with Outbox(tmp_path, commit_window_s=NEVER_S) as outbox:
        outbox.put([record(seq, Kind.EVENT) for seq in range(4)])
        outbox.flush()
        refuse(outbox, 3)
        told = outbox.take_dropped()
        assert told == [Loss("event", BOOT, ((0, 2),), "refused")]
        assert fault_of("gap", {**HEAD, "cal": "none", "sw": "1", **told[0].body()}) == ""
    with Outbox(tmp_path) as outbox:
        assert outbox.take_dropped() == told
        outbox.put_gaps(told, [record(0, Kind.GAP)])
        assert outbox.take_dropped(everything=True) == [], "told once"


def test_what_was_refused_and_what_was_not_kept_are_told_apart(tmp_path: Path) -> None:
    book = LossBook(tmp_path, Disk())
    book.note([Loss("event", BOOT, ((1, 1),), "refused"), Loss("event", BOOT, ((2, 2),))])
    again = LossBook(tmp_path, Disk())
    assert again.all() == book.all() and len(again) == 2
    again.told([Loss("event", BOOT, ((1, 1),), "refused")], [record(3, Kind.GAP)])
    assert again.all() == [Loss("event", BOOT, ((2, 2),))]


def test_a_book_of_before_there_were_reasons_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps([["event", BOOT, [[3, 5]]]]))
    assert LossBook(tmp_path, Disk()).all() == [Loss("event", BOOT, ((3, 5),))]


def test_a_refused_gap_record_makes_no_further_one(tmp_path: Path) -> None:
    body = {"kind": "event", "of": BOOT, "first": 3, "last": 3, "seqs": [[3, 3]], "reason": "refused"}
    with Outbox(tmp_path, commit_window_s=NEVER_S) as outbox:
        outbox.put([Record(Kind.GAP, BOOT, 9, "t", encode({"seq": 9, **body}))])
        outbox.flush()
        refuse(outbox, 1)
        assert outbox.take_dropped(everything=True) == []
        assert outbox.stats().set_aside == 1


def test_a_broker_that_refuses_all_does_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put(records(range(41)))
        outbox.flush()
        taken = outbox.take(41, timeout_s=0)
        for waiting in taken[:20]:
            outbox.set_aside(waiting.doc_id, "too large")
        assert said(caplog) == [f"outbox: record {taken[0].doc_id} is set aside: too large"], (
            "the first at once"
        )
        now_s = time.monotonic()
        monkeypatch.setattr("agent.outbox.seldom.time", SimpleNamespace(monotonic=lambda: now_s + TELL_S + 1))
        for waiting in taken[20:]:
            outbox.set_aside(waiting.doc_id, "larger")
        latest = taken[20].doc_id
        assert said(caplog)[1:] == [f"outbox: 20 more records were set aside, the latest, {latest}: larger"]
    assert said(caplog)[2:] == ["outbox: 20 more records were set aside"], "and the rest at the end"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
