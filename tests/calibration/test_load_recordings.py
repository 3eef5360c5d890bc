"""A real cell (HX711, 1 kg bar) that others recorded: it is steady when left alone, and not while pouring."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from calibration.load_session import LoadSession
from tests.calibration.load_bench import F64

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "coffee-scale"
COUNTS_PER_KG = 1_540_320.0
RATE_HZ = 11.6

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recordings of a coffee scale are not here")


def recording(name: str) -> tuple[F64, F64]:
    """Return times (n,) in s and readings (n, 1) in kg, nearest to zero at the beginning."""
    with (DATA / name).open() as text:
        rows = [(float(r["time"]), float(r["raw_data"])) for r in csv.DictReader(text)]
    table = np.array(rows)
    return table[:, 0], (table[:, 1:] - np.median(table[:50, 1])) / COUNTS_PER_KG


def session_of(verification_interval_kg: float = 0.001, creep_s: float = 60.0) -> LoadSession:
    return LoadSession(
        ("load",), rate_hz=RATE_HZ, capacity_kg=1.0, creep_s=creep_s,
        verification_interval_kg=verification_interval_kg,
    )  # fmt: skip


def test_a_cold_start_left_alone_is_steady_all_the_time() -> None:
    """603 s: each five seconds would do as a zero, at 1 g as the verification interval."""
    t_s, kg = recording("coldstart.csv")
    session = session_of()
    size = int(5 * RATE_HZ)
    taken = [session.step("zero", kg[i : i + size], t_s=t_s[i]) for i in range(0, len(kg) - size, size)]
    bad = [j.words for j in taken if not j.accepted]
    assert not bad, f"{len(bad)} of {len(taken)} refused: {bad[:2]}"
    first, last = taken[0].mean_kg[0], taken[-1].mean_kg[0]
    assert 0.05e-3 < last - first < 0.2e-3, (
        f"{1e3 * (last - first):.3f} g in ten minutes; its author saw 0.11 g"
    )


def test_pouring_is_refused_and_the_full_cup_is_weighed() -> None:
    t_s, kg = recording("brew.csv")
    session = session_of()
    size = int(5 * RATE_HZ)
    assert session.step("zero", kg[:size], t_s=t_s[0]).accepted
    poured = kg[np.searchsorted(t_s, 60.0) :]
    rising = int(np.argmax(np.diff(poured[::size, 0]) > 0.02)) * size  # five seconds of more than 20 g
    judgement = session.step("span", poured[rising : rising + size], mass_kg=0.1, t_s=60.0)
    assert not judgement.accepted, judgement.words
    assert "unsteady" in judgement.words
    # 243.685 g is what the author's own stages came to, with a zero that he follows.
    assert session.step("span", kg[-size:], mass_kg=0.243685, t_s=t_s[-size]).accepted
    gain = float(session.fit().gain[0, 0])
    assert gain == pytest.approx(1.0, abs=0.008), f"gain {gain:.5f}"


@pytest.mark.parametrize(("interval_kg", "verdict"), [(0.001, "exceeded"), (0.002, "not judged")])
def test_real_drift_under_a_load_is_found_as_creep(interval_kg: float, verdict: str) -> None:
    """The cold start's readings on top of 500 g: ten minutes can exceed a limit of thirty, never keep it."""
    t_s, kg = recording("coldstart.csv")
    session = session_of(interval_kg, creep_s=590.0)
    size = int(5 * RATE_HZ)
    assert session.step("zero", kg[:size], t_s=0.0).accepted
    assert session.step("span", kg[:size] + 0.5, mass_kg=0.5, t_s=10.0).accepted
    assert session.step("creep", kg + 0.5, mass_kg=0.5, t_s=20.0).accepted
    assert session.step("zero", kg[-size:], t_s=20.0 + t_s[-1]).accepted
    fit = session.fit()
    assert fit.checks.creep is not None
    worst_g = 1e3 * fit.checks.creep.worst_kg
    assert 0.25 < worst_g < 0.33, f"{worst_g:.3f} g of creep, where the means of 5 s wander by 0.28 g"
    words = {f.name: f.words for f in fit.findings}
    assert "only 10." in words["creep in 30 minutes"], words
    assert verdict in words["creep in 30 minutes"], words
