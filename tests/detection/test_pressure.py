"""A swing of pressure is said with the sample that completes it, however the samples were cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.blocks import SiBlock
from agent.detection.finding import Finding
from agent.detection.pressure import HOP_NS, PressureDetector, PressureSettings
from agent.records import Phase, Severity

PERIOD_NS = 20_000_000
FIRST_NS = 7_000_001
SETTINGS = PressureSettings(window_s=1.0)


def found(values: npt.NDArray[np.float64], cuts: list[int]) -> list[Finding]:
    detector, out = PressureDetector(SETTINGS), list[Finding]()
    for begin, end in zip([0, *cuts], [*cuts, len(values)], strict=True):
        times = FIRST_NS + PERIOD_NS * np.arange(begin, end, dtype=np.int64)
        if end > begin:
            part = values[begin:end, None].astype(np.float32)
            out += detector.feed(SiBlock("pressure", begin, times, PERIOD_NS, part))
    return out


def index_of(finding: Finding) -> int:
    index, rest = divmod(finding.decided_ns - FIRST_NS, PERIOD_NS)
    assert rest == 0, "a sample decides"
    return index


def first_beyond(values: npt.NDArray[np.float64], limit_pa: float) -> int:
    """The definition, sample by sample."""
    hops = (FIRST_NS + PERIOD_NS * np.arange(len(values))) // HOP_NS
    for i in range(len(values)):
        window = values[: i + 1][hops[: i + 1] > hops[i] - 10]
        if window.max() - window.min() > limit_pa:
            return i
    raise AssertionError("there is no swing")


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_the_sample_that_completes_a_swing_decides_it(seed: int, pieces: int) -> None:
    rng = np.random.default_rng(seed)
    values = 5000 + np.cumsum(rng.normal(0, 200, 400)).round()
    values[150:] += 2500
    cuts = sorted(rng.integers(0, 400, pieces).tolist())
    said = found(values, cuts)
    assert index_of(said[0]) == first_beyond(values, SETTINGS.swing_pa), (seed, cuts)
    assert said == found(values, []) == found(values, list(range(1, 400))), (seed, cuts)


def test_a_swing_that_becomes_critical_is_told_with_its_sample() -> None:
    values = np.full(200, 5000.0)
    values[100:] += 2500
    values[113:] += 2000
    start, update, end = found(values, [])
    assert (index_of(start), start.severity, start.phase) == (100, Severity.MAJOR, Phase.START)
    assert (index_of(update), update.severity, update.phase) == (113, Severity.CRITICAL, Phase.UPDATE)
    assert (end.phase, end.severity, end.values["swing_pa"]) == (Phase.END, Severity.CRITICAL, 4500)
    assert end.end_ns is not None and index_of(end) * 0.02 > 3.0


@pytest.mark.parametrize("level_pa", [5000.0, 101_325.0])
@pytest.mark.parametrize("spike_pa", [0.0, 400_000.0])
@pytest.mark.parametrize("cuts", [[], [100], [101]])
def test_one_wild_sample_is_no_swing(level_pa: float, spike_pa: float, cuts: list[int]) -> None:
    values = np.full(300, level_pa)
    values[100] = spike_pa
    if abs(spike_pa - level_pa) < 10_000:
        values[100] = 60_000.0
    assert found(values, cuts) == []


def test_a_leap_that_stays_is_told_with_its_second_sample() -> None:
    values = np.full(300, 5000.0)
    values[100:] += 30_000
    start = found(values, [])[0]
    assert (index_of(start), start.severity) == (101, Severity.CRITICAL)


def test_a_gauge_of_the_air_that_dies_is_no_swing() -> None:
    values = np.full(300, 101_325.0)
    values[100:] = 0.0
    assert found(values, []) == []
