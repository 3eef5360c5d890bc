"""The pages tell of what the commands really offer and write."""

from __future__ import annotations

import argparse
import configparser
import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from agent.cli import VERBS, main
from agent.commands import run as run_verb
from agent.config import Config, OutboxSettings
from agent.outbox.inspect import outbox_stats
from agent.service import Service
from agent.sources.serial_box import SerialBox
from agent.uplink import BrokerConfig
from tests.house.tree import TOP

PAGES = (
    "README.md",
    "docs/installers.md",
    "docs/operators.md",
    "docs/engineers.md",
    "docs/replay.md",
    "docs/reports.md",
    "docs/formats.md",
)


def page(name: str) -> str:
    return (TOP / name).read_text(encoding="utf-8")


def options_of(verb: str) -> list[str]:
    parser = argparse.ArgumentParser(prog=verb, add_help=False)
    importlib.import_module(f"agent.commands.{verb}").configure(parser)
    return [option for action in parser._actions for option in action.option_strings]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_is_told_of(verb: str) -> None:
    text = "\n".join(page(name) for name in PAGES)
    assert f"cargobox {verb}" in text
    missing = [option for option in options_of(verb) if option not in text]
    assert not missing, f"no page tells of {', '.join(missing)} of `cargobox {verb}`"


FOLDERS = ("agent", "calibration", "docs", "firmware_bridge", "scripts", "tests")
NOT_YET = {"agent/detection/hail.py", "tests/detection/test_hail.py", "agent/sources/xyz_log.py"}  # steps


@pytest.mark.parametrize("name", [*PAGES, "docs/architecture.md"])
def test_every_file_that_is_named_is_there(name: str) -> None:
    said = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)", page(name))
    missing = [path for path in said if not (TOP / path).exists() and path not in NOT_YET]
    assert not missing, f"{name} names {', '.join(missing)}"


def test_the_rooms_are_those_of_the_house() -> None:
    text = page("docs/architecture.md")
    for package in ("agent", "firmware_bridge"):
        for path in (TOP / package).iterdir():
            if path.name.startswith("_") or path.name in {"py.typed", "errors.py", "port.py", "status.py"}:
                continue
            word = f"{path.name}/" if path.is_dir() else path.name
            assert re.search(rf"^  .*\b{re.escape(word)}", text, re.MULTILINE), f"no {word} among the rooms"
    rooms = re.findall(r"^  ([\w/]+(?:\.py)?)(?: |$)", text.split("## The laws")[0], re.MULTILINE)
    for word in rooms:
        packages = ("agent", "firmware_bridge", "calibration")
        assert any((TOP / package / word).exists() for package in packages), word


def test_the_errors_that_installers_meet_are_quoted() -> None:
    """What the first column of the table quotes stands in the code that says it."""
    code = "".join(
        p.read_text(encoding="utf-8") for f in ("agent", "firmware_bridge") for p in (TOP / f).rglob("*.py")
    )
    section = page("docs/installers.md").split("## What an error says")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    assert len(cells) >= 5
    for quoted in (word for cell in cells for word in re.findall(r"`([^`]+)`", cell)):
        plain = re.sub(r"\b\d+\b", "{}", quoted)
        found = quoted in code or all(part in code for part in plain.split("{}") if part.strip())
        assert found, f"docs/installers.md quotes {quoted!r}, which no error says"


def small_log(tmp_path: Path) -> tuple[Path, Path]:
    log, log_map = tmp_path / "trip.csv", tmp_path / "trip.toml"
    log.write_text("t,x,y,z\n" + "".join(f"{i / 100:.2f},0,0,1\n" for i in range(3000)))
    log_map.write_text(
        '[time]\ncolumn = "t"\nformat = "s"\n\n'
        '[streams.accel]\ncolumns = ["x", "y", "z"]\nunit = "g"\nup = "z"\n'
    )
    return log, log_map


def named(part: Any) -> set[str]:
    """Return every key in a document, but not those that are names of streams and the like."""
    if not isinstance(part, dict):
        return set()
    keys = set(part)
    for key, value in part.items():
        if key in {"streams", "logs"}:
            keys |= named(next(iter(value.values())))
        elif key not in {"events", "records", "failed"}:
            keys |= named(value)
    return keys


def test_a_replays_files_are_told_of_key_by_key(tmp_path: Path) -> None:
    log, log_map = small_log(tmp_path)
    text = page("docs/replay.md")
    single, several = tmp_path / "one", tmp_path / "two"
    assert main(["replay", str(log), "--map", str(log_map), "--out", str(single)]) == 0
    assert main(["replay", str(log), str(log), "--map", str(log_map), "--out", str(several)]) == 0
    keys = named(json.loads((single / "summary.json").read_text()))
    keys |= named(json.loads((several / "summary.json").read_text()))
    keys |= set(json.loads((single / "records.jsonl").read_text().splitlines()[0]))
    missing = sorted(key for key in keys if f"`{key}`" not in text)
    assert not missing, f"docs/replay.md does not tell of {', '.join(missing)}"


def test_what_run_and_outbox_print_is_told_of_key_by_key(tmp_path: Path) -> None:
    config = Config(
        outbox=OutboxSettings(directory=str(tmp_path / "outbox")),
        broker=BrokerConfig(host="localhost", port=1),
    )
    service = Service(config, SerialBox(str(tmp_path / "none")))
    try:
        keys = set(run_verb.document_of(service)) | set(outbox_stats(tmp_path / "outbox"))
    finally:
        service.stop(0.0)
    text = page("docs/operators.md")
    missing = sorted(key for key in keys if f"`{key}`" not in text)
    assert not missing, f"docs/operators.md does not tell of {', '.join(missing)}"


def test_the_unit_starts_what_there_is() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read_string(page("docs/examples/cargobox.service"))
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 2 * run_verb.IDLE_S, "fed at half of it, and at least so often"
    command = shlex.split(service["ExecStart"])
    assert command[1] in VERBS
    parser = argparse.ArgumentParser()
    run_verb.configure(parser)
    parser.parse_args(command[2:])
    assert service["RestartPreventExitStatus"] == "2"
    assert service["SupplementaryGroups"].split() == ["dialout", "i2c"], "for the port, and for the buses"
