"""`cargobox compare`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import main
from tests.compare.lists import Record, event, features, gap, in_order, lines

TRIP = in_order([*event("drop", 1, 60.0, 0.5, 4, height_m=1.0), gap("accel", 90.0, 1, 3), features(0, [1.0])])
OTHER = in_order(
    [*event("drop", 1, 60.0, 0.5, 4, height_m=1.2), gap("accel", 90.0, 1, 3), features(0, [1.0])]
)


def written(folder: Path, records: list[Record], /, **summary: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_bytes(b"\n".join(lines(records)) + b"\n")
    if summary:
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_silent_on_itself_and_in_plain_words_on_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = written(tmp_path / "a", TRIP), written(tmp_path / "b", OTHER)
    assert main(["compare", str(a), str(a)]) == 0
    assert capsys.readouterr().out.startswith("no difference")
    assert main(["compare", str(a), str(b)]) == 1
    out = capsys.readouterr().out
    assert "CHANGED    alarm drop (critical)  0:01:00.000 into the trip, 2023-11-14 22:14:20.000Z" in out
    assert "height 1 m → 1.2 m (+20 %)" in out
    assert "\x1b" not in out, "no colours in a pipe"
    assert main(["compare", str(a / "records.jsonl"), str(b)]) == 1, "a file is a run, too"


def test_tolerances_come_from_the_line_and_from_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = written(tmp_path / "a", TRIP), written(tmp_path / "b", OTHER)
    both = ["compare", str(a), str(b)]
    assert main([*both, "--tolerance", "height_m=0.3"]) == 0
    assert main([*both, "--tolerance", "height_m=25%"]) == 0
    assert main([*both, "--tolerance", "loose"]) == 1
    assert main([*both, "--ignore", "height_m"]) == 0
    file = tmp_path / "rules.toml"
    file.write_text('window_s = 2\nignore = ["gap"]\n[tolerance]\nheight_m = 0.3\n"*_mps2" = "2%"\n')
    assert main([*both, "--config", str(file)]) == 0
    capsys.readouterr()
    assert main([*both, "--ignore", "hight_m"]) == 1
    assert "nothing is called 'hight_m'" in capsys.readouterr().err


def test_the_document_has_it_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = written(tmp_path / "a", TRIP, published_bytes=100, notes=["one"], wall_s=1.0)
    b = written(tmp_path / "b", OTHER, published_bytes=110, notes=["two"], wall_s=2.0)
    assert main(["compare", str(a), str(b), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["equal"] is False
    told = document["logs"][""]["differences"]
    assert [(d["what"], d["of"], d["name"]) for d in told] == [
        ("changed", "event", "drop"),
        ("vanished", "summary", "notes"),
        ("appeared", "summary", "notes"),
        ("changed", "summary", "published_bytes"),
    ]
    assert told[0]["into_trip_s"] == 60.0 and told[0]["at"] == "2023-11-14T22:14:20.000000Z"
    assert told[3]["changes"][0]["delta"] == 10


def test_bytes_are_those_of_the_summary_but_for_another_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: dict[str, object] = {"software": "1.0", "records": {"event": 5}}
    a = written(tmp_path / "a", TRIP, published_bytes=1000, **sent)
    b = written(tmp_path / "b", TRIP, published_bytes=1100, **sent)
    longer = written(tmp_path / "c", TRIP, published_bytes=1010, **{**sent, "software": "1.0rc"})
    assert main(["compare", str(a), str(b)]) == 1
    out = capsys.readouterr().out
    assert "1,000 → 1,100" in out, "as both summaries have it"
    assert "1 line of the summary changed" in out
    assert main(["compare", str(a), str(longer)]) == 0, "the name of the version stands in every record"


def test_many_logs_are_matched_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, records in (("one", TRIP), ("two", TRIP), ("gone", TRIP)):
        written(tmp_path / "a" / name, records)
    for name, records in (("one", TRIP), ("two", OTHER), ("new", TRIP)):
        written(tmp_path / "b" / name, records)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    out = capsys.readouterr().out
    for words in ("two: 1 difference", "gone: only in A", "new: only in B", "1 log is without a difference"):
        assert words in out, out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--tolerance", "height_m"], "KEY=AMOUNT"),
        (["--tolerance", "height_m=-1"], "KEY=AMOUNT"),
        (["--tolerance", "height_m=nan"], "KEY=AMOUNT"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = written(tmp_path / "a", TRIP)
    assert main(["compare", str(a), str(a), *more]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_records_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = written(tmp_path / "a", TRIP)
    (tmp_path / "empty").mkdir()
    for other in ("empty", "none"):
        assert main(["compare", str(a), str(tmp_path / other)]) == 2
        assert "records" in capsys.readouterr().err


def test_a_line_that_is_no_record_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = written(tmp_path / "a", TRIP), written(tmp_path / "b", TRIP)
    with (b / "records.jsonl").open("ab") as file:
        file.write(b'{"topic": "cargobox/1/f/b/alarm", "payl\n')
    assert main(["compare", str(a), str(b)]) == 1
    assert "line 5 of B is no record" in capsys.readouterr().out


def test_trips_of_other_days_are_not_compared_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = written(tmp_path / "a", TRIP)
    b = written(tmp_path / "b", event("drop", 1, 90_000.0, 0.5))
    assert main(["compare", str(a), str(b)]) == 1
    assert "no moment in common" in capsys.readouterr().out
