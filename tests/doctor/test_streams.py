"""What streams are judged by, on samples laid out by hand: rates, losses, faults."""

from __future__ import annotations

import numpy as np

from agent.doctor import Finding, State
from agent.doctor.streams import Heard, HeardAll, judge
from firmware_bridge.describe import BoardStream
from firmware_bridge.link import Link
from tests.doctor.looking import about

LOAD = BoardStream("load", ("fl", "fr"), "kg", 1e-5, 80.0, 24, None)
LIS3DH_16_G = BoardStream("accel", ("x", "y", "z"), "mps2", 12 * 9.80665 / 16_000, 400.0, 16, 240.8)
LID = BoardStream("lid", ("open",), "state", 1.0, 10.0, 8, None)
SECONDS = 3


def heard(
    stream: BoardStream, *, rate_hz: float, skip: int = 0, reason: str = "", level: int = 0, spread: int = 50
) -> HeardAll:
    """Lay out 3 s in pieces of a tenth; `skip` samples are missing in the middle."""
    one = Heard(stream)
    chance = np.random.default_rng(1)
    per_piece = max(1, int(rate_hz / 10))
    first = 0
    for piece in range(int(SECONDS * rate_hz / per_piece)):
        missing = skip if piece == 10 else 0
        first += missing
        values = level + chance.integers(-spread, spread + 1, (per_piece, len(stream.axes)))
        one.take(first, round(first * 1e9 / rate_hz), values, reason if missing else "")
        first += per_piece
    return HeardAll([one], float(SECONDS))


def judged(all_heard: HeardAll, link: Link | None = None) -> Finding:
    return about(judge(all_heard, link or Link("no port")), all_heard.streams[0].stream.name)


def test_as_it_should_be() -> None:
    found = judged(heard(LOAD, rate_hz=80))
    assert found.state is State.OK, found
    assert found.figures["measured_hz"] == 80 and found.figures["missing"] == {}


def test_a_converter_at_its_other_rate() -> None:
    found = judged(heard(LOAD, rate_hz=10))
    assert found.state is State.WARNING and found.found.startswith("10.0 Hz, nominal 80 Hz")
    assert "pin RATE" in found.remedy


def test_an_oscillator_within_its_tolerance() -> None:
    assert judged(heard(LOAD, rate_hz=86)).state is State.OK


def test_losses_are_told_by_cause() -> None:
    found = judged(heard(LOAD, rate_hz=80, skip=1, reason="cable"))
    assert found.state is State.WARNING, "one sample of 240"
    assert "0.4% of the samples are missing: 1 lost on the cable" in found.found
    found = judged(heard(LOAD, rate_hz=80, skip=30, reason="overflow"))
    assert found.state is State.WRONG and "30 ran over on the board" in found.found
    assert found.figures["missing"] == {"overflow": 30} and found.figures["measured_hz"] == 80


def test_a_stream_that_says_nothing() -> None:
    found = judged(HeardAll([Heard(LOAD)], 3.0))
    assert found.state is State.WRONG and found.found == "no sample in 3.0 s, expected 80 a second"


def test_a_fault_that_the_board_reports() -> None:
    link = Link("no port")
    words = "HX711 on pins 2, 3: no answer, expected a conversion"
    link.counters.faults = {"load": words, "gyro": "gone"}
    found = list(judge(heard(LOAD, rate_hz=80), link))
    assert about(found, "load").state is State.WRONG and words in about(found, "load").found
    assert about(found, "gyro").state is State.WRONG, "also where no such stream is described"


def test_a_contact_may_stay_as_it_is() -> None:
    found = judged(heard(LID, rate_hz=10, level=1, spread=0))
    assert found.state is State.OK, found


def test_some_values_at_the_end_of_the_range() -> None:
    blows = heard(LOAD, rate_hz=80)
    blows.streams[0].values[3][0, 1] = 2**23 - 1
    found = judged(blows)
    assert found.state is State.WARNING and "1 values at the end of the range in fr" in found.found


def resting(stream: BoardStream, *counts: int) -> Finding:
    one = Heard(stream)
    one.take(0, 0, np.full((1200, 3), counts), "")
    return judged(HeardAll([one], float(SECONDS)))


def test_steps_wider_than_the_noise_are_no_stuck_sensor() -> None:
    found = resting(LIS3DH_16_G, 64, -64, 21 * 64)
    assert found.state is State.OK, found
    for stuck in ((0, 0, 0), (64, -64, 21 * 64 + 1)):
        found = resting(LIS3DH_16_G, *stuck)
        assert found.state is State.WRONG and "stuck" in found.found, f"{stuck}: {found}"


def test_a_mistake_in_the_board_s_configuration_is_no_loose_wire() -> None:
    link = Link("no port")
    link.counters.faults = {"config 2": "config.json sensors[0].pin: 99, expected a pin"}
    found = about(judge(heard(LOAD, rate_hz=80), link), "config 2")
    assert found.state is State.WRONG and "config.json sensors[0].pin: 99" in found.found
    assert "--board-config" in found.remedy and "wires" not in found.remedy, found.remedy
