"""The host moves an output of the firmware's own source, and nobody else does."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Any, cast

import pytest

from firmware_bridge import wire
from firmware_bridge.describe import parse_description
from firmware_bridge.errors import ProtocolError
from firmware_bridge.link import Link
from firmware_bridge.outputs import FULL, authorise, set_output
from tests.bridge.fake_board import KEY, FakeBoard, make


class ShortLink:
    """What `set_output` needs of a link, with the firmware at its other end; answers may get lost."""

    port_name = "/dev/ttyTEST"

    def __init__(self, *, output_key: bytes = KEY) -> None:
        self.board = FakeBoard(turns=1 << 30)
        self.board.output_key = output_key
        self.firmware = make(self.board)
        self.firmware.send_describe()
        self.to_lose: list[int] = []  # answers with these results get lost, one after the other
        self.sent: list[bytes] = []
        self.command(wire.DO_START)
        self.session: int = self.firmware.session
        self.description = parse_description(self.board.frames(wire.DESCRIBE)[0], self.port_name)

    def command(self, verb: int, arguments: bytes = b"") -> tuple[int, bytes]:
        """As `Link.command`: what is not answered is sent again."""
        while True:
            self.sent.append(arguments)
            self.board.sent.clear()
            self.board.inbox += wire.command(1, verb, arguments)
            self.firmware.turn()
            if not self.board.sent:
                self.firmware.turn()
            if verb == wire.DO_START:
                self.firmware.send_describe()
                self.firmware.push()
            _, result, payload = self.board.answers(verb)[0]
            if self.to_lose[:1] != [result]:
                return result, payload
            del self.to_lose[0]

    def set(self, share: float, *, key: bytes = KEY, name: str = "heater") -> None:
        set_output(cast(Link, self), key, name, share)


@pytest.mark.parametrize(("share", "value"), [(0, 0), (1, FULL), (0.25, 16384)])
def test_it_moves(share: float, value: int) -> None:
    link = ShortLink()
    link.set(share)
    assert link.board.moved == [(0, value)]


def test_each_move_takes_the_next_number() -> None:
    link = ShortLink()
    for _ in range(3):
        link.set(1)
    counters = [struct.unpack_from(wire.OUTPUT_ARGUMENTS, sent)[2] for sent in link.sent if sent]
    assert counters == [1, 1, 2, 1, 3], "a refusal tells the last one"
    assert len(link.board.moved) == 3


REFUSED, DONE = wire.NOT_AUTHORISED, wire.OK


@pytest.mark.parametrize("lost", [[DONE], [REFUSED, DONE], [REFUSED, DONE, REFUSED], [REFUSED, REFUSED]])
def test_an_answer_that_got_lost_is_no_failure(lost: list[int]) -> None:
    link = ShortLink()
    link.set(0)
    link.to_lose = lost
    link.set(1)
    assert link.board.moved == [(0, 0), (0, FULL)], "moved, and once"
    assert link.to_lose == []


@pytest.mark.parametrize(
    ("about", "got", "expected"),
    [
        ({"name": "fan"}, "the board has heater", "an output of that name"),
        ({"share": 1.5}, "a value of 1.5", "0 (off) to 1 (on)"),
        ({"key": b"wrong"}, "the command is not authorised", "that it is done"),
    ],
    ids=["no such output", "too much", "wrong key"],
)
def test_what_is_refused_says_why(about: dict[str, Any], got: str, expected: str) -> None:
    link = ShortLink()
    with pytest.raises(ProtocolError) as error:
        link.set(**{"share": 1.0, **about})
    assert (error.value.got, error.value.expected) == (got, expected)
    assert "heater" in str(error.value) or "fan" in str(error.value)
    assert link.board.moved == []


def test_a_board_that_has_no_key_obeys_nobody() -> None:
    link = ShortLink(output_key=b"")
    with pytest.raises(ProtocolError, match="not authorised"):
        link.set(1, key=b"")
    assert link.board.moved == []


@pytest.mark.parametrize("key", [b"k", KEY, b"x" * 64, b"y" * 100], ids=len)
def test_our_own_hmac_is_that_of_the_standard_library(key: bytes) -> None:
    signed = struct.pack("<IBHI", 0x89ABCDEF, 3, 40_000, 77)
    expected = hmac.new(key, signed, hashlib.sha256).digest()[:8]
    assert authorise(key, 0x89ABCDEF, 77, 3, 40_000) == struct.pack("<BHI", 3, 40_000, 77) + expected
    link = ShortLink(output_key=key)
    link.set(1, key=key)
    assert link.board.moved == [(0, FULL)]
