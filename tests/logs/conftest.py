"""A folder in which to write a CSV log and its map."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.logs.reading import Csv


@pytest.fixture
def csv(tmp_path: Path) -> Csv:
    return Csv(tmp_path)
