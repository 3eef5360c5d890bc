"""Many trips on one page: all of them, the worst first, and what could not be read; and a sweep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.cli import main
from agent.errors import UsageError
from agent.report import write_overview
from tests.report.trips import replayed


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Three trips: one as it was, one in which nothing happened, one damaged."""
    out, _, _ = replayed(tmp_path)
    top = tmp_path / "many"
    for name in ("a-quiet", "b-rough", "c-damaged"):
        shutil.copytree(out, top / name)
    lines = (top / "a-quiet" / "records.jsonl").read_text().splitlines()
    quiet = [line for line in lines if json.loads(line)["topic"].endswith("features")]
    (top / "a-quiet" / "records.jsonl").write_text("\n".join(quiet) + "\n")
    (top / "c-damaged" / "records.jsonl").write_text("{")
    return top


def test_the_worst_comes_first_and_each_has_its_page(many: Path) -> None:
    page = write_overview(many).read_text(encoding="utf-8")
    assert page.index('href="b-rough/report.html"') < page.index('href="a-quiet/report.html"')
    assert (many / "a-quiet" / "report.html").is_file()
    assert "c-damaged</b>: " in page, "the damaged one is passed over in silence"
    assert "2 drops" in page and "2 trips" in page.lower()


def test_a_sweep_has_a_row_a_value(many: Path) -> None:
    combinations = [
        {
            "folder": name,
            "values": {"detect.drop.min_fall_s": value},
            "events": {"drop": n},
            "upload_ratio": 0.1,
        }
        for name, value, n in (("a-quiet", 0.3, 0), ("b-rough", 0.1, 2))
    ]
    (many / "sweep.json").write_text(
        json.dumps({"keys": ["detect.drop.min_fall_s"], "combinations": combinations})
    )
    page = write_overview(many).read_text(encoding="utf-8")
    assert "by the value of detect.drop.min_fall_s" in page
    assert 'data-sort="0.3"' in page and 'data-label="Drop" class="number">2<' in page


def test_the_verb_tells_many_from_one(many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(many)]) == 0
    assert str(many / "report.html") in capsys.readouterr().out
    assert main(["report", str(many), "--log", "x.csv"]) == 2


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_overview(tmp_path)
