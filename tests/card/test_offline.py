"""Short forms of `scripts/prove_offline`: five minutes' records, told again for hours."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benches.day_trip import INCIDENT_LEG
from tests.card.day import Hours, made
from tests.card.offline import stay

pytestmark = pytest.mark.broker

HOURS = 1
MADE_S = 240


@pytest.fixture(scope="module")
def hours() -> Hours:
    """Four minutes, in which the demo's harm is."""
    return made(MADE_S, begin_s=(INCIDENT_LEG - 2) * 60)


@pytest.mark.parametrize("room", ["enough", "some", "little"])
def test_every_alarm_comes_and_nothing_is_unexplained(room: str, hours: Hours, tmp_path: Path) -> None:
    most = {"enough": 512 << 20, "some": 350_000, "little": 160_000}[room]
    it = stay(tmp_path, hours, HOURS / 24, most, segment_bytes=min(1 << 20, most // 10))
    words = "\n".join(it.lines())
    assert not it.wrong(), words
    assert it.arrived["alarm"] == it.made["alarm"] >= HOURS, words
    assert it.ahead_of_last_alarm == 0, words
    assert (it.thinned > 0, it.dropped > 0) == (room != "enough", room == "little"), words
