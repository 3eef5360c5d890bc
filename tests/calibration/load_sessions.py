"""Guided sessions of load cells: begun, at zero, and with a step that must be refused."""

from __future__ import annotations

from typing import Any

from calibration.load_session import LoadSession
from tests.calibration.load_bench import F64, Bench, hidden_bench

NOW = "2026-05-04T10:00:00Z"


def session_of(**changes: Any) -> LoadSession:
    settings: dict[str, Any] = {
        "rate_hz": 20.0, "capacity_kg": 50.0, "verification_interval_kg": 0.02, "creep_s": 30.0,
    }  # fmt: skip
    return LoadSession(**(settings | changes))


def refused(session: LoadSession, kind: str, readings: F64, **where: Any) -> str:
    """Take a step that must be refused; return why."""
    before = session.steps
    judgement = session.step(kind, readings, t_s=1000.0, **where)
    assert not judgement.accepted, f"taken: {judgement.words}"
    assert session.steps == before, "a refused step has left something behind"
    assert judgement.refusal is not None
    return judgement.words


def ready(bench: Bench | None = None, **changes: Any) -> tuple[LoadSession, Bench]:
    """Return a session that has its zero."""
    session, bench = session_of(**changes), bench or hidden_bench(2)
    assert session.step("zero", bench.shows(0.0), t_s=0.0).accepted
    return session, bench
