"""Boards that flood, that come back under another name, that are not the one that was there."""

from __future__ import annotations

import itertools
import json
import logging
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import ports, wire
from firmware_bridge.errors import LinkError
from firmware_bridge.link import Link, LinkState
from firmware_bridge.ports import SerialPort
from firmware_bridge.virtual import VirtualBox
from tests.bridge.cable import cable
from tests.bridge.reading import Received
from tests.bridge.tiny_trip import TinyTrip

LOG = wire.seal(bytes([wire.LOG, wire.WARNING]) + b"mad, mad, mad")
PIECES = {
    "of what it has to say": LOG * 40,
    "of garbage": bytes(range(1, 256)) * 30,
    "of delimiters": bytes(8000),
    "of frames of no kind": wire.seal(b"\x63 what is this") * 100,
}


@pytest.mark.parametrize("what", PIECES)
def test_a_flood_drowns_neither_the_samples_nor_the_log(
    what: str, quick_box: VirtualBox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with cable(tmp_path / "host-port", quick_box.port) as between, caplog.at_level(logging.INFO):
        link = Link(str(tmp_path / "host-port"))
        link.open()
        received = Received(link)
        received.until_index(200)
        turns = 0

        def flood(data: bytes) -> list[bytes]:
            nonlocal turns
            turns += 1
            return [b"\0" + PIECES[what] + b"\0", data] if turns % 8 == 0 else [data]

        between.spoil = flood
        received.until(lambda: turns >= 800, "flood")
        received.until_index(received.next_index() + 100)
        received.check_counts()
        assert received.holes() == [], f"{link.counters}"
        said = [r for r in caplog.records if "mad, mad" in r.getMessage()]
        assert len(said) <= 25, f"{len(said)} lines in the log"
        if what == "of what it has to say":
            assert any("things more" in r.getMessage() for r in caplog.records)
        link.close()


def usb(device: str, serial_number: str) -> SerialPort:
    return SerialPort(device, "2E8A:0005", serial_number, None, None, "", "RP2040", "rp2", 2)


class UsbPorts:
    """What the system lists: pseudo-terminals are not among it, so the test says what is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there: dict[str, str] = {}
        monkeypatch.setattr(ports, "list_ports", self._list)
        monkeypatch.setattr("firmware_bridge.ports.os.path.realpath", str)

    def _list(self) -> tuple[SerialPort, ...]:
        return tuple(usb(device, number) for device, number in self.there.items())


def test_a_board_is_found_again_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = UsbPorts(monkeypatch)
    first, second = tmp_path / "ttyACM0", tmp_path / "ttyACM1"
    with VirtualBox(TinyTrip(), first, tmp_path / "state") as box:
        system.there = {str(first): "E66123"}
        link = Link(str(first))
        link.open()
        received = Received(link)
        received.until_index(200)
        box.unplug()
        system.there = {}
        received.until(lambda: link.state is LinkState.DOWN, "end of the link")
        box.plug()
        first.rename(second)
        system.there = {str(second): "E66123", str(tmp_path / "ttyACM2"): "E66999"}
        received.until_index(received.next_index() + 500)
        assert [reason for _, _, reason in received.holes()] == ["cable"]
        link.close()
        second.unlink()


def test_another_board_under_the_old_name_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = UsbPorts(monkeypatch)
    port = tmp_path / "ttyACM0"
    with VirtualBox(TinyTrip(), port, tmp_path / "state") as box:
        system.there = {str(port): "E66123"}
        link = Link(str(port))
        link.open()
        received = Received(link)
        received.until_index(100)
        box.unplug()
        system.there = {str(port): "E66999"}
        box.plug()
        received.until(lambda: "another board than before" in str(link.last_error), "refusal")
        assert "USB serial number E66123" in str(link.last_error)
        system.there = {str(port): "E66123"}
        received.until_index(received.next_index() + 100)
        link.close()


def scripted(describe: Callable[[], dict[str, object]]) -> Callable[[bytes], bytes]:
    """A far end that describes itself so, and answers pings."""

    def answer(sent: bytes) -> bytes:
        out = b""
        for raw in filter(None, sent.split(b"\0")):
            try:
                _, ident, verb = wire.unseal(raw)[:3]
            except wire.Damaged:
                continue
            head = bytes([wire.RESPONSE, ident, verb, wire.OK])
            if verb == wire.DO_DESCRIBE:
                text = json.dumps(describe()).encode()
                out += wire.seal(bytes([wire.DESCRIBE, wire.PROTOCOL_VERSION]) + text)
            elif verb == wire.DO_PING:
                out += wire.seal(head + struct.pack(wire.PONG, 5, 6, 0))
        return out

    return answer


def test_another_board_with_the_same_streams_is_noticed_by_its_id(tmp_path: Path) -> None:
    stream = {"name": "pressure", "axes": ["p"], "unit": "Pa", "scale": 1, "rate_hz": 50, "bits": 16}
    about = {"firmware": "1", "board": "b", "reset": "", "boots": 0, "session": 0, "streams": [stream]}
    ident = "aa"
    with cable(tmp_path / "port", answer=scripted(lambda: {**about, "id": ident})):
        link = Link(str(tmp_path / "port"))
        link.open()
        link.close()
        ident = "bb"
        with pytest.raises(LinkError, match=r"another board, id bb, expected the one .* id aa\. Restart"):
            link.open()
        link.close()


def test_a_board_that_does_not_hear_us_is_read_all_the_same(
    quick_box: VirtualBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("firmware_bridge.link.DEAF_NS", 1_500_000_000)
    monkeypatch.setattr("firmware_bridge.link.SILENCE_NS", 1_500_000_000)
    with cable(tmp_path / "host-port", quick_box.port) as between:
        link = Link(str(tmp_path / "host-port"))
        link.open()
        received = Received(link)
        received.until_index(200)
        between.spoil_from_host = lambda _: []
        received.until(lambda: link.deaf, "notice")
        first = received.next_index()
        lost = itertools.count()
        between.spoil = lambda data: [] if 5 <= next(lost) < 15 else [data]
        received.until_index(first + 1000)
        assert link.counters.disconnects == 0
        assert [reason for _, _, reason in received.holes()] == ["cable"], (
            "not waited for: nobody hears us ask"
        )
        assert caplog.text.count("samples, but no answer in") == 1
        between.spoil_from_host = lambda data: [data]
        received.until(lambda: not link.deaf, "answer")
        link.close()
