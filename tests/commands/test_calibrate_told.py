"""What a session of load cells is told stands in its file, and need not be told again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.calibrating.keep import Signature, signed
from agent.calibrating.load_run import LoadSettings, new_session, settings_of, told_before
from agent.errors import UsageError
from agent.streams import TABLE
from calibration.certificate import Certificate
from calibration.journal import Journal
from calibration.session import SUFFIX, SessionHead

SPEC = TABLE["load"]


def head_of(given: LoadSettings) -> SessionHead:
    return SessionHead(
        what="load", stream="load", sensor="", unit="kg", axes=SPEC.axes, rate_hz=SPEC.rate_hz,
        scale=SPEC.scale, offset=SPEC.offset, begun_at="2026-01-01T00:00:00Z", by="",
        settings=settings_of(given, SPEC),
    )  # fmt: skip


def test_the_line_that_goes_on_needs_neither_capacity_nor_masses() -> None:
    with pytest.raises(UsageError, match="capacity"):
        settings_of(LoadSettings(), SPEC)
    head = head_of(LoadSettings(capacity_kg=50.0, masses_kg=(20.0, 10.0)))
    again = settings_of(told_before(LoadSettings(), head), SPEC)
    assert (again["capacity_kg"], again["masses_kg"]) == (50.0, [10.0, 20.0]), again
    assert told_before(LoadSettings(capacity_kg=30.0), head).capacity_kg == 30.0


def test_a_heavy_plate_is_told_and_stays_told() -> None:
    heavy = head_of(LoadSettings(capacity_kg=50.0, masses_kg=(20.0,), plate_kg=12.0))
    readings = np.tile([3.0, 3.1, 2.9, 3.0], (400, 1)) + np.arange(1600).reshape(400, 4) % 3 * 1e-4
    assert new_session(heavy).step("zero", readings, t_s=0.0).accepted
    refused = new_session(head_of(LoadSettings(capacity_kg=50.0, masses_kg=(20.0,)))).step(
        "zero", readings, t_s=0.0
    )
    assert not refused.accepted
    assert "every cell far from zero" in refused.words, refused.words
    assert "--plate-kg" in refused.words, refused.words


@pytest.mark.parametrize(
    ("begun_days_ago", "valid_days", "left_days"),
    [(300, 365, 65), (400, 365, -35), (0, 365, 365), (-50, 365, 365), (300, 0, None)],
)
def test_an_old_session_that_is_fitted_again_is_as_old_as_it_is(
    tmp_path: Path, begun_days_ago: int, valid_days: int, left_days: int | None
) -> None:
    now = datetime.now(UTC)
    begun = (now - timedelta(days=begun_days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = msgspec.structs.replace(head_of(LoadSettings(capacity_kg=50.0, masses_kg=(20.0,))), begun_at=begun)
    path = tmp_path / f"old{SUFFIX}"
    with Journal.create(path, head) as journal:
        journal.append("zero", np.zeros((4, 4), np.int32), at=begun, t_s=0.0)
    fitted = Certificate(
        stream="load", gain=tuple(tuple(float(i == j) for j in range(4)) for i in range(4)),
        bias=(0.0,) * 4, method="test", made_at="2026-03-01T00:00:00Z",
    )  # fmt: skip
    until = signed(fitted, SPEC, Signature(valid_days=valid_days), path).valid_until
    days = [(now + timedelta(days=left_days or 0, minutes=m)).strftime("%Y-%m-%d") for m in (-2, 0, 2)]
    assert until in (days if left_days is not None else [""]), f"{until}, begun {begun}"
