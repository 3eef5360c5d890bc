"""What a detector says, and how a detector looks to the pipeline."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.blocks import SiBlock
from agent.records import Phase, Severity

Value = float | int | bool | str | list[float]


class EventType(enum.StrEnum):
    """Everything that can be recognised, now or later; stable names."""

    TILT = "tilt"
    DROP = "drop"
    SHOCK = "shock"
    BUMP = "bump"
    HARSH_BRAKE = "harsh_brake"
    HARSH_ACCELERATION = "harsh_acceleration"
    HARSH_TURN = "harsh_turn"
    VIBRATION = "vibration"
    SLOSH = "slosh"
    LOAD_SHIFT = "load_shift"
    PRESSURE = "pressure"
    LEAK = "leak"
    TEMPERATURE = "temperature"
    HUMIDITY = "humidity"
    SENSOR_FAULT = "sensor_fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One phase of one event.

    ``decided_ns``: box time of what completed the condition; ``number``: which event of its type.
    """

    decided_ns: int
    type: EventType
    number: int
    phase: Phase
    start_ns: int
    end_ns: int | None
    severity: Severity
    values: Mapping[str, Value]
    streams: tuple[str, ...]


class Detector(Protocol):
    """A small state machine. Blocks come aligned: when `advance` is called, all before it was fed."""

    streams: tuple[str, ...]

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take corrected samples of one of `streams`; return what the samples themselves decide."""
        ...

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Every stream is complete up to `horizon_ns`; return what that decides."""
        ...

    def notes(self) -> Sequence[str]:
        """Say, in plain words, why it is not watching, if it is not."""
        ...
