"""A power cut at any step of any operation; `scripts/prove_cuts` does it at every byte."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.outbox.cuts import every_operation


def test_no_cut_loses_repeats_or_locks_out() -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        cuts = every_operation(Path(scratch), 1 << 20)
    assert len(cuts.opened) > 300, cuts.checked
