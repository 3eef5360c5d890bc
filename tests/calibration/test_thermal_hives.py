"""Scales outdoors: the table of `scripts/bench thermal`, for some of the files, and how files are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.benches.thermal import FOLDER, HEADLINE, SIGMAS, Judged, judge, read_scale, table

needs_recordings = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the folder of recordings, ../shared/data, is not here"
)
HEADER = "Unix_Time,Temperature,WeightLRaw,WeightRRaw,WeightL,WeightR,Weight\n"


@pytest.fixture(scope="module")
def judged() -> dict[str, Judged]:
    """Judge the shortest file, the two that a static term helps, and one that it does not."""
    names = ("BM10_scale_4312BF", "BM4_scale_4311DE", "BM4_scale_4312BD", "BM4_scale_4311EA")
    return {name: judge(read_scale(FOLDER / f"{name}.csv")) for name in names}


@needs_recordings
def test_no_way_is_worse_by_any_meaning_of_sigma(judged: dict[str, Judged]) -> None:
    for one in judged.values():
        for name in SIGMAS:
            for way, after in (("static", one.static), ("tracked", one.tracked)):
                ratio = after[name] / one.before[name]
                assert ratio <= 1.01, f"{one.scale.name}, {way}: σ {name} is {ratio:.1%} of before"


@needs_recordings
def test_tracked_is_better_by_a_third_within_a_day(judged: dict[str, Judged]) -> None:
    for one in judged.values():
        ratio = one.tracked[HEADLINE] / one.before[HEADLINE]
        assert ratio <= 0.7, f"{one.scale.name}: {ratio:.0%} of before"
        assert one.kept >= 0.9, f"{one.scale.name}: {one.kept:.0%} of a mass put on was handed on"


@needs_recordings
def test_a_static_term_is_fitted_where_it_helps_and_only_there(judged: dict[str, Judged]) -> None:
    fitted = {name for name, one in judged.items() if one.fit.term is not None}
    assert fitted == {"BM4_scale_4311DE", "BM4_scale_4312BD"}, table(list(judged.values()))
    refused = judged["BM4_scale_4311EA"].fit
    assert "of what it did not see" in refused.reason, refused.reason


@needs_recordings
def test_the_faulty_scale_is_flagged_and_not_fitted() -> None:
    one = judge(read_scale(FOLDER / "BM2_scale_430E74.csv"))
    assert one.fit.faulty, one.fit
    assert one.fit.term is None
    assert one.plan is None


@needs_recordings
def test_rows_twice_and_intervals_that_are_not_an_hour_are_seen(judged: dict[str, Judged]) -> None:
    fit = judged["BM10_scale_4312BF"].fit
    assert (fit.rows, fit.repeated) == (177, 109), fit
    assert fit.interval_s == pytest.approx(3468.0), "the logger says 3600"


@needs_recordings
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.stem)
def test_every_file_is_read_whole(path: Path) -> None:
    scale = read_scale(path)
    assert np.isfinite(scale.mass_lb).all()
    assert scale.cells_lb is not None
    assert float(np.abs(scale.cells_lb.sum(axis=1) - scale.mass_lb).max()) < 0.05
    assert -10.0 < scale.temperature_degc.min() < scale.temperature_degc.max() < 50.0


def test_pounds_in_the_columns_of_counts_and_empty_columns_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "mixed.csv"
    early, late, empty = "1,50,0.35,0.18,0,0,0.53", "2,68,10016,9133,1.5,2.25,3.75", "3,86,,,2.0,1.0,3.0"
    file.write_text(HEADER + "\n".join((early, late, empty)) + "\n")
    scale = read_scale(file)
    assert scale.cells_lb is not None
    assert scale.cells_lb.tolist() == [[0.35, 0.18], [1.5, 2.25], [2.0, 1.0]]
    assert scale.mass_lb.tolist() == [0.53, 3.75, 3.0]
    assert scale.temperature_degc.tolist() == pytest.approx([10.0, 20.0, 30.0])


def test_a_file_without_cells_is_still_a_scale(tmp_path: Path) -> None:
    file = tmp_path / "sum.csv"
    file.write_text(HEADER + "1,50,,,,,30.5\n2,51,,,1.0,2.0,\n3,52,,,,,\n")
    scale = read_scale(file)
    assert scale.cells_lb is None
    assert scale.mass_lb[:2].tolist() == [30.5, 3.0]
    assert np.isnan(scale.mass_lb[2])
