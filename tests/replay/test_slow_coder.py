"""A coder of snippets that is slow: a replay waits for it, so that two of one log are the same bytes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from agent.config import Config
from agent.reduction import UploadSettings
from agent.replay.runner import ReplayOptions, replay_log
from agent.snippets import coding
from agent.snippets.coding import Coded, Values
from tests.replay.making import write_log

SECONDS = 60
SPEED = 20.0
LATE_S = 1.0


def test_a_slow_coder_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coding is over at once in the one, in the other 20 s of the trip later: after snippets are due.

    Both run at one speed: where it mattered when a piece is coded, they would differ.
    """
    log = write_log(tmp_path / "trip.mcap", seconds=SECONDS)
    config = Config(upload=UploadSettings(budget=1.0))  # room for what is coded
    replay_log(log, tmp_path / "quick", config, ReplayOptions(speed=SPEED))
    slept = threading.Event()
    quick = coding.coded

    def slow(values: Values) -> Coded:
        slept.set()
        time.sleep(LATE_S)
        return quick(values)

    monkeypatch.setattr(coding, "coded", slow)
    replay_log(log, tmp_path / "slow", config, ReplayOptions(speed=SPEED))
    assert slept.is_set(), "the log has a snippet, and it was coded slowly"
    records = [(tmp_path / name / "records.jsonl").read_bytes() for name in ("quick", "slow")]
    assert b"/snippet" in records[0] and records[0] == records[1]
