"""How long a card lives."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.outbox.files import Disk
from agent.outbox.wear import AMPLIFICATION, JOURNAL_BYTES, PAGE_BYTES, Wear


def test_a_card_of_ten_terabytes_at_a_gigabyte_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    wear = Wear(tmp_path, Disk(), 10.0)
    for _ in range(24):
        now_s[0] += 3600
        wear.wrote(pages=1000, syncs=100)
    a_day = 24 * (1000 * PAGE_BYTES + 100 * JOURNAL_BYTES)
    assert wear.a_day_bytes == pytest.approx(a_day)
    assert wear.life_years == pytest.approx(10e12 / (a_day * AMPLIFICATION * 365.25))
    wear.save_if_due()
    again = Wear(tmp_path, Disk(), 10.0)
    assert again.a_day_bytes == pytest.approx(a_day, rel=0.001)
    for _ in range(40 * 24):  # a quieter time shows
        now_s[0] += 3600
        later = again.a_day_bytes
    assert later is not None and later < a_day / 10


def test_counts_that_cannot_be_read_begin_anew(tmp_path: Path) -> None:
    (tmp_path / "wear.json").write_text("{")
    assert Wear(tmp_path, Disk(), 10.0).written_bytes == 0
