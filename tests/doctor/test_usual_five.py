"""The usual five of docs/installers.md, each brought about, and its words held against the page."""

from __future__ import annotations

import os
import pty
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge.virtual import VirtualBox
from tests.bridge.cable import cable
from tests.doctor.looking import as_nobody, public_folder
from tests.doctor.odd_trip import OddTrip
from tests.house.tree import TOP
from tests.live.processes import Running, cargobox, command
from tests.live.setting import write_config
from tests.uplink.brokers import Mosquitto, free_port
from tests.uplink.conftest import mosquitto

__all__ = ["mosquitto"]  # a fixture

PORT = "/dev/ttyACM0"


def quoted(word: str) -> str:
    """Return the one message that the page quotes in full and that holds `word`."""
    text = (TOP / "docs/installers.md").read_text(encoding="utf-8")
    section = text.split("## What an error says")[1].split("\n## ")[0]
    messages = re.findall(r"^```\n((?:error|WARNING).*)\n```$", section, re.MULTILINE)
    fitting = [message for message in messages if word in message]
    assert len(messages) == 6 and len(fitting) == 1, messages
    return str(fitting[0])


def said(err: str, word: str) -> str:
    """Return the line of stderr with `word`."""
    return next((line for line in err.splitlines() if word in line), err)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_one_permission() -> None:
    with public_folder() as folder:
        near, far = pty.openpty()
        port = os.ttyname(far)
        os.fchmod(far, 0o600)
        config = write_config(folder, port=port, broker_port=free_port())
        config.write_text(config.read_text().replace('"outbox"', f'"{folder}/outbox"'))
        (folder / "outbox").mkdir()
        (folder / "outbox").chmod(0o777)
        done = as_nobody("run", "--config", config, cwd=folder)
        os.close(near)
        os.close(far)
    assert done.returncode == 1, done.stderr
    assert said(done.stderr, "error:") == quoted("permission denied").replace(PORT, port)


def test_two_the_wrong_port(tmp_path: Path) -> None:
    config = write_config(tmp_path, port=tmp_path / "port", broker_port=free_port())
    done = cargobox("run", "--config", config)
    assert done.end() == 1
    told = re.sub(r"(those present: ).*?(\. Plug)", r"\1…\2", said(done.err, "error:"))
    page = re.sub(r"(those present: ).*?(\. Plug)", r"\1…\2", quoted("there is no such port"))
    assert told == page.replace(PORT, str(tmp_path / "port"))


@pytest.mark.board
def test_two_another_program(tmp_path: Path) -> None:
    with VirtualBox(OddTrip(), tmp_path / "port", tmp_path / "state") as box:
        first = write_config(tmp_path / "a", port=box.port, broker_port=free_port())
        second = write_config(tmp_path / "b", port=box.port, broker_port=free_port())
        with Running(command("run", "--config", first)) as agent:
            agent.wait_line("reading .*; boot")
            done = cargobox("run", "--config", second)
            assert done.end() == 1
            assert agent.end(signal.SIGTERM) == 0
    told = re.sub(r"It is .* \(process \d+\)", "It is …", said(done.err, "error:"))
    page = re.sub(r"It is .* \(process \d+\)", "It is …", quoted("another program uses it"))
    assert told == page.replace(PORT, box.port)
    assert f"(process {agent.process.pid})" in done.err and "agent.cli run" in done.err


def test_three_no_power(tmp_path: Path) -> None:
    with cable(tmp_path / "port"):
        config = write_config(tmp_path, port=tmp_path / "port", broker_port=free_port())
        done = cargobox("run", "--config", config)
        assert done.end() == 1
    assert said(done.err, "error:") == quoted("nothing in").replace(PORT, str(tmp_path / "port"))


def test_four_no_firmware(tmp_path: Path) -> None:
    with cable(tmp_path / "port", answer=lambda sent: b"\r\n>>> "):
        config = write_config(tmp_path, port=tmp_path / "port", broker_port=free_port())
        done = cargobox("run", "--config", config)
        assert done.end() == 1
    assert said(done.err, "error:") == quoted("prompt").replace(PORT, str(tmp_path / "port"))


@pytest.mark.broker
def test_five_the_broker_does_not_let_the_box_in(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = mosquitto("allow_anonymous false")
    config = write_config(tmp_path, port=tmp_path / "port", broker_port=broker.port)
    with Running(command("run", "--config", config, "--wait")) as agent:
        told = agent.wait_line("it refuses")
        assert agent.end(signal.SIGTERM) == 0
    assert told == quoted("it refuses").replace("localhost:1883", f"127.0.0.1:{broker.port}")
