"""Boards that send whole frames of nonsense: nothing of it is raised, kept without bound or carried out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge import wire
from firmware_bridge.board_log import LOGS_A_SECOND, SECOND_NS, BoardLog
from firmware_bridge.describe import parse_description
from firmware_bridge.errors import ProtocolError
from firmware_bridge.link import Link
from firmware_bridge.status import FAULTS_MOST, Counters
from firmware_bridge.virtual import VirtualBox
from tests.bridge.cable import cable
from tests.bridge.reading import Received

STREAM = {"name": "pressure", "axes": ["p"], "unit": "Pa", "scale": 1, "rate_hz": 50, "bits": 16}
ABOUT = {"firmware": "1", "board": "b", "id": "aa", "reset": "", "boots": 0, "session": 0}
BRACKETS = b"[" * (wire.MAX_BODY_BYTES - 2)
INFINITE, NO_NUMBER = float("inf"), float("nan")
TERMINAL = "\x1b[2J\x1b]0;title\x07\r\nINFO all is well\x9b1m\u202e\ud800"


def describing(**about: Any) -> bytes:
    text = json.dumps({**ABOUT, "streams": [STREAM], **about})
    return bytes([wire.DESCRIBE, wire.PROTOCOL_VERSION]) + text.encode()


@pytest.mark.parametrize(
    "about",
    [
        {"boots": INFINITE},
        {"session": INFINITE},
        *({"tick_bits": bits} for bits in (-1, 0, 1, 33, 10**12)),
        *({"mount_up": up} for up in ([NO_NUMBER, 0, 1], [INFINITE, 0, 1], [1, 2], 3)),
        {"streams": []},
        {"streams": [STREAM, STREAM]},
        *({"streams": [{**STREAM, "rate_hz": rate}]} for rate in (0, -1, NO_NUMBER, INFINITE, 1e308, 1e-308)),
        *({"streams": [{**STREAM, "scale": scale}]} for scale in (NO_NUMBER, INFINITE)),
        {"streams": [{**STREAM, "full_scale": NO_NUMBER}]},
        {"faults": [1]},
        {"outputs": 1},
    ],
    ids=str,
)
def test_a_description_that_nothing_can_be_done_with_is_refused_in_words(about: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="a description that cannot be read"):
        parse_description(describing(**about), "port")


def test_a_description_of_brackets_is_refused_too() -> None:
    with pytest.raises(ProtocolError, match="a description that cannot be read"):
        parse_description(bytes([wire.DESCRIBE, wire.PROTOCOL_VERSION]) + BRACKETS, "port")


def test_no_word_of_a_board_moves_a_terminals_cursor() -> None:
    words = dict.fromkeys(("firmware", "board", "id", "reset", "slot"), TERMINAL)
    stream = {**STREAM, "name": TERMINAL, "axes": [TERMINAL], "unit": TERMINAL}
    more = {"faults": {TERMINAL: [TERMINAL] * 3}, "outputs": [{"name": TERMINAL}]}
    description = parse_description(describing(**words, **more, streams=[stream]), "port")
    said = str(description)
    assert said.isprintable() and said.isascii(), said
    assert description.board.startswith(r"\x1b[2J\x1b]0;title\x07\r\nINFO"), "it can still be read"


@pytest.mark.parametrize("level", [wire.INFO, wire.ERROR, wire.FAULT, 0, 255])
@pytest.mark.parametrize("about", ["text", "fault"])
def test_no_line_of_a_boards_log_is_two(level: int, about: str, caplog: pytest.LogCaptureFixture) -> None:
    fault = {"stream": TERMINAL, "doing": TERMINAL, "got": TERMINAL, "expected": TERMINAL}
    text = json.dumps(fault).encode() if about == "fault" else TERMINAL.encode(errors="surrogatepass")
    counters = Counters()
    with caplog.at_level(logging.INFO):
        BoardLog("port", counters).take(bytearray([wire.LOG, level]) + text, 0)
    (record,) = caplog.records
    assert record.getMessage().isprintable(), record.getMessage()
    assert all(f"{stream}{words}".isprintable() for stream, words in counters.faults.items())


def test_a_board_that_invents_faults_fills_no_memory() -> None:
    counters = Counters()
    log = BoardLog("port", counters)
    for n in range(3 * FAULTS_MOST):
        fault = {"stream": f"s{n}", "doing": "d", "got": "g", "expected": "e"}
        log.take(bytearray([wire.LOG, wire.FAULT]) + json.dumps(fault).encode(), n * SECOND_NS)
    assert len(counters.faults) == FAULTS_MOST
    assert LOGS_A_SECOND < FAULTS_MOST


def test_brackets_in_mid_stream_end_nothing(quick_box: VirtualBox, tmp_path: Path) -> None:
    nonsense = wire.seal(bytes([wire.LOG, wire.FAULT]) + BRACKETS)
    nonsense += wire.seal(bytes([wire.DESCRIBE, wire.PROTOCOL_VERSION]) + BRACKETS)
    with cable(tmp_path / "host-port", quick_box.port) as between:
        link = Link(str(tmp_path / "host-port"))
        link.open()
        received = Received(link)
        received.until_index(100)
        pieces = [b"\0" + nonsense]
        between.spoil = lambda data: [data, pieces.pop()] if pieces and data.endswith(b"\0") else [data]
        received.until(lambda: link.counters.disconnects == 1, "end of the link")
        received.until_index(received.next_index() + 500)
        received.check_counts()
        link.close()
