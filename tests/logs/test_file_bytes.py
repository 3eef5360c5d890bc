"""A file read in slices as memory would be, and what becomes of one that is cut meanwhile."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agent.sources.file_bytes import WINDOW_BYTES, FileBytes

SIZE = 3 * WINDOW_BYTES + 1234


def test_slices_and_search_are_those_of_bytes(tmp_path: Path) -> None:
    rng = random.Random(5)
    content = rng.randbytes(SIZE).replace(b"\x06", b"\x07")
    content = content[: SIZE - 3] + b"\x06" + content[SIZE - 2 :]
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        data = FileBytes(file)
        assert len(data) == SIZE
        for _ in range(2000):
            begin = rng.randrange(-SIZE, SIZE + 10)
            end = begin + rng.choice((0, 1, 9, 70_000, WINDOW_BYTES + 1, -5))
            assert data[begin:end] == content[begin:end]
        for mark in (b"\x06", b"\x00"):
            for begin in (0, 1, WINDOW_BYTES - 1, SIZE - 2, SIZE - 1, SIZE, SIZE + 5):
                assert data.find(mark, begin) == content.find(mark, begin)
        assert data[-8:] == content[-8:]
        with pytest.raises(ValueError, match="one after the other"):
            data[::2]


def test_a_file_that_is_cut_meanwhile_gives_less(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZE))
    with path.open("r+b") as file:
        data = FileBytes(file)
        assert len(data[:10]) == 10
        file.truncate(WINDOW_BYTES + 5)
        assert len(data[WINDOW_BYTES : WINDOW_BYTES + 100]) == 5
        assert data[2 * WINDOW_BYTES : 2 * WINDOW_BYTES + 100] == b""
        assert data.find(b"\x06", 0) == -1
        assert len(data[: 2 * WINDOW_BYTES]) == WINDOW_BYTES + 5
