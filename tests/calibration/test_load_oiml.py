"""The limits of OIML R 60, against the figures of its table 4."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.errors import CalibrationRefused
from calibration.load_checks import Creep
from calibration.oiml import Finding, LoadCellClass


@pytest.mark.parametrize(
    ("accuracy_class", "load_v", "mpe_v"),
    [
        ("A", 50_000, 0.35), ("A", 50_001, 0.70), ("A", 200_000, 0.70), ("A", 200_001, 1.05),
        ("B", 5_000, 0.35), ("B", 20_000, 0.70), ("B", 20_001, 1.05),
        ("C", 0, 0.35), ("C", 500, 0.35), ("C", 501, 0.70), ("C", 2_000, 0.70), ("C", 2_001, 1.05),
        ("D", 50, 0.35), ("D", 200, 0.70), ("D", 201, 1.05),
    ],
)  # fmt: skip
def test_the_maximum_permissible_error(accuracy_class: str, load_v: float, mpe_v: float) -> None:
    v = 0.02
    mpe = LoadCellClass(accuracy_class, v).mpe_kg(load_v * v)
    assert mpe == pytest.approx(mpe_v * v), f"{mpe} kg at {load_v} v"


def test_creep_and_return_to_zero_of_class_c() -> None:
    limits = LoadCellClass("C", 0.01)
    assert limits.creep_kg(10.0) == pytest.approx(0.7 * 0.7 * 0.01)  # 1000 v
    assert limits.late_creep_kg(10.0) == pytest.approx(0.15 * 0.7 * 0.01)
    assert limits.zero_return_kg == pytest.approx(0.005)
    assert (limits.repetitions, LoadCellClass("B", 1.0).repetitions) == (3, 5)


def test_a_short_creep_test_is_scaled_to_half_an_hour() -> None:
    """Creep that goes on as log(1 + t/10 s), watched for two minutes and for the whole time."""
    for lasted_s in (120.0, 1800.0):
        time_s = np.linspace(0.0, lasted_s, 50)
        creep = Creep(20.0, time_s, -0.002 * np.log1p(time_s / 10.0), lasted_s)
        assert creep.after_30_min_kg == pytest.approx(-0.002 * np.log1p(180.0)), f"{lasted_s} s"


def test_a_class_has_only_so_many_intervals() -> None:
    assert LoadCellClass("C", 0.01).allows(100.0)
    assert not LoadCellClass("C", 0.01).allows(101.0)
    assert not LoadCellClass("D", 0.01).allows(11.0)
    assert LoadCellClass("A", 0.001).allows(1e6)


@pytest.mark.parametrize(
    ("accuracy_class", "v", "share", "words"),
    [("E", 0.01, 0.7, "class 'E'"), ("C", 0.0, 0.7, "interval of 0.0"), ("C", float("nan"), 0.7, "nan"),
     ("C", 0.01, 0.9, "0.9")],
)  # fmt: skip
def test_what_the_standard_does_not_know(accuracy_class: str, v: float, share: float, words: str) -> None:
    with pytest.raises(CalibrationRefused, match=words):
        LoadCellClass(accuracy_class, v, share)


def test_errors_are_judged_by_the_one_that_takes_most_of_its_limit() -> None:
    limits = LoadCellClass("C", 0.01)
    finding = limits.judge_errors([(4.0, 0.004), (40.0, -0.009)], name="linearity")
    assert (finding.verdict, finding.at_kg) == ("exceeded", 4.0), finding.words
    assert finding.words == "linearity: exceeded, +4.0 g where 3.5 g are allowed at 4 kg"
    assert limits.judge_errors([], name="linearity").words == "linearity: not judged (nothing measured)"
    assert Finding("creep", "kept", 0.001, 0.002).words == "creep: kept, +1.0 g where 2.0 g are allowed"
