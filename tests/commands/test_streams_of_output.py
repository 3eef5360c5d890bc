"""Output that nobody takes, and answers that a program reads: exactly one JSON document, words on stderr."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.live.processes import cargobox, command, environment


def write_to(fd: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb whose stdout is `fd`."""
    return subprocess.run(
        command(*arguments), stdout=fd, stderr=subprocess.PIPE, text=True, env=environment(), check=False
    )


@pytest.fixture
def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["outbox", "stats", "--json"],
        ["outbox", "list"],
        ["nonsense", "--json"],
    ],
    ids=" ".join,
)
def test_a_reader_that_has_left(arguments: list[str], closed_pipe: int, tmp_path: Path) -> None:
    more = ["--dir", str(tmp_path)] if arguments[0] == "outbox" else []
    done = write_to(closed_pipe, *arguments, *more)
    os.close(closed_pipe)
    assert done.returncode == (2 if arguments[0] == "nonsense" else 0), done.stderr
    assert "BrokenPipe" not in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_without_room(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    done = write_to(full, "outbox", "stats", "--json", "--dir", str(tmp_path))
    os.close(full)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: running `cargobox outbox`: No space left on device, expected"), done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("what", ["stats", "list", "verify"])
def test_one_document(what: str, tmp_path: Path) -> None:
    done = cargobox("outbox", what, "--json", "--dir", tmp_path)
    assert done.end() == 0, done.err
    json.loads(done.out)
    assert len(done.out.splitlines()) == 1, done.out


def test_the_help_says_what_there_is() -> None:
    done = cargobox("--help")
    assert done.end() == 0
    for verb in ("demo", "run", "record", "replay", "outbox"):
        assert f"\n  {verb} " in done.out, done.out
    assert cargobox().end() == 2, "no verb is no success"
    assert cargobox("--version").out.startswith("cargobox 0.")
