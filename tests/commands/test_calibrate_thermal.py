"""What a temperature term leaves is in the certificate's budget; and what a refused one leaves alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.calibrating.feed import Recorded
from agent.calibrating.outcome import Outcome
from agent.calibrating.thermal_run import judge_recordings
from agent.streams import TABLE
from calibration.certificate import Certificate, UncertaintyTerm

HOUR_S = 3600.0
SESSION_KG = 0.03
LEFT_KG = 0.01


def recorded(slope: float, *, seed: int = 1, axes: int = 4) -> dict[str, Recorded]:
    """Two days, read every twenty minutes; `slope` kg/°C a cell, and noise that no term explains."""
    rng = np.random.default_rng(seed)
    t_s = np.arange(0.0, 48 * HOUR_S, 1200.0)
    degc = (20.0 + 8.0 * np.sin(2 * np.pi * t_s / (24 * HOUR_S)))[:, None]
    values = 5.0 + slope * (degc - 20.0) + rng.normal(0.0, LEFT_KG, (len(t_s), axes))

    def one(name: str, of: np.ndarray) -> Recorded:
        return Recorded(TABLE[name], t_s, of, of, np.zeros(len(t_s), bool))

    return {"load": one("load", values), "temperature": one("temperature", degc)}


def certificate(scale: float = 1.0, standard: float | None = SESSION_KG) -> Certificate:
    return Certificate(
        stream="load", gain=tuple(tuple(scale * (i == j) for j in range(4)) for i in range(4)),
        bias=(0.0,) * 4, method="test", made_at="2026-03-01T00:00:00Z", standard_uncertainty=standard,
        uncertainty=(UncertaintyTerm(name="matrix", kind="A", standard=SESSION_KG),),
    )  # fmt: skip


def judged(slope: float, before: Certificate, seed: int = 1) -> tuple[Outcome, Certificate]:
    outcome = judge_recordings([recorded(slope, seed=seed)], "load", before, soak=True)
    assert outcome.certificate is not None
    return outcome, outcome.certificate


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_what_the_term_leaves_of_the_sum_is_a_line_of_the_budget(scale: float) -> None:
    outcome, made = judged(0.05, certificate(scale))
    assert outcome.good, outcome.headline
    names = {term.name: term.standard for term in made.uncertainty}
    assert set(names) == {"matrix", "temperature"}
    assert names["temperature"] == pytest.approx(scale * sum(outcome.fit["after"])), f"{names}"
    assert 4 * scale * LEFT_KG * 0.7 < names["temperature"] < 4 * scale * LEFT_KG * 1.4, f"{names}"
    assert made.standard_uncertainty == pytest.approx(math.hypot(SESSION_KG, names["temperature"]))


def test_another_term_takes_the_place_of_the_line_and_not_a_second_one() -> None:
    _, first = judged(0.05, certificate())
    outcome, second = judged(0.06, first, seed=2)
    assert outcome.good, outcome.headline
    (line,) = [term.standard for term in second.uncertainty if term.name == "temperature"]
    assert line == pytest.approx(sum(outcome.fit["after"]))
    assert second.standard_uncertainty == pytest.approx(math.hypot(SESSION_KG, line))


def test_where_nothing_was_stated_the_line_alone_is_not_taken_for_all() -> None:
    _, made = judged(0.05, certificate(standard=None))
    assert made.standard_uncertainty is None
    assert "temperature" in {term.name for term in made.uncertainty}


def test_a_refused_fit_says_that_the_earlier_term_stays() -> None:
    _, first = judged(0.05, certificate())
    outcome, second = judged(0.0, first, seed=3)
    assert not outcome.good
    assert second.temperature == first.temperature
    assert (second.uncertainty, second.standard_uncertainty) == (
        first.uncertainty, first.standard_uncertainty
    )  # fmt: skip
    (finding,) = [f for f in second.findings if f.startswith("temperature term")]
    assert "refused" in finding and finding.endswith("the earlier one stays"), finding
    assert "the earlier one stays" in outcome.todo[0], outcome.todo
    alone, _ = judged(0.0, certificate())
    assert "earlier" not in " ".join((*alone.todo, *alone.certificate.findings)), alone.todo  # type: ignore[union-attr]
