"""The real firmware through the pty, on the real MicroPython and on CPython."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import pytest
import serial

from firmware_bridge import wire
from firmware_bridge.link import Link
from firmware_bridge.status import Counters
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.streams import MOUNT_UP, STREAMS
from tests.bridge.reading import PATIENCE_S, Received

NOTHING_LOST = [0] * len(STREAMS)


class Talk:
    """The board's port with frames, and no link: what the firmware itself says and does."""

    def __init__(self, port: str) -> None:
        self._serial = serial.Serial(port, timeout=0.2, exclusive=True)
        self._partial = b""
        self._frames: list[bytearray] = []

    def send(self, raw: bytes) -> None:
        self._serial.write(raw)

    def wait(self, kind: int) -> bytearray:
        """Return the body of the next frame of `kind`, without its CRC."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            while self._frames:
                body = self._frames.pop(0)
                if body[0] == kind:
                    return body
            assert time.monotonic() < give_up, f"no frame of kind {kind} in {PATIENCE_S} s"
            data = self._serial.read(self._serial.in_waiting or 1)
            *raws, self._partial = (self._partial + data).split(b"\0")
            self._frames += [wire.unseal(raw) for raw in raws if raw]

    def counters(self) -> Counters:
        counters = Counters()
        counters.take_status(self.wait(wire.STATUS))
        return counters

    def close(self) -> None:
        self._serial.close()


@pytest.fixture
def link(box: VirtualBox) -> Iterator[Link]:
    link = Link(box.port)
    yield link
    link.close()


@pytest.fixture
def talk(box: VirtualBox) -> Iterator[Talk]:
    talk = Talk(box.port)
    yield talk
    talk.close()


def test_it_describes_itself(box: VirtualBox, link: Link) -> None:
    description = link.open()
    assert description.mount_up == MOUNT_UP
    assert description.reset_cause == "power-on" and description.boots == 1
    assert box.interpreter.value in description.board
    for told, real in zip(description.streams, STREAMS, strict=True):
        assert (told.name, told.axes, told.unit, told.rate_hz, told.sample_bits) == (
            real.name,
            real.axes,
            real.unit,
            real.rate_hz,
            real.sample_bits,
        )
        # exactly: the scale defines what a count means, and decimals on a small chip are coarse
        assert (told.scale, told.full_scale) == (real.scale, real.full_scale)


def test_each_count_of_the_trip_arrives_in_order(link: Link) -> None:
    """Over 1.7 s, in which the tick counter wraps."""
    link.open()
    received = Received(link)
    received.until_index(1700)
    received.check_counts()
    for stream in STREAMS:
        assert received.holes(stream.name) == [], f"{stream.name}: {link.counters}"
        fewest = int(1.6 * stream.rate_hz)
        assert received.next_index(stream.name) >= fewest, f"{stream.name} has {fewest} samples in 1.6 s"
        times_ns = [f.time_ns for f in received.frames[stream.name]]
        assert times_ns == sorted(times_ns), f"{stream.name}: a time went backwards"
    assert link.counters.damaged_frames == link.counters.rejected_frames == 0


def test_a_ping_is_answered_with_two_ticks_and_no_session_before_the_start(talk: Talk) -> None:
    talk.send(wire.command(9, wire.DO_PING))
    answer = talk.wait(wire.RESPONSE)
    assert bytes(answer[1:4]) == bytes([9, wire.DO_PING, wire.OK])
    came, left, session = struct.unpack_from(wire.PONG, answer, wire.RESPONSE_HEADER_BYTES)
    assert 0 <= (left - came) % 2**32 < 1_000_000, f"came {came}, left {left}"
    assert session == 0


def test_an_unknown_verb_is_refused_and_garbage_is_counted(talk: Talk) -> None:
    talk.send(b"\x00 garbage \x00" + wire.command(1, 200))
    assert bytes(talk.wait(wire.RESPONSE)) == bytes([wire.RESPONSE, 1, 200, wire.UNKNOWN_VERB])
    talk.send(wire.command(2, wire.DO_START))
    assert talk.counters().board_bad_input == 1


def test_stop_ends_the_session_and_a_start_counts_from_zero(talk: Talk) -> None:
    sessions = []
    for _ in range(2):
        talk.send(wire.command(1, wire.DO_START))
        sessions.append(bytes(talk.wait(wire.RESPONSE)[4:]))
        first = talk.wait(wire.DATA)
        assert struct.unpack_from("<HI", first, 2) == (0, 0), "sequence and index of the first frame"
        talk.send(wire.command(2, wire.DO_STOP))
        assert bytes(talk.wait(wire.RESPONSE)) == bytes([wire.RESPONSE, 2, wire.DO_STOP, wire.OK])
    assert sessions[0] != sessions[1], "another session has another number"


def test_samples_that_run_over_in_the_sensor_are_counted_and_seen_as_overflow(
    link: Link, box: VirtualBox
) -> None:
    link.open()
    received = Received(link)
    received.until_index(200)
    box.hang()
    time.sleep(1.6)  # the virtual sensors hold one second
    box.wake()
    # a status goes ahead of the samples that wait
    received.until(
        lambda: sum(link.counters.sensor_lost) > 0 and received.holes() != [],
        "status with the samples that were lost, and the hole",
    )
    received.check_counts()
    holes = received.holes()
    assert [reason for _, _, reason in holes] == ["overflow"], holes
    assert link.counters.sensor_lost[0] == link.lost_samples["accel"] == holes[0][1] - holes[0][0]
    assert link.counters.ring_lost == NOTHING_LOST
