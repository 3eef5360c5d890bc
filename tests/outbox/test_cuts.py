"""A power cut at any step of any operation; `python -m tests.outbox.cuts` does it at every byte."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.outbox.cuts import every_operation


def test_no_cut_loses_repeats_or_locks_out() -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        checked = every_operation(Path(scratch), 1 << 20)
    assert sum(checked.values()) > 300, checked
