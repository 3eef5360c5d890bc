"""Configurations with mistakes: the key, what it got, what it wanted; exit status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.refusal import Refusal, refused

GOOD = """
[source.serial]
port = "/dev/serial/by-id/none"
[outbox]
directory = "outbox"
"""


def told_of(folder: Path, text: str, *more: str) -> Refusal:
    """Run with this configuration."""
    path = folder / "box.toml"
    path.write_text(text)
    told = refused("run", "--config", path, *more, status=2)
    assert not (folder / "outbox").exists(), "nothing was begun"
    return told


def test_a_misspelled_key(tmp_path: Path) -> None:
    told = told_of(tmp_path, GOOD.replace("directory", "directroy"))
    assert str(tmp_path / "box.toml") in told.doing
    assert told.got == "a key 'directroy' in [outbox] (did you mean 'directory'?)"
    assert "directory" in told.expected


def test_a_misspelled_table(tmp_path: Path) -> None:
    told = told_of(tmp_path, GOOD + "[brokre]\nport = 1\n")
    assert told.got == "a key 'brokre' (did you mean 'broker'?)"


@pytest.mark.parametrize(
    ("text", "got", "expected"),
    [
        ("[broker]\nport = 'x'", "broker.port = 'x'", "a number"),
        ("[broker]\nport = 70000", "broker.port = 70000", "65535"),
        ("[box]\nid = 'a b'", "box.id = 'a b'", "letters"),
        ("[mounting]\nup = 'up'", "mounting.up = 'up'", "up"),
        ("[mounting]\nup = [0, 0, 0]", "mounting.up = [0, 0, 0]", "a direction"),
        ("[detect.temperature]\nlow_degc = 'cold'", "detect.temperature.low_degc = 'cold'", "a number"),
    ],
)
def test_a_value_of_the_wrong_kind(tmp_path: Path, text: str, got: str, expected: str) -> None:
    told = told_of(tmp_path, f"{GOOD}{text}\n")
    assert told.got == got
    if expected != "up":
        assert expected in told.expected, told


def test_no_such_file(tmp_path: Path) -> None:
    told = refused("run", "--config", tmp_path / "none.toml", status=2)
    assert told.got == "No such file or directory"
    assert "--config" in told.remedy


@pytest.mark.parametrize("text", ["[box", "\xff\xfe", "id = 1\nid = 2"])
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "box.toml"
    path.write_bytes(text.encode("latin-1"))
    assert refused("run", "--config", path, status=2).expected == "valid TOML"


def test_no_source(tmp_path: Path) -> None:
    told = told_of(tmp_path, '[outbox]\ndirectory = "outbox"\n')
    assert told.got == "neither [source.serial] nor [[source.i2c]]"
    assert "/dev/serial/by-id" in told.remedy
    told = refused("record", "--out", "x.mcap", status=2, cwd=tmp_path)
    assert told.got == "neither [source.serial] nor [[source.i2c]]"
