"""Finding: one thing that was looked at, how it is, and what to do about it. Patient: what is looked at."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.config import Config
from agent.errors import FourPartError


class State(enum.StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something about it should be known or will become trouble."""
    WRONG = "wrong"
    """It does not work."""
    SKIPPED = "skipped"
    """It was not looked at, and the finding says why."""


class Area(enum.StrEnum):
    """What is looked at, in the order of the report."""

    CONFIGURATION = "configuration"
    PORTS = "ports"
    BOARD = "board"
    STREAMS = "streams"
    CLOCK = "clock"
    I2C = "i2c"
    BROKER = "broker"
    DISK = "disk"
    WALL_CLOCK = "wall clock"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: `subject` is what was looked at, `found` what there is, with the measured numbers.

    `figures` are these numbers for programs, the unit in each name.
    """

    area: Area
    state: State
    subject: str
    found: str
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {
            "area": self.area.value,
            "state": self.state.value,
            "subject": self.subject,
            "found": self.found,
            "remedy": self.remedy,
            "figures": dict(self.figures),
        }


Check = Callable[["Patient"], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks are given: the configuration as far as it could be read, and the port to look at."""

    config_path: Path | None = None
    config: Config | None = None
    config_error: FourPartError | None = None
    port: str | None = None
    """The port of the command line, or else of the configuration."""
    listen_s: float = 3.0
    """For so long the streams are listened to; longer where one of them is slower than that."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when nobody waits for the answer any more."""
    say: Callable[[str], None] = lambda _: None
    """Takes what is being done, for a person who waits; from any thread."""

    @property
    def expects_board(self) -> bool:
        """Whether a board belongs to this box: not where the configuration knows only chips of its own."""
        return self.port is not None or self.config is None or not self.config.source.i2c

    @property
    def why_no_config(self) -> str:
        """Why there is no configuration, where there is none."""
        return (
            "the configuration cannot be read" if self.config_error else "no configuration says where it is"
        )


def from_error(area: Area, error: FourPartError, *, state: State = State.WRONG) -> Finding:
    """Return what an error in four parts says as a finding."""
    return Finding(area, state, error.doing, f"{error.got}, expected {error.expected}", error.remedy)
