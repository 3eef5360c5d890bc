"""The link through what befalls a cable: each failure explained, none fatal, nothing lost in silence."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from firmware_bridge import wire
from firmware_bridge.errors import PortError, ProtocolError
from firmware_bridge.link import Link, LinkState
from firmware_bridge.virtual import VirtualBox
from tests.bridge.cable import Cable, cable
from tests.bridge.reading import Received

SEED = 20_260_101


@pytest.fixture
def spoilt(quick_box: VirtualBox, tmp_path: Path) -> Iterator[Cable]:
    """A cable between a box and the host, clean until a test spoils it."""
    with cable(tmp_path / "host-port", quick_box.port) as it:
        yield it


@pytest.fixture
def host_link(spoilt: Cable, tmp_path: Path) -> Iterator[Link]:
    link = Link(str(tmp_path / "host-port"))
    yield link
    link.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an answer for half a second only."""
    monkeypatch.setattr("firmware_bridge.link.ANSWER_NS", 500_000_000)
    monkeypatch.setattr("firmware_bridge.link.KNOCK_NS", 100_000_000)


# --- ports with nothing, or something else, behind them ---


def test_a_port_that_is_not_there() -> None:
    with pytest.raises(PortError, match="there is no such port, expected one of those present"):
        Link("/dev/no-such-port").open()


def test_a_port_that_is_no_serial_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PortError, match="expected a serial port"):
        Link(str(tmp_path / "file")).open()


def test_a_port_that_another_program_uses(tmp_path: Path) -> None:
    with (
        cable(tmp_path / "port"),
        serial.Serial(str(tmp_path / "port"), exclusive=True),
        pytest.raises(PortError, match="another program uses it"),
    ):
        Link(str(tmp_path / "port")).open()


def test_a_board_that_says_nothing(tmp_path: Path) -> None:
    with cable(tmp_path / "port"):
        link = Link(str(tmp_path / "port"))
        with pytest.raises(ProtocolError, match=r"nothing in 2 s, expected an answer\. Is it powered"):
            link.open()
        with serial.Serial(str(tmp_path / "port"), exclusive=True):
            pass  # the port was let go of


@pytest.mark.usefixtures("impatient")
def test_a_board_at_its_prompt(tmp_path: Path) -> None:
    with (
        cable(tmp_path / "port", answer=lambda sent: b"\r\n>>> " + sent),
        pytest.raises(ProtocolError, match=r"a MicroPython prompt.*`cargobox flash` puts"),
    ):
        Link(str(tmp_path / "port")).open()


@pytest.mark.usefixtures("impatient")
def test_something_else_that_talks(tmp_path: Path) -> None:
    with (
        cable(tmp_path / "port", answer=lambda _: b"$GPGGA,123519,4807.038,N*47\r\n"),
        pytest.raises(ProtocolError, match=r"bytes that are not our firmware's.* b'\$GPGGA"),
    ):
        Link(str(tmp_path / "port")).open()


def test_a_board_of_another_protocol(tmp_path: Path) -> None:
    describe = wire.seal(bytes([wire.DESCRIBE, wire.PROTOCOL_VERSION + 1]) + b'{"firmware": "9"}')
    with (
        cable(tmp_path / "port", answer=lambda _: describe),
        pytest.raises(
            ProtocolError, match=r"it speaks protocol 2, expected protocol 1\. .*newer.*flash --force"
        ),
    ):
        Link(str(tmp_path / "port")).open()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"firmware": "1", "board": "b", "id": "", "reset": "", "boots": 0, "session": 0,'
        b' "streams": [{"name": "x", "axes": [], "unit": "", "scale": 1, "rate_hz": 1, "bits": 16}]}',
    ],
)
def test_a_description_that_cannot_be_read(tmp_path: Path, text: bytes) -> None:
    describe = wire.seal(bytes([wire.DESCRIBE, wire.PROTOCOL_VERSION]) + text)
    with (
        cable(tmp_path / "port", answer=lambda _: describe),
        pytest.raises(ProtocolError, match="a description that cannot be read"),
    ):
        Link(str(tmp_path / "port")).open()


# --- a cable that spoils what passes ---


def test_bytes_without_an_end_are_thrown_away(spoilt: Cable, host_link: Link) -> None:
    host_link.open()
    received = Received(host_link)
    received.until_index(100)
    spoilt.spoil = lambda _: [b"x" * 1000]
    received.until(lambda: host_link.counters.garbage_bytes > 0, "garbage")
    spoilt.spoil = lambda data: [data]
    received.until_index(received.next_index() + 300)
    received.check_counts()


def test_the_host_keeps_the_board_alive(
    spoilt: Cable, host_link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_bridge.link.PING_NS", 100_000_000)
    host_link.open()
    received = Received(host_link)
    received.until_index(100)
    spoilt.from_host.clear()
    received.until_index(1100)
    verbs = [wire.unseal(raw)[2] for raw in bytes(spoilt.from_host).split(b"\0") if raw]
    assert verbs.count(wire.DO_PING) == len(verbs) >= 8, f"verbs {verbs} in a second"
    assert 0 < host_link.clock.doubt_ns < 5_000_000


# --- a board that goes and comes back ---


def check_continued(received: Received, reason: str) -> None:
    """Assert one hole of `reason`, and that the index still is the trip's to within a sample or two."""
    holes = received.holes()
    assert [r for _, _, r in holes] == [reason], holes
    begin, end, _ = holes[0]
    frames = received.frames["accel"]
    after = next(f for f in frames if f.first == end)
    # x counts 37 a sample: so the trip's own index can be told from the value
    value_index = next(
        i for i in range(end - 5, end + 6) if (i * 37 + 2**15) % 2**16 - 2**15 == after.values[0, 0]
    )
    assert abs(value_index - end) <= 2, f"index {end} has the value of {value_index}; hole from {begin}"
    times_ns = [f.time_ns for f in frames]
    assert times_ns == sorted(times_ns), "a time went backwards"


def test_a_board_that_reboots_goes_on_where_the_world_is(quick_box: VirtualBox) -> None:
    link = Link(quick_box.port)
    link.open()
    received = Received(link)
    received.until_index(500)
    quick_box.reset("brown-out")
    received.until_index(1500)
    assert link.counters.reboots == 1 and link.counters.disconnects == 0
    assert link.description is not None
    assert (link.description.reset_cause, link.description.boots) == ("brown-out", 2)
    check_continued(received, "reboot")
    link.close()


def test_a_reboot_whose_announcement_is_lost(quick_box: VirtualBox, spoilt: Cable, host_link: Link) -> None:
    host_link.open()
    received = Received(host_link)
    received.until_index(300)

    def lose_descriptions(data: bytes) -> list[bytes]:
        if b"firmware" not in data:
            return [data]
        spoilt.spoil = lambda rest: [rest]  # only the first: the board's own announcement
        return []

    spoilt.spoil = lose_descriptions
    quick_box.reset()
    received.until(lambda: host_link.counters.reboots == 1, "reboot")
    received.until_index(received.next_index() + 100)
    check_continued(received, "reboot")


def test_a_cable_that_is_pulled_and_put_back(quick_box: VirtualBox) -> None:
    link = Link(quick_box.port)
    link.open()
    received = Received(link)
    received.until_index(500)
    quick_box.unplug()
    received.until(lambda: link.state is LinkState.DOWN, "end of the link")
    assert isinstance(link.last_error, PortError)
    quick_box.plug()
    received.until_index(1200)
    assert link.counters.disconnects == 1
    check_continued(received, "cable")
    link.close()


def test_a_board_that_hangs_is_left_and_found_again(
    quick_box: VirtualBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_bridge.link.SILENCE_NS", 500_000_000)
    link = Link(quick_box.port)
    link.open()
    received = Received(link)
    received.until_index(300)
    quick_box.hang()
    received.until(lambda: link.counters.disconnects == 1, "end of the link")
    assert "nothing in" in str(link.last_error)
    quick_box.wake()
    received.until_index(received.next_index() + 500)
    received.check_counts()
    assert link.counters.reboots == 0, "the board was never off: its session goes on"
    assert received.holes() == [], "what it sampled meanwhile it still had"
    link.close()


def test_another_board_on_the_port_is_refused(tmp_path: Path) -> None:
    """It measures other things than the agent was told at the start."""
    streams = '[{"name": "%s", "axes": ["x"], "unit": "Pa", "scale": 1, "rate_hz": 50, "bits": 16}]'
    about = '{"firmware": "1", "board": "b", "id": "", "reset": "", "boots": 0, "session": 0, "streams": %s}'
    name = "pressure"

    def answer(sent: bytes) -> bytes:
        out = b""
        for raw in filter(None, sent.split(b"\0")):
            _, ident, verb = wire.unseal(raw)[:3]
            head = bytes([wire.RESPONSE, ident, verb, wire.OK])
            if verb == wire.DO_DESCRIBE:
                text = about % (streams % name)
                out += wire.seal(bytes([wire.DESCRIBE, wire.PROTOCOL_VERSION]) + text.encode())
            elif verb == wire.DO_PING:
                out += wire.seal(head + struct.pack(wire.PONG, 5, 6, 0))
        return out

    with cable(tmp_path / "port", answer=answer):
        link = Link(str(tmp_path / "port"))
        assert link.open().streams[0].name == "pressure"
        link.close()
        name = "force"
        received = Received(link)
        received.until(lambda: "other streams" in str(link.last_error), "refusal")
        link.close()


def test_the_port_is_let_go_of(quick_box: VirtualBox) -> None:
    for _ in range(2):
        link = Link(quick_box.port)
        link.open()
        received = Received(link)
        received.until_index(20)
        link.close()


def test_a_board_that_samples_already_is_taken_over(quick_box: VirtualBox) -> None:
    first = Link(quick_box.port)
    first.open()
    Received(first).until_index(50)
    assert first._port is not None
    first._port.close()  # as if the agent had been killed: no stop was sent
    link = Link(quick_box.port)
    link.open()
    received = Received(link)
    received.until_index(100)
    assert received.frames["accel"][0].first == 0
    assert received.holes() == []
    link.close()


def test_a_command_to_a_board_that_nobody_is_connected_to() -> None:
    with pytest.raises(ProtocolError, match=r"no connection, expected one.*`cargobox doctor` says"):
        Link("/dev/no-such-port").command(wire.DO_PING)
