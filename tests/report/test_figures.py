"""Figures of a report: packed without loss worth a word, and a temperature record that is right."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report.climate import temperature_record
from agent.report.packing import packed_values, unpacked_values
from agent.report.text import embedded, escaped, plain
from agent.report.words import duration, figure, percent, size

NUMBERS = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=200)


@given(NUMBERS)
def test_values_come_back(values: list[float]) -> None:
    given_ = np.array(values)
    back = unpacked_values(packed_values(given_))
    assert (np.isnan(back) == np.isnan(given_)).all()
    known = given_[np.isfinite(given_)]
    if len(known):
        far = float(np.abs(back[np.isfinite(back)] - known).max())
        assert far <= np.ptp(known) / 65_000 + 1e-6, f"off by {far} of a range of {np.ptp(known)}"


@given(st.lists(st.integers(-32_000, 32_000), min_size=1, max_size=200))
def test_counts_come_back_to_the_bit(counts: list[int]) -> None:
    values = np.array(counts) * 0.0383
    back = unpacked_values(packed_values(values, 0.0383))
    assert np.rint(back / 0.0383).astype(int).tolist() == counts


def test_mean_kinetic_temperature_of_the_reference() -> None:
    """20 °C and 30 °C for 12 h each: 26.260 °C (ΔH 83.144 kJ/mol)."""
    times_s = np.arange(0, 86_400, 60.0)
    record = temperature_record("t", times_s, np.where(times_s < 43_200, 20.0, 30.0), 2.0, 25.0)
    assert record is not None
    assert record.kinetic_degc == pytest.approx(26.260, abs=0.0005), f"{record.kinetic_degc:.4f} °C"
    assert record.mean_degc == pytest.approx(25.0)
    assert (record.above_s, record.below_s) == (43_200.0, 0.0)
    assert "outside 2 to 25 °C for 12 h" in record.words()


def test_a_gap_counts_for_nothing_and_is_told() -> None:
    times_s = np.concatenate((np.arange(0, 100.0), np.arange(500, 600.0)))
    record = temperature_record("t", times_s, np.where(times_s < 100, 4.0, 9.0), 2.0, 8.0)
    assert record is not None
    assert record.gaps == ((100.0, 500.0),)
    assert (record.covered_s, record.above_s) == (200.0, 100.0)
    assert record.mean_degc == pytest.approx(6.5)


def test_no_reading_is_no_record() -> None:
    assert temperature_record("t", np.array([1.0]), np.array([-200.0]), None, None) is None


@given(st.text())
def test_text_can_end_no_element(text: str) -> None:
    for said in (escaped(text), embedded({"a": text.encode("utf-8", "replace").decode()})):
        assert "<" not in said
    steering = {char for char in plain(text) if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert not steering, steering


def test_figures_are_said_as_people_say_them() -> None:
    assert [duration(s) for s in (0.42, 7.6, 90, 1440, 7200, 9000)] == [
        "420 ms", "7.6 s", "90 s", "24 min", "2 h", "2 h 30 min",
    ]  # fmt: skip
    assert [percent(p) for p in (0, 0.034, 0.19, 0.0005)] == ["0 %", "3.4 %", "19 %", "0.05 %"]
    assert [size(b) for b in (12, 45_400, 2_370_000)] == ["12 bytes", "45.4 kB", "2.4 MB"]
    assert [figure(v) for v in (1.1, 412.3, 3174)] == ["1.1", "412", "3,174"]
