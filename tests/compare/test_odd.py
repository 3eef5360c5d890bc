"""What stands in a file of records that no agent wrote: told or refused in words, never broken over."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from tests.compare.lists import Record, event, features, in_order
from tests.compare.test_verb import written

TRIP = in_order([*event("drop", 1, 60.0, 0.5, 4, height_m=1.0), features(0, [1.0, 2.0])])
SUMMARY: dict[str, Any] = {
    "software": "1",
    "published_bytes": 9,
    "records": {"event": 1},
    "notes": ["n"],
    "samples": 1,
}


def changed(key: str, value: object) -> list[Record]:
    trip = copy.deepcopy(TRIP)
    for kind, body in trip:
        if key in body or (kind, key) == ("features", "spectrum_db"):
            body[key] = value
    return trip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("columns", 7.5),
        ("columns", {"temperature_degc": [10**400, 1.0]}),
        ("columns", {"temperature_degc": [1.0]}),
        ("columns", {"temperature_degc": {"x": "abc"}}),
        ("spectrum_db", {"accel": 7}),
        ("severity", [4]),
        ("severity", 10**400),
        ("values", {"height_m": 10**400}),
        ("values", 3),
    ],
)
def test_a_record_of_another_kind_is_a_difference(
    key: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = written(tmp_path / "a", TRIP), written(tmp_path / "b", changed(key, value))
    for more in ([], ["--json"], ["--tolerance", "loose"]):
        status = main(["compare", str(a), str(b), *more])
        assert status == 1, capsys.readouterr()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"), [("records", [1]), ("records", {"event": "x"}), ("notes", [[1]]), ("software", 5)]
)
def test_a_summary_of_another_kind_is_refused(
    key: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = written(tmp_path / "a", TRIP, **SUMMARY)
    b = written(tmp_path / "b", TRIP, **{**SUMMARY, key: value})
    assert main(["compare", str(a), str(b)]) == 2
    assert "the summary that `cargobox replay` writes" in capsys.readouterr().err
