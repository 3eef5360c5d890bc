"""Sensor faults: each an event with a start and an end, whatever a log has lost of it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.blocks import NS_PER_S, FaultKind, FaultPhase, SensorFault
from agent.detection.finding import Finding
from agent.detection.sensor_fault import SensorFaults
from agent.records import Phase, Severity

START, UPDATE, END = FaultPhase.START, FaultPhase.UPDATE, FaultPhase.END
CHIP = "ADXL345 at i2c-1 0x53"


def word(
    second: float,
    phase: FaultPhase,
    kind: FaultKind = FaultKind.NACK,
    sensor: str = CHIP,
    streams: tuple[str, ...] = ("accel",),
    got: str = "no answer",
) -> SensorFault:
    return SensorFault(streams[0], round(second * NS_PER_S), phase, kind, sensor, streams, got, "an answer")


def told(*words: SensorFault) -> list[Finding]:
    faults = SensorFaults()
    return [f for w in words if (f := faults.take(w.at_ns, w)) is not None]


def brief(findings: list[Finding]) -> list[tuple[int, Phase, Any]]:
    return [(f.number, f.phase, f.values["fault"]) for f in findings]


def test_from_its_start_to_its_end() -> None:
    start, update, end = told(
        word(3.5, START), word(5, UPDATE, FaultKind.MISSING), word(9.25, END, FaultKind.MISSING, got="")
    )
    assert (start.start_ns, start.end_ns, start.decided_ns) == (3_500_000_000, None, 3_500_000_000)
    assert dict(start.values) == {
        "fault": "nack",
        "sensor": CHIP,
        "got": "no answer",
        "expected": "an answer",
    }
    assert (update.start_ns, update.end_ns, update.decided_ns) == (3_500_000_000, None, 5_000_000_000)
    assert update.values["fault"] == "missing"
    assert (end.start_ns, end.end_ns) == (3_500_000_000, 9_250_000_000)
    assert (end.values["fault"], end.values["lasted_s"]) == ("missing", 5.75)
    assert {f.streams for f in (start, update, end)} == {("accel",)}
    assert {f.severity for f in (start, update, end)} == {Severity.GENERAL}


@pytest.mark.parametrize("kind", list(FaultKind))
def test_what_is_mended_at_once_is_minor(kind: FaultKind) -> None:
    (start,) = told(word(1, START, kind))
    harmless = kind in (FaultKind.OVERFLOW, FaultKind.REGISTERS)
    assert start.severity is (Severity.MINOR if harmless else Severity.GENERAL)


def test_a_fault_that_got_worse_stays_as_grave_as_it_was() -> None:
    findings = told(
        word(1, START, FaultKind.REGISTERS),
        word(2, UPDATE),
        word(3, UPDATE, FaultKind.REGISTERS),
        word(4, END),
    )
    assert [int(f.severity) for f in findings] == [1, 2, 2, 2]


def test_several_sensors_at_once_have_numbers_of_their_own() -> None:
    other = {"sensor": "BME280 at i2c-1 0x76", "streams": ("temperature", "humidity")}
    findings = told(
        word(1, START),
        word(2, START, **other),  # type: ignore[arg-type]
        word(3, END),
        word(4, START),
        word(5, END, **other),  # type: ignore[arg-type]
    )
    assert [(f.number, f.phase.value) for f in findings] == [
        (1, "start"),
        (2, "start"),
        (1, "end"),
        (3, "start"),
        (2, "end"),
    ]
    assert findings[1].streams == ("temperature", "humidity")


def test_a_start_whose_end_was_lost_goes_on_as_the_same_event() -> None:
    again = brief(told(word(1, START), word(9, START, FaultKind.TIMEOUT), word(10, END, FaultKind.TIMEOUT)))
    assert again == [(1, Phase.START, "nack"), (1, Phase.UPDATE, "timeout"), (1, Phase.END, "timeout")]
    assert brief(told(word(1, START), word(9, START))) == [(1, Phase.START, "nack")], "nothing new"


def test_an_end_or_an_update_whose_start_was_lost() -> None:
    (end,) = told(word(4, END))
    assert (end.number, end.phase, end.start_ns, end.end_ns) == (1, Phase.END, end.decided_ns, end.decided_ns)
    assert "lasted_s" not in end.values, "nobody knows"
    findings = told(word(4, END), word(5, UPDATE), word(6, END))
    assert brief(findings) == [(1, Phase.END, "nack"), (2, Phase.START, "nack"), (2, Phase.END, "nack")]


def test_an_end_before_its_start_lasts_no_time() -> None:
    _, end = told(word(4, START), word(3, END))
    assert (end.end_ns, end.values["lasted_s"]) == (4 * NS_PER_S, 0.0)
