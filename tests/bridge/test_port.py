"""A port that vanishes while it is opened or closed: a `PortError`, from which the link recovers."""

from __future__ import annotations

import termios
from pathlib import Path

import pytest
import serial

from firmware_bridge.errors import PortError
from firmware_bridge.link import Link
from firmware_bridge.port import Port
from tests.bridge.cable import cable

GONE = [termios.error(5, "Input/output error"), OSError(5, "Input/output error")]


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    def fail(_: serial.Serial) -> None:
        raise error

    for method in methods:
        monkeypatch.setattr(serial.Serial, method, fail)


@pytest.mark.parametrize("error", GONE, ids=["termios", "os"])
@pytest.mark.parametrize("methods", [["_reset_input_buffer"], ["reset_input_buffer"], ["fileno"]], ids=str)
def test_a_port_that_vanishes_while_it_is_opened(
    error: Exception, methods: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cable(tmp_path / "port"):
        with monkeypatch.context() as patch:
            fail_with(error, patch, *methods)
            with pytest.raises(PortError, match=r"it went away \(.*Input/output error"):
                Port(str(tmp_path / "port"))
        Port(str(tmp_path / "port")).close()  # it was let go of


@pytest.mark.parametrize("error", GONE, ids=["termios", "os"])
def test_a_port_that_is_gone_when_it_is_closed(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cable(tmp_path / "port"):
        port = Port(str(tmp_path / "port"))
        with monkeypatch.context() as patch:
            fail_with(error, patch, "close")
            port.close()
        port.close()


@pytest.mark.parametrize("error", GONE, ids=["termios", "os"])
def test_the_link_tries_again(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cable(tmp_path / "port"):
        link = Link(str(tmp_path / "port"))
        with monkeypatch.context() as patch:
            fail_with(error, patch, "_reset_input_buffer")
            assert link.read(0.01) == []
            assert link.last_error is not None
        for _ in range(100):
            link.read(0.01)
            if link.state.value == "asking":
                break
        assert link.state.value == "asking"
        link.close()
