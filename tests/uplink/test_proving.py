"""scripts/prove_uplink in short: no hole whatever happens to the broker and to the line to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.uplink import proving

pytestmark = pytest.mark.broker


def test_a_broker_killed_while_records_come(tmp_path: Path) -> None:
    outcome = proving.killed_brokers(tmp_path, kills=2, duration_s=1.5, rate_hz=200.0, seed=3)
    assert (outcome.holes, outcome.left, outcome.alarms_out_of_order) == (0, 0, 0), str(outcome)
    assert outcome.made > 100 and outcome.connections >= 2, str(outcome)


def test_a_line_that_cuts_delays_and_truncates(tmp_path: Path) -> None:
    outcome = proving.rough_line(tmp_path, duration_s=1.5, rate_hz=200.0, seed=3)
    assert (outcome.holes, outcome.left) == (0, 0), str(outcome)
    assert outcome.made > 100 and sum(outcome.hurts.values()) > 10, str(outcome)
    assert outcome.chains <= 3, f"newest, live and backlog, each in order: {outcome}"


@pytest.mark.parametrize(
    ("connack", "words"),
    [(b"\x00\x00\x00", "no acknowledgement within 0.3 s"), (None, "no answer within 0.3 s")],
)
def test_a_broker_that_never_acknowledges_and_then_a_real_one(
    tmp_path: Path, connack: bytes | None, words: str
) -> None:
    outcome, said = proving.mute_broker(tmp_path, count=300, connack=connack)
    assert words in said and "expected" in said, said
    assert (outcome.holes, outcome.left) == (0, 0), str(outcome)
    assert outcome.made >= 300, str(outcome)
