"""The plan of a load session: which steps, in which order, in words for someone who kneels in a van.

Up and down for linearity and hysteresis, each cell on its own, the same mass again for repeatability, once
left alone for creep, and the empty plate in between (OIML R 60-2, 2.10, cut to what a van allows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.load_plate import CENTRE, Plate, place_words
from calibration.load_steps import Kind, LoadStep

HOLD_S = 5.0
_SAME_MASS = 0.005  # masses that differ by less are the same


@dataclass(frozen=True, slots=True)
class WantedStep:
    """A step that is still to be taken. ``mass_kg`` None: any known mass. ``why``: what it is good for."""

    kind: Kind
    place: str
    mass_kg: float | None
    seconds: float
    words: str
    why: str


def still_wanted(
    steps: Sequence[LoadStep], plate: Plate, *, masses_kg: Sequence[float], repetitions: int, creep_s: float
) -> list[WantedStep]:
    """Return what of the plan the steps have not done, in order."""
    left: list[WantedStep] = []
    used: set[int] = set()
    reached = -1
    for wanted in _whole_plan(_masses(steps, masses_kg), plate, repetitions, creep_s):
        # A zero stands for its moment, so it must come after what it closes; the rest may come in any order.
        since = reached if wanted.kind == "zero" else -1
        hit = next((i for i, s in enumerate(steps) if i > since and i not in used and _does(s, wanted)), None)
        if hit is None or (wanted.kind == "zero" and left):
            left.append(wanted)
        else:
            used.add(hit)
            reached = max(reached, hit)
    return left


def _masses(steps: Sequence[LoadStep], at_hand: Sequence[float]) -> list[float]:
    out: list[float] = []
    for mass in sorted([*at_hand, *(s.mass_kg for s in steps if s.kind.startswith("span"))]):
        if not out or mass - out[-1] > _SAME_MASS * mass:
            out.append(mass)
    return out


def _does(step: LoadStep, wanted: WantedStep) -> bool:
    if step.kind != wanted.kind or step.place != wanted.place:
        return False
    if wanted.kind == "creep":  # the plan's time or longer; breaking off early leaves it wanted
        return step.end_s - step.begin_s >= 0.9 * wanted.seconds
    mass = wanted.mass_kg
    return wanted.kind in {"zero", "corner"} or mass is None or abs(step.mass_kg - mass) <= _SAME_MASS * mass


def _whole_plan(masses: list[float], plate: Plate, repetitions: int, creep_s: float) -> list[WantedStep]:
    largest = masses[-1] if masses else None
    kg = "the known mass" if largest is None else f"{largest:g} kg"
    where = "in the centre of the plate" if plate.count > 1 else "on the plate"
    empty = "Take everything off the plate. Nothing may lean on it."
    out = [WantedStep("zero", CENTRE, 0.0, HOLD_S, empty, "where zero is")]
    to_go_up: list[float | None] = [*masses] or [None]
    for i, mass in enumerate(to_go_up):
        amount = "a known mass" if mass is None else f"{mass:g} kg"
        words = f"Put {amount} {where}." if i == 0 else f"Make it {amount} in all {where}."
        out.append(WantedStep("span up", CENTRE, mass, HOLD_S, words, "how much a kilogram is"))
    for mass in reversed(masses[:-1]):
        words = f"Take off so much that {mass:g} kg stay {where}."
        out.append(
            WantedStep("span down", CENTRE, mass, HOLD_S, words, "whether it reads the same going down")
        )
    out.append(WantedStep("zero", CENTRE, 0.0, HOLD_S, empty, "whether it comes back to zero"))
    if plate.count > 1:
        for cell in plate.cells:
            words = f"Put {kg} right over {place_words(cell)}."
            out.append(WantedStep("corner", cell, largest, HOLD_S, words, "what this cell alone carries"))
    for _ in range(repetitions - 2):  # the first time up and the creep step are two of them
        words = f"Put {kg} {where}; if it stands there, lift it and put it back."
        out.append(WantedStep("repeat", CENTRE, largest, HOLD_S, words, "whether it reads the same again"))
    if creep_s > 0:
        words = f"Lift {kg}, put it back {where} and leave it alone for {creep_s:.0f} s."
        out.append(WantedStep("creep", CENTRE, largest, creep_s, words, "how far it creeps under a load"))
    out.append(WantedStep("zero", CENTRE, 0.0, HOLD_S, empty, "where zero is at the end"))
    return out
