"""Command lines that cannot be meant: exit status 2, and the word that was probably intended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.refusal import refused
from tests.live.processes import cargobox


def test_an_unknown_verb() -> None:
    told = refused("rnu", status=2)
    assert told.got == "'rnu' (did you mean 'run'?)"
    plain = cargobox("rnu")
    assert (plain.end(), plain.out, plain.err) == (2, "", told.line), "without --json the words alone"
    assert told.expected.startswith("one of ")


def test_an_unknown_option(tmp_path: Path) -> None:
    told = refused("run", "--config", tmp_path / "box.toml", "--sceonds", "3", status=2)
    assert "--sceonds" in told.got
    assert "cargobox run --help" in told.expected


def test_an_option_that_is_missing() -> None:
    assert "--config" in refused("run", status=2).got
    assert "--out" in refused("record", status=2).got
    assert "LOG" in refused("replay", "--out", "x", status=2).got


@pytest.mark.parametrize(
    ("verb", "seconds"),
    [
        (["run", "--config", "none.toml"], "-3"),
        (["run", "--config", "none.toml"], "nan"),
        (["run", "--config", "none.toml"], "inf"),
        (["run", "--config", "none.toml"], "soon"),
        (["record", "--out", "x.mcap"], "0"),
        (["demo"], "0"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_length_that_is_none(verb: list[str], seconds: str) -> None:
    told = refused(*verb, f"--seconds={seconds}", status=2)
    assert "--seconds" in told.doing + told.got


def test_a_recording_that_replay_would_not_know(tmp_path: Path) -> None:
    config = tmp_path / "box.toml"
    config.write_text('[source.serial]\nport = "/dev/none"\n[outbox]\ndirectory = "outbox"\n')
    for line in (["record", "--out"], ["run", "--record"]):
        told = refused(*line, "trip.csv", "--config", config, status=2, cwd=tmp_path)
        assert told.got == "a name that ends in '.csv'"
        assert "trip.mcap" in told.remedy
    assert not (tmp_path / "trip.csv").exists()


def test_outbox_options_that_contradict_each_other(tmp_path: Path) -> None:
    both = refused("outbox", "stats", "--dir", tmp_path, "--config", tmp_path / "box.toml", status=2)
    assert both.got == "--dir and --config"
    assert refused("outbox", "list", "--dir", tmp_path, "--limit=-1", status=2).got == "-1"
    assert "stat" in refused("outbox", "stat", "--dir", tmp_path, status=2).got


def test_an_export_has_its_records_or_its_document_on_stdout_and_not_both(tmp_path: Path) -> None:
    told = refused("outbox", "export", "--dir", tmp_path, status=2)
    assert "--out" in told.remedy
