"""Ports that are none: absent, no serial port at all, or nobody at the other end; exit status 1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.commands.refusal import refused
from tests.live.setting import write_config
from tests.uplink.brokers import free_port

BOTH = pytest.mark.parametrize("verb", ["run", "record"])


def line_of(verb: str, config: Path, folder: Path, port: Path) -> list[object]:
    more = ["--out", folder / f"{verb}.mcap"] if verb == "record" else []
    return [verb, "--config", config, "--port", port, *more]


@BOTH
def test_a_port_that_is_not_there(verb: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, port=tmp_path / "port", broker_port=free_port())
    told = refused(*line_of(verb, config, tmp_path, tmp_path / "port"), status=1)
    assert told.doing == f"serial port {tmp_path / 'port'}"
    assert told.got == "there is no such port"
    assert "/dev/serial/by-id" in told.remedy
    assert not (tmp_path / "record.mcap").exists(), "nothing was recorded, so there is no recording"


@pytest.mark.parametrize("what", ["/dev/null", "a file", "a folder"])
def test_what_is_no_port(what: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, port=tmp_path / "port", broker_port=free_port())
    port = Path(what) if what.startswith("/") else tmp_path / "what"
    if what == "a file":
        port.write_text("no port")
    elif what == "a folder":
        port.mkdir()
    told = refused(*line_of("run", config, tmp_path, port), status=1)
    assert told.doing == f"serial port {port}"
    assert told.expected == "a serial port"


def test_a_port_on_which_nobody_answers(tmp_path: Path) -> None:
    near, far = os.openpty()
    config = write_config(tmp_path, port="x", broker_port=free_port())
    told = refused(*line_of("run", config, tmp_path, Path(os.ttyname(far))), status=1)
    assert told.got == "nothing in 2 s"
    assert "firmware" in told.remedy
    os.close(near)
    os.close(far)
