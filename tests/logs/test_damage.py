"""A damaged log of any format ends in a clear report; `scripts/prove_damage` does more, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.logs.damaging import Original, damaged, judged, originals, put, samples_of
from tests.logs.reading import recording

CUTS, FLIPS = 2, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("originals")


def test_cut_or_flipped_it_ends_in_a_clear_report(folder: Path, tmp_path: Path) -> None:
    count = 0
    for original in originals(folder, seconds=0.2):
        if len(original.data) > 300_000:
            continue  # by hand
        whole, _, told = samples_of(original.opened, original.map_path)
        assert not told, original.name
        for case, data in damaged(original.data, 5, cuts=CUTS, flips=FLIPS):
            count += 1
            place = tmp_path / str(count)
            place.mkdir()
            outcome = judged(*put(original, data, place), whole)
            may_be_silent = not original.checked and case.startswith("flipped")
            assert outcome.clear or (may_be_silent and outcome.what == "silent"), (
                original.name,
                case,
                outcome,
            )
    assert count >= 5 * (CUTS + FLIPS)


def test_what_an_endaq_recording_tells_of_itself_leaves_few_flips_unnoticed(tmp_path: Path) -> None:
    """It has no checksums: statistics of blocks, bits that stand still and lengths have to do."""
    path = recording("endaq-ide/idelib_XS5E25D40.IDE")
    original = Original(path.name, path, path, None, checked=False)
    whole, _, _ = samples_of(path, None)
    cases = damaged(original.data, 8, cuts=0, flips=20)
    outcomes = [judged(*put(original, data, tmp_path), whole) for _, data in cases]
    assert all(outcome.clear or outcome.what == "silent" for outcome in outcomes), outcomes
    silent = [outcome for outcome in outcomes if not outcome.clear]
    assert len(silent) <= 2, silent  # in a channel without statistics
