"""A card that does not answer is one that refuses: what is put meanwhile is handed out from memory."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.outbox import Outbox
from agent.outbox.patient import PatientDisk
from agent.records import Kind
from tests.outbox.samples import NEVER_S, record, seqs_after


class Stuck:
    """Calls of the system that wait while `let` is not set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.let = threading.Event()
        self.let.set()
        self.waiting = 0
        self.idle = threading.Event()
        for name in names:
            monkeypatch.setattr(os, name, self._slow(getattr(os, name)))

    def _slow(self, call: Callable[..., int]) -> Callable[..., int]:
        def wait(*arguments: object) -> int:
            if not self.let.is_set():
                self.waiting += 1
                assert self.let.wait(20)
                result = call(*arguments)
                self.idle.set()
                return result
            return call(*arguments)

        return wait


@pytest.mark.parametrize("name", ["fdatasync", "pwrite", "posix_fadvise"])
def test_what_is_put_while_the_card_is_stuck(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = Stuck(monkeypatch, name)
    with Outbox(tmp_path, commit_window_s=NEVER_S, disk=PatientDisk(0.5)) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        stuck.let.clear()
        for seq in (1, 2, 3):
            outbox.put([record(seq, Kind.ALARM)])  # returns
        stats = outbox.stats()
        assert stats.trouble is not None and "does not answer" in stats.trouble
        assert stuck.waiting == 1, f"{stuck.waiting} calls wait for a card that does not answer"
        taken = outbox.take(10, timeout_s=0)
        assert [w.seq for w in taken] == [0, 1, 2, 3], "handed out from memory"
        outbox.acknowledge([taken[1].doc_id])
        stuck.let.set()
        assert stuck.idle.wait(20)
        while outbox.stats().trouble is not None:
            outbox.try_card_now()
            outbox.flush()
    assert set(seqs_after(tmp_path)) == {0, 2, 3}, "and on the card, when it answers again"


def test_nothing_overtakes_what_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = PatientDisk(0.05)
    fd = disk.create(tmp_path / "file")
    disk.write_at(fd, 0, b"first")
    stuck = Stuck(monkeypatch, "pwrite")
    stuck.let.clear()
    for data in (b"later", b"never"):
        with pytest.raises(OSError, match="does not answer") as refusal:
            disk.write_at(fd, 0, data)
        assert refusal.value.errno == errno.ETIMEDOUT
    disk.close(fd)
    os.fstat(fd)  # not closed yet: its number must not become another file's
    stuck.let.set()
    assert stuck.idle.wait(20)
    while True:
        try:
            os.fstat(fd)
        except OSError:
            break
    assert (tmp_path / "file").read_bytes() == b"later"


def test_an_alarm_waits_for_all_of_a_slow_card_no_longer_than_for_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience_s = 0.6
    pause = threading.Event()

    def slow(call: Callable[..., object]) -> Callable[..., object]:
        def late(*arguments: object) -> object:
            pause.wait(0.75 * patience_s)  # each within its time
            return call(*arguments)

        return late

    with Outbox(tmp_path, commit_window_s=NEVER_S, disk=PatientDisk(patience_s)) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        with monkeypatch.context() as patched:
            for name in ("pwrite", "fdatasync"):
                patched.setattr(os, name, slow(getattr(os, name)))
            began_s = time.monotonic()
            for seq in (1, 2):
                outbox.put([record(seq, Kind.ALARM)])
                assert time.monotonic() - began_s < 1.4 * patience_s, "one after the other was waited for"
                outbox.try_card_now()
            assert [w.seq for w in outbox.take(10, timeout_s=0)] == [0, 1, 2], "handed out from memory"
            stats = outbox.stats()
            assert stats.trouble is not None and "does not answer" in stats.trouble
        while outbox.stats().trouble is not None:
            outbox.try_card_now()
            outbox.flush()
    assert set(seqs_after(tmp_path)) == {0, 1, 2}
