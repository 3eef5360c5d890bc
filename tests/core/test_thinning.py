"""What becomes of a record's columns when windows are made longer."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agent.features.engine import families_of
from agent.records import Document
from agent.streams import TABLE
from agent.thinning import groups, joined_runs, rule_of, seqs_of, thinned
from tests.docs.contract import document, fault_of


def features(seq: int, start_s: int, columns: dict[str, Any], n: int = 10, **more: Any) -> Document:
    head = {"v": 1, "box": "b", "boot": "0" * 16, "seq": seq, "t": time(start_s + n), "tq": "synced"}
    rest = {"cal": "none", "sw": "1", "window_s": 1, "start": time(start_s), "n": n, "columns": columns}
    return {**head, **rest, **more}


def time(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.250000Z"


def test_each_column_has_its_own_rule() -> None:
    some = [1.0, 2.0, 3.0, 4.0] + [2.0] * 6
    columns = {
        "accel_rms_mps2": {"x": some},
        "accel_peak_mps2": {"x": some},
        "accel_mean_mps2": {"x": some},
        "rope_min_v": some,
        "temperature_degc": [None] * 10,
        "temperature_kinetic_degc": [20.0] * 5 + [30.0] * 5,
    }
    out = thinned([features(4, 0, columns)])["columns"]
    assert out["accel_rms_mps2"] == {"x": [round(math.sqrt((1 + 4 + 9 + 16 + 24) / 10), 1)]}
    assert out["accel_peak_mps2"] == {"x": [4.0]}
    assert out["accel_mean_mps2"] == {"x": [2.2]}
    assert out["rope_min_v"] == [1.0]
    assert out["temperature_degc"] == [None]
    (kinetic,) = out["temperature_kinetic_degc"]
    assert 25.5 < kinetic < 27.0, f"{kinetic}: nearer to the hot half, which ages more"


def test_records_become_one_that_names_them_all() -> None:
    made = [features(seq, 10 * i, {"load_total_kg": [60.01] * 10}) for i, seq in enumerate((3, 4, 6))]
    assert groups(made) == [[0, 1, 2]]
    out = thinned(made)
    assert (out["seq"], out["seqs"], out["n"], out["window_s"]) == (6, [[3, 4], [6, 6]], 3, 10)
    assert (out["start"], out["t"]) == (made[0]["start"], made[2]["t"])
    assert out["columns"] == {"load_total_kg": [60.01] * 3} and "at" not in out
    assert fault_of("features", out) == ""
    again = thinned([out])
    assert (again["window_s"], again["n"], again["seqs"]) == (60, 1, [[3, 4], [6, 6]])
    assert seqs_of(again) == [[3, 4], [6, 6]]
    assert fault_of("features", again) == ""


def test_a_hole_between_records_stays_a_hole() -> None:
    out = thinned([features(0, 0, {"a_degc": [1.5] * 10}), features(1, 40, {"a_degc": [2.5] * 10})])
    assert (out["n"], out["at"], out["columns"]) == (2, [0, 4], {"a_degc": [1.5, 2.5]})


@pytest.mark.parametrize(
    "other",
    [{"boot": "1" * 16}, {"cal": "0123456789ab", "trust": "trusted"}, {"tq": "unset"}, {"window_s": 10}],
)
def test_what_is_not_alike_is_not_made_one(other: dict[str, Any]) -> None:
    assert groups([features(0, 0, {}), {**features(1, 10, {}), **other}]) == [[0], [1]]


def test_a_clock_that_jumped_ends_a_group() -> None:
    jumped = {**features(1, 10, {}), "start": "2026-01-01T00:00:10.700000Z"}
    assert groups([features(0, 0, {}), jumped]) == [[0], [1]]
    assert groups([features(0, 20, {}), features(1, 10, {})]) == [[0], [1]], "back in time"


def test_trust_is_the_worst() -> None:
    made = [
        features(i, 10 * i, {}, cal="0123456789ab", trust=trust)
        for i, trust in enumerate(("trusted", "degraded", "trusted"))
    ]
    assert thinned(made)["trust"] == "degraded"


def test_spectra_are_those_of_the_mean_power() -> None:
    made = [
        features(i, 10 * i, {}, spectrum_db={"accel": {"x": [None, level]}})
        for i, level in enumerate((100.0, 110.0))
    ]
    (low, level) = thinned(made)["spectrum_db"]["accel"]["x"]
    assert low is None
    assert level == round(10 * math.log10((1e10 + 1e11) / 2), 1)


def test_a_column_without_a_rule_is_left_out_and_named() -> None:
    out = thinned([features(0, 0, {"odd_furlong": [1] * 10, "b_degc": [1.0] * 10})])
    assert (out["left_out"], list(out["columns"])) == (["odd_furlong"], ["b_degc"])
    assert fault_of("features", {**out, "columns": {}}) == ""


def test_every_column_that_is_described_has_a_rule() -> None:
    names = document()["components"]["schemas"]["Columns"]["properties"]
    assert [name for name in names if rule_of(name) is None] == []
    assert len(names) > 20


def test_every_column_of_every_family_has_a_rule() -> None:
    import numpy as np

    from agent.features.engine import Tank
    from agent.features.table import Layout

    told: set[str] = set()
    for spec in TABLE.values():
        for family in families_of(spec, Tank(1.0, 0.5, 0.8)):
            layout = Layout({f"s.{name}": how for name, how in family.names.items()})
            told |= family.columns(layout.empty(np.array([0])).part("s")).keys()
    assert len(told) > 15, told
    assert [name for name in sorted(told) if rule_of(name) is None] == []


def test_runs_that_touch_become_one() -> None:
    assert joined_runs([(5, 6), (1, 2), (3, 3), (8, 9), (9, 12)]) == [[1, 3], [5, 6], [8, 12]]
