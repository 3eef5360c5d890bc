"""The virtual board's sensors keep what docs/boards.md promises of `take`."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from firmware_bridge.virtual import board as virtual_board

RATE_HZ = 50


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> virtual_board.Board:
    """One stream of 50 Hz whose samples are their index; its clock stands still."""
    stream = {"name": "pressure", "axes": ["p"], "unit": "Pa", "scale": 1, "rate_hz": RATE_HZ, "bits": 16}
    about = {"id": "0", "reset": "power-on", "boots": 1, "mount_up": None, "streams": json.dumps([stream])}
    host_fd = os.open(tmp_path / "host", os.O_RDWR | os.O_CREAT)
    clock = {"epoch_us": 0, "drift_ppm": 0, "ticks_offset_us": 0, "power_fd": None, "host_fd": host_fd}
    (tmp_path / "board.json").write_text(json.dumps({**about, **clock}))
    monkeypatch.setattr(virtual_board, "WORLD", str(tmp_path))
    for second in range(3):
        first = second * RATE_HZ
        samples = struct.pack(f"<{RATE_HZ}h", *range(first, first + RATE_HZ))
        Path(virtual_board.second_file(second)).write_bytes(samples)
    monkeypatch.setattr(virtual_board, "_monotonic_us", lambda: 0)
    return virtual_board.Board()


@pytest.mark.parametrize("room", [7, 40, 100])
def test_fewer_samples_than_fit_are_all_that_there_are(
    room: int, board: virtual_board.Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.start()
    body = bytearray(2 * room)
    assert board.take(0, body, 0, room) == 1
    monkeypatch.setattr(virtual_board, "_monotonic_us", lambda: 1_000_000)
    taken: list[int] = []
    while True:
        count = board.take(0, body, 0, room)
        assert board.skipped == 0
        if count:
            assert board.sample_ticks == (taken[-1] + 1 if taken else 1) * 1_000_000 // RATE_HZ
        taken += struct.unpack_from(f"<{count}h", body)
        if count < room:  # the firmware then vouches for all before now
            break
    assert taken == list(range(1, RATE_HZ + 1)), "the last one is of the next second"
