"""A host that was asleep, a board that hangs while frames are missing, more holes than requests in a turn."""

from __future__ import annotations

import itertools
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge import wire
from firmware_bridge.describe import BoardStream
from firmware_bridge.link import Link
from firmware_bridge.reception import REQUESTS_AT_ONCE, Reception
from firmware_bridge.status import Counters
from firmware_bridge.virtual import VirtualBox
from tests.bridge.cable import Cable, cable
from tests.bridge.reading import Received

PORT_HOLDS_BYTES = 4096  # of Linux's serial ports, towards a board that does not read
MS = 1_000_000


@pytest.fixture
def between(quick_box: VirtualBox, tmp_path: Path) -> Iterator[Cable]:
    with cable(tmp_path / "host-port", quick_box.port) as it:
        yield it


@pytest.fixture
def link(between: Cable, tmp_path: Path) -> Iterator[Link]:
    link = Link(str(tmp_path / "host-port"))
    link.open()
    yield link
    link.close()


def test_a_host_that_was_asleep_does_not_blame_the_cable(
    between: Cable, link: Link, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("firmware_bridge.link.HELD_UP_NS", 200 * MS)
    monkeypatch.setattr("firmware_bridge.link.SILENCE_NS", 500 * MS)
    monkeypatch.setattr("firmware_bridge.link.DEAF_NS", 500 * MS)
    received = Received(link)
    monkeypatch.setattr("firmware_bridge.link.PING_NS", 100 * MS)
    received.until_index(500)
    pieces = itertools.count()
    between.spoil = lambda data: [] if 5 <= next(pieces) < 15 else [data]
    threading.Event().wait(1.5)
    received.until_index(received.next_index() + 2000)
    assert next(pieces) > 15
    assert received.holes() == [], "what was lost meanwhile is asked for again, not given up"
    assert link.counters.refilled_frames > 0 and link.counters.disconnects == 0, link.counters
    assert not link.deaf and "no answer" not in caplog.text, caplog.text
    received.check_counts()


def test_a_board_that_hangs_is_not_asked_until_its_port_is_full(
    quick_box: VirtualBox, between: Cable, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_bridge.link.SILENCE_NS", 1000 * MS)
    partial = b""

    def lose_every_other(data: bytes) -> list[bytes]:
        nonlocal partial
        *frames, partial = (partial + data).split(b"\0")
        return [frame + b"\0" for frame in frames if not is_odd(frame)]

    def is_odd(frame: bytes) -> bool:
        if not frame:
            return False
        body = wire.unseal(frame)
        return body[0] == wire.DATA and body[1] == 0 and body[2] % 2 == 1

    received = Received(link)
    received.until_index(500)
    between.spoil = lose_every_other
    received.until(lambda: link.counters.refills_asked > 300, "requests")
    quick_box.hang()
    sent = len(between.from_host)
    received.until(lambda: link.counters.disconnects == 1, "end of the link")
    assert "nothing in" in str(link.last_error), link.last_error
    more = len(between.from_host) - sent
    assert more < PORT_HOLDS_BYTES, f"{more} bytes were sent to a board that does not read"
    between.spoil = lambda data: [data]
    quick_box.wake()


class FalseClock:
    """Time passes when somebody waits."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000 * MS
        self.waits_s: list[float] = []

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)
        self.now_ns += round(wait_s * 1e9)


def test_a_board_that_was_away_for_long_is_not_left_alone_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FalseClock()
    monkeypatch.setattr("firmware_bridge.link.time", clock)
    link = Link("/dev/no-such-port")
    for _ in range(12):
        assert link.read(60.0, clock.sleep) == []
    assert clock.waits_s[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(clock.waits_s) == 1.0, "its ring holds a few seconds"


def test_many_holes_are_asked_for_in_one_turn_but_not_all() -> None:
    reception = Reception(Counters())
    reception.expect((BoardStream("pressure", ("p",), "Pa", 1.0, 50.0, 16, None),))
    reception.begin_session(reason="cable", counts_from_zero=True)
    reception.clock.add_ping(0, 0, 0, MS)
    for seq in range(1, 6 * REQUESTS_AT_ONCE, 2):
        header = struct.pack(wire.DATA_HEADER, wire.DATA, 0, seq, seq, seq * 20_000, 1)
        assert list(reception.take_data(bytearray(header + b"\0\0"), seq * 20 * MS)) == []
    now_ns = 1000 * MS
    asked = [list(reception.requests(now_ns)) for _ in range(4)]
    assert [len(requests) for requests in asked] == [REQUESTS_AT_ONCE] * 3 + [0], asked
    numbers = [struct.unpack(wire.REFILL_ARGUMENTS, one)[1] for requests in asked for one in requests]
    assert numbers == list(range(0, 6 * REQUESTS_AT_ONCE, 2)), "each once, in their order"
