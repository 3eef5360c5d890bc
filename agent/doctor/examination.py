"""Runs the checks beside each other, so that one which crashes or hangs costs only its own findings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from agent.doctor import broker, cable, configuration, disk, i2c, ports, wall_clock, watching
from agent.doctor.finding import Area, Check, Finding, Patient, State

LEAVE_S = 3.0  # the board is told to stop when the examination is broken off
LOOK_S = 0.25  # how often the progress is renewed


@dataclass(frozen=True, slots=True)
class Planned:
    """A check, the area that answers for it, and how long it may take."""

    area: Area
    check: Check
    limit_s: float


CHECKS: tuple[Planned, ...] = (
    Planned(Area.CONFIGURATION, configuration.check, 10.0),
    Planned(Area.PORTS, ports.check, 10.0),
    Planned(Area.BOARD, cable.check, 30.0),
    Planned(Area.STREAMS, watching.of_chips, 10.0),
    Planned(Area.I2C, i2c.check, 30.0),
    Planned(Area.BROKER, broker.check, 30.0),
    Planned(Area.DISK, disk.check, 20.0),
    Planned(Area.WALL_CLOCK, wall_clock.check, 10.0),
)


@dataclass(slots=True)
class _Running:
    """A check on a thread of its own; a thread that hangs does not keep the process from ending."""

    planned: Planned
    patient: Patient
    findings: list[Finding] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    begun_s: float = field(default_factory=time.monotonic)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"doctor-{self.planned.area}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for finding in self.planned.check(self.patient):
                self.findings.append(finding)
        except Exception as error:  # whatever it trips over, the other areas are still looked at
            self.findings.append(_crashed(self.planned.area, error))
        finally:
            self.done.set()

    def wait(self) -> tuple[Finding, ...]:
        """Return what it found, when it is done or its time is over."""
        while not self.done.wait(LOOK_S):
            # listening takes as long as was asked for
            limit_s = self.planned.limit_s + self.patient.listen_s
            if time.monotonic() - self.begun_s >= limit_s:
                return (*self.findings, _hangs(self.planned.area, limit_s))
        return tuple(self.findings)


def examine(
    patient: Patient,
    checks: Sequence[Planned] = CHECKS,
    on_findings: Callable[[Sequence[Finding]], None] = lambda _: None,
) -> list[Finding]:
    """Run the checks and return all findings in their order; `on_findings` has each check's as they come."""
    running = [_Running(planned, patient) for planned in checks]
    try:
        for check in running:
            check.start()
        found: list[Finding] = []
        for check in running:
            ready = check.wait()
            found.extend(ready)
            on_findings(ready)
        return found
    finally:
        patient.stop.set()
        until_s = time.monotonic() + LEAVE_S
        for check in running:
            if check.thread is not None:
                check.thread.join(max(0.0, until_s - time.monotonic()))


def count(findings: Sequence[Finding]) -> Iterator[tuple[State, int]]:
    """Yield how many findings there are of each state."""
    for state in State:
        yield state, sum(f.state is state for f in findings)


def _crashed(area: Area, error: Exception) -> Finding:
    return Finding(
        area,
        State.WRONG,
        f"looking at the {area}",
        f"the check itself broke: {type(error).__name__}: {error}",
        "The other areas stand for themselves. Please report it with these words and the version.",
    )


def _hangs(area: Area, limit_s: float) -> Finding:
    return Finding(
        area,
        State.WRONG,
        f"looking at the {area}",
        f"no answer in {limit_s:.0f} s",
        "Something below it hangs: pull what is plugged in and look again; if that does not help, restart "
        "the computer.",
        {"limit_s": limit_s},
    )
