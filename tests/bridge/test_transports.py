"""The same suite over four cables: a session works, and its samples are complete and in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge import wire
from firmware_bridge.link import Link, LinkState
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.streams import STREAMS
from tests.bridge.cable import Cable, cable
from tests.bridge.reading import Received
from tests.bridge.transports import SEED, TRANSPORTS, Transport

LOSSY = TRANSPORTS[2]


@pytest.fixture(params=TRANSPORTS, ids=lambda t: t.name)
def transport(request: pytest.FixtureRequest) -> Transport:
    chosen: Transport = request.param
    return chosen


@pytest.fixture
def between(transport: Transport, quick_box: VirtualBox, tmp_path: Path) -> Iterator[Cable]:
    with cable(tmp_path / "host-port", quick_box.port) as it:
        it.spoil, it.spoil_from_host = transport.spoil(SEED), transport.spoil(SEED + 1)
        it.delay_s = transport.delay_s
        yield it


@pytest.fixture
def link(between: Cable, tmp_path: Path) -> Iterator[Link]:
    link = Link(str(tmp_path / "host-port"))
    yield link
    link.close()


def test_the_samples_are_complete_and_in_order(transport: Transport, link: Link) -> None:
    link.open()
    received = Received(link)
    received.until_index(4000)
    for stream in STREAMS:
        assert received.holes(stream.name) == [], f"{stream.name}: {link.counters}"
        assert received.next_index(stream.name) >= 3.5 * stream.rate_hz, stream.name
        times_ns = [f.time_ns for f in received.frames[stream.name]]
        assert times_ns == sorted(times_ns), f"{stream.name}: a time went backwards"
    received.check_counts()
    assert link.lost_samples == {s.name: 0 for s in STREAMS}
    counters = link.counters
    if transport is LOSSY:
        assert counters.damaged_frames > 100 and counters.refilled_frames > 200, counters
    else:
        assert counters.damaged_frames == counters.rejected_frames == 0, counters
        assert counters.refilled_frames <= 20, f"nothing was lost, and yet: {counters}"


def test_one_off_commands_are_answered(link: Link) -> None:
    link.open()
    received = Received(link)
    received.until_index(50)
    result, _ = link.command(200)
    assert result == wire.UNKNOWN_VERB
    received.until_index(300)
    received.check_counts()
    assert received.holes() == [], "what was sampled meanwhile is given by the next read"


def test_a_reboot_is_survived(link: Link, quick_box: VirtualBox) -> None:
    link.open()
    received = Received(link)
    received.until_index(300)
    quick_box.reset("brown-out")
    received.until(lambda: link.counters.reboots == 1 and link.state is LinkState.STREAMING, "reboot")
    received.until_index(received.next_index() + 300)
    assert {reason for _, _, reason in received.holes()} <= {"reboot", "cable"}
    assert len(received.holes()) == 1, received.holes()
