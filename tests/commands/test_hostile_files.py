"""What lies where a small file is expected: pipes, devices, folders, and text made to take for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands.order import next_counter
from agent.config import load_config
from agent.errors import ConfigError, OrderError
from agent.orders.form import COUNTER_MAX
from agent.orders.keys import read_public
from agent.plain_files import MOST_BYTES

PATIENCE_S = 20

IN_ITS_PLACE: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "not a plain file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "not a plain file"),
    "folder": (lambda path: path.mkdir(), "directory"),
    "loop": (lambda path: path.symlink_to(path), "symbolic links"),
    "huge": (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40), "at most"),
}


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """End a test that hangs, which is what most of these did."""

    def tell(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, tell)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("what", IN_ITS_PLACE)
def test_what_is_no_file_in_the_place_of_the_configuration(what: str, tmp_path: Path) -> None:
    put, word = IN_ITS_PLACE[what]
    put(tmp_path / "cargobox.toml")
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "cargobox.toml")
    assert word in error.value.got, error.value


@pytest.mark.parametrize("what", IN_ITS_PLACE)
def test_what_is_no_file_in_the_place_of_a_key(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put, word = IN_ITS_PLACE[what]
    put(tmp_path / "key")
    with pytest.raises(OrderError) as error:
        read_public([str(tmp_path / "key")])
    assert word in error.value.got, error.value
    if what not in ("pipe", "loop"):  # of which others than its owner may read the former
        os.chmod(tmp_path / "key", 0o700) if what == "folder" else None
    assert main(["order", "--key", str(tmp_path / "key"), "--box", "b", "status"]) == 1
    assert "error: reading the" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a = " + "[" * 20_000, "without end"),
        ("a = " + "{b = " * 20_000, "without end"),
        ("a = " + "9" * 5_000, "digits"),
        (".".join("a" * 100_000) + " = 1", "parts"),
        ("[" + " . ".join(["'a'"] * 100_000) + "]", "parts"),
        ("#" * (MOST_BYTES + 1), "at most"),
    ],
    ids=["lists", "tables", "digits", "dots", "a table of dots", "size"],
)
def test_toml_that_is_made_to_take_for_ever(text: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "cargobox.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert word in error.value.got, error.value
    assert len(str(error.value)) < 2000


def test_numbers_and_texts_with_many_dots_are_no_key_of_many_parts(tmp_path: Path) -> None:
    path = tmp_path / "cargobox.toml"
    path.write_text(f'[box]\nid = "{"a." * 30}"\n# {", ".join(["0.5"] * 500)}\n')
    assert load_config(path).box.id == "a." * 30


@pytest.mark.parametrize("content", [b"\xff\xfe", "²".encode(), b"9" * 10_000, b"-1", b"", b"\0" * 9])
def test_a_counter_that_is_none_begins_at_the_time(content: bytes, tmp_path: Path) -> None:
    key, counter = tmp_path / "key", tmp_path / "key.counter"
    counter.write_bytes(content)
    if content.isdigit():
        with pytest.raises(OrderError, match="below"):
            next_counter(key)
        assert counter.read_bytes() == content
        return
    first = next_counter(key)
    assert 0 < first < next_counter(key) < COUNTER_MAX


def test_a_pipe_in_the_place_of_the_counter_holds_nobody_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    main(["order", "--key", str(key), "make-key"])
    os.mkfifo(tmp_path / "key.counter")
    assert main(["order", "--key", str(key), "--box", "b", "status"]) == 1
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("what", ["pipe", "device"])
@pytest.mark.parametrize("suffix", ["csv", "mcap", "bag", "ide", "db3"])
def test_what_is_no_file_in_the_place_of_a_log(
    what: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / f"log.{suffix}"
    IN_ITS_PLACE[what][0](log)
    for words in (
        ["replay", str(log), "--out", str(tmp_path / "out")],
        ["replay", str(log), str(log), "--out", str(tmp_path / "out"), "--workers", "2"],
        ["convert", str(log), str(tmp_path / "out.mcap")],
        ["compare", str(log), str(log)],
        ["report", str(log)],
    ):
        assert main(words) == 2, words
        assert capsys.readouterr().err.startswith("error: "), words
