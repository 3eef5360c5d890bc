"""A board that somebody left at MicroPython's prompt: the link starts its program again."""

from __future__ import annotations

import logging

import pytest
import serial

from firmware_bridge.errors import ProtocolError
from firmware_bridge.link import Link
from firmware_bridge.virtual.repl_board import ReplBoard
from tests.bridge.reading import Received
from tests.flash.releases import OLD, prompt

pytestmark = pytest.mark.board


def check_it_streams(link: Link) -> None:
    received = Received(link)
    received.until_index(20, "pressure")
    link.close()


@pytest.mark.parametrize("state", ["raw", "raw, in the middle of a line", "plain"])
def test_the_link_starts_it_again(state: str, with_old: ReplBoard, caplog: pytest.LogCaptureFixture) -> None:
    with prompt(with_old):
        pass
    with_old.plug_at_prompt()
    with serial.Serial(with_old.port, exclusive=True, timeout=2) as port:
        if state != "plain":
            port.write(b"\r\x03\x03\x01")
            assert b"raw REPL" in port.read_until(b"raw REPL")
        if state.endswith("line"):
            port.write(b"import os; os.listdir(")
    link = Link(with_old.port)
    with caplog.at_level(logging.WARNING):
        assert link.open().firmware == OLD
    assert "at MicroPython's prompt: starting its program" in caplog.text
    check_it_streams(link)


def test_a_board_without_a_program_is_explained(board: ReplBoard) -> None:
    with pytest.raises(ProtocolError, match=r"a MicroPython prompt.*`cargobox flash` puts the firmware"):
        Link(board.port).open()
