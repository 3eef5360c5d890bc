"""A plate on load cells with hidden errors, for the tests: what the cells show for a mass at a place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from calibration.load_plan import WantedStep
from calibration.load_plate import CENTRE, Plate, make_plate
from calibration.load_session import LoadSession
from calibration.load_steps import Judgement

F64 = npt.NDArray[np.float64]
FOUR = ("fl", "fr", "rl", "rr")


@dataclass
class Bench:
    """`mixing` (n, n): readings = mixing · forces + offset. Forces creep, lag behind, and bend.

    `softness` 1: a soft plate; 0: a stiff one on springs. `hysteresis` and `bend`: of the largest mass, as a
    fraction. `creep`: of the load, after long; `scatter_kg`: of the sum, anew at each placing.
    """

    mixing: F64
    offset_kg: F64
    plate: Plate = field(default_factory=lambda: make_plate(FOUR))
    seed: int = 0
    softness: float = 1.0
    noise_kg: float = 0.002
    scatter_kg: float = 0.0
    hysteresis: float = 0.0
    bend: float = 0.0
    creep: float = 0.0
    creep_lag_s: float = 60.0
    placing: float = 0.0
    mass_error: float = 0.0
    range_kg: float = 20.0
    rate_hz: float = 20.0

    def __post_init__(self) -> None:
        self.dice = np.random.default_rng(self.seed)

    def forces(self, mass_kg: float, place: F64) -> F64:
        """What the cells carry of a mass at a place (2,) in half distances."""
        p = self.plate.positions
        if len(p) == 1:
            return np.array([mass_kg])
        bilinear = self.softness * p[:, 0] * p[:, 1] * place[0] * place[1]
        shares: F64 = (1 + p @ place + bilinear) / len(p)
        return mass_kg * shares

    def shows(
        self, mass_kg: float, place: str = CENTRE, *, seconds: float = 5.0, going_down: bool = False
    ) -> F64:
        """Readings (n, cells) from the moment that the mass stands there."""
        where = self.plate.position_of(place) + self.dice.normal(0, self.placing, 2)
        t = np.arange(int(seconds * self.rate_hz)) / self.rate_hz
        share = mass_kg / self.range_kg
        bow = 4 * share * (1 - share) * self.range_kg
        lag = self.hysteresis * bow * (1 if going_down else -1) / 2 + self.bend * bow
        true_kg = mass_kg * (1 + self.mass_error)
        crept = self.creep * true_kg * (1 - np.exp(-t / self.creep_lag_s))
        scatter = self.dice.normal(0, self.scatter_kg) if mass_kg > 0 else 0.0
        forces = self.forces(1.0, where)[None, :] * (true_kg + lag + scatter + crept)[:, None]
        noise = self.dice.normal(0, self.noise_kg, forces.shape)
        return forces @ self.mixing.T + self.offset_kg + noise


def hidden_bench(seed: int, *, cross_talk: float = 0.02, span: float = 0.1, **changes: float) -> Bench:
    """Four cells whose errors follow from the seed."""
    dice = np.random.default_rng([seed, 1])
    mixing = np.diag(dice.uniform(1 - span, 1 + span, 4))
    mixing += cross_talk * dice.standard_normal((4, 4)) * (1 - np.eye(4))
    return Bench(mixing, dice.uniform(-0.3, 0.3, 4), seed=seed, **changes)  # type: ignore[arg-type]


def take(session: LoadSession, bench: Bench, wanted: WantedStep, t_s: float, mass_kg: float) -> Judgement:
    """Do what the plan asks for; `mass_kg` where it leaves the mass open."""
    mass = mass_kg if wanted.mass_kg is None else wanted.mass_kg
    readings = bench.shows(mass, wanted.place, seconds=wanted.seconds, going_down=wanted.kind == "span down")
    return session.step(wanted.kind, readings, mass_kg=mass, place=wanted.place, t_s=t_s)


def run_plan(session: LoadSession, bench: Bench, *, mass_kg: float = 20.0) -> list[Judgement]:
    """Follow the plan to its end."""
    out: list[Judgement] = []
    t_s = 0.0
    while plan := session.plan():
        wanted = plan[0]
        out.append(take(session, bench, wanted, t_s, mass_kg))
        assert out[-1].accepted, f"{wanted.words}: {out[-1].words}"
        assert len(out) < 60, f"the plan does not end: {[step.words for step in plan]}"
        t_s += wanted.seconds + 15.0
    return out
