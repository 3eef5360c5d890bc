"""Each check by itself: one that breaks or hangs is a finding, and the others are still looked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from agent.doctor import Area, Finding, Patient, State, examine
from agent.doctor.examination import CHECKS, Planned


def fine(_: Patient) -> Iterator[Finding]:
    yield Finding(Area.DISK, State.OK, "disk", "fine")


def breaks(_: Patient) -> Iterator[Finding]:
    yield Finding(Area.I2C, State.OK, "bus", "fine so far")
    raise ZeroDivisionError("none left")


def test_a_check_that_breaks_costs_only_its_own_area() -> None:
    found = examine(Patient(), [Planned(Area.I2C, breaks, 5.0), Planned(Area.DISK, fine, 5.0)])
    assert [(f.area, f.state) for f in found] == [
        (Area.I2C, State.OK),
        (Area.I2C, State.WRONG),
        (Area.DISK, State.OK),
    ]
    assert "the check itself broke: ZeroDivisionError: none left" in found[1].found
    assert found[1].remedy


def test_a_check_that_hangs_costs_only_its_own_area() -> None:
    def hangs(patient: Patient) -> Iterator[Finding]:
        yield Finding(Area.BROKER, State.OK, "name", "has an address")
        patient.stop.wait()

    found = examine(Patient(listen_s=0), [Planned(Area.BROKER, hangs, 0.1), Planned(Area.DISK, fine, 5.0)])
    assert [(f.area, f.state) for f in found] == [
        (Area.BROKER, State.OK),
        (Area.BROKER, State.WRONG),
        (Area.DISK, State.OK),
    ]
    assert found[1].found.startswith("no answer in") and found[1].remedy


def test_findings_are_handed_on_in_the_order_of_the_checks() -> None:
    second_is_done = threading.Event()
    told: list[Sequence[Finding]] = []

    def slow(_: Patient) -> Iterator[Finding]:
        assert second_is_done.wait(60)
        yield Finding(Area.PORTS, State.OK, "slow", "fine")

    def quick(_: Patient) -> Iterator[Finding]:
        yield Finding(Area.DISK, State.OK, "quick", "fine")
        second_is_done.set()

    examine(Patient(), [Planned(Area.PORTS, slow, 60.0), Planned(Area.DISK, quick, 60.0)], told.append)
    assert [[f.subject for f in findings] for findings in told] == [["slow"], ["quick"]]


def test_broken_off_everybody_is_told_to_stop() -> None:
    patient = Patient()
    left = threading.Event()

    def patient_one(patient: Patient) -> Iterator[Finding]:
        patient.stop.wait(60)
        left.set()
        yield Finding(Area.BOARD, State.OK, "board", "let go of")

    def interrupt(_: Sequence[Finding]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(patient, [Planned(Area.DISK, fine, 5.0), Planned(Area.BOARD, patient_one, 60.0)], interrupt)
    assert left.is_set(), "the board's check was left behind with the port open"


def test_every_area_has_its_check_and_a_limit() -> None:
    told_of = {planned.area for planned in CHECKS} | {Area.STREAMS, Area.CLOCK}  # by the board's check
    assert told_of == set(Area)
    assert all(planned.limit_s <= 30 for planned in CHECKS)
