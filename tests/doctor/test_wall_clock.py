"""The date: kept by a time service, running freely, or never set."""

from __future__ import annotations

import time

import pytest

from agent import timebase
from agent.doctor import Finding, Patient, State, wall_clock
from tests.doctor.looking import only


def look(
    monkeypatch: pytest.MonkeyPatch, *, kernel: tuple[bool, int] | None, timesyncd: bool, year: int = 2026
) -> Finding:
    wall_ns = (year - 1970) * 31_556_952 * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns)
    monkeypatch.setattr(timebase, "kernel_clock_synced", lambda: timesyncd)
    monkeypatch.setattr(wall_clock, "kernel_state", lambda: kernel)
    return only(wall_clock.check(Patient()))


def test_kept_by_a_time_service(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, kernel=(True, 3_000), timesyncd=True)
    assert found.state is State.OK and found.figures["quality"] == "synced"
    assert "kept by a time service, right within 3 ms" in found.found


def test_running_freely(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, kernel=(False, 16_000_000), timesyncd=False)
    assert found.state is State.WARNING and "timedatectl" in found.remedy


def test_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, kernel=(False, 16_000_000), timesyncd=False, year=1971)
    assert found.state is State.WRONG and found.figures["quality"] == "unset"
    assert "was never set" in found.found and "set-ntp" in found.remedy


def test_a_kernel_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(monkeypatch, kernel=None, timesyncd=True).state is State.OK
    assert look(monkeypatch, kernel=None, timesyncd=False).state is State.WARNING
