"""What a scene is: samples of a box's sensors, the truth about them, and the settings they are judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.streams import StreamSpec
from scripts.examination.backgrounds import Background

F64 = npt.NDArray[np.float64]
Vector = tuple[float, float, float]

GRAVITY_MPS2 = 9.80665  # standard gravity, CGPM 1901
BEGAN_S = 1000.0  # box time of a scene's first sample

GENERAL, MAJOR = 2, 3
ALARM = 3
"""From this severity on, a record travels as an alarm."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What was done to the cargo. ``event``: the type that must be reported, None where nothing was done.

    ``begins_s``: from here on it may be reported; ``complete_s``: the moment at which the condition is
    complete, from which the delay counts; ``until_s``: later is too late. All in seconds of the scene.
    """

    event: str | None = None
    severity: int = MAJOR
    begins_s: float = 0.0
    complete_s: float = 0.0
    until_s: float = 0.0


HARMLESS = Truth()


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """All samples of one stream, at a steady rate: ``counts`` (n, axes) as the sensor gives them."""

    spec: StreamSpec
    counts: npt.NDArray[Any]
    saturated: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One question of the paper. ``drawn``: the figures that chance gave it, for whoever looks into it."""

    kind: str
    number: int
    background: str
    seconds: float
    series: tuple[Series, ...]
    truth: Truth
    settings: str = ""
    mount_up: Vector | None = None
    drawn: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to make scenes. ``event``: as in `Truth`; ``suits``: on which backgrounds it makes sense."""

    name: str
    event: str | None
    build: Callable[[Draw], Scene]
    suits: Callable[[Background], bool]

    @property
    def why(self) -> str:
        """The first words of its docstring."""
        return (self.build.__doc__ or "").strip().splitlines()[0]


@dataclass(slots=True)
class Draw:
    """What a kind draws a scene from: chance, a background, and a place in the paper."""

    rng: np.random.Generator
    kind: str
    number: int
    background: Background

    def between(self, low: float, high: float) -> float:
        """Draw evenly."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        """Draw true in so many of all cases."""
        return bool(self.rng.random() < share)

    def one_of(self, *values: float) -> float:
        """Draw one."""
        return float(values[int(self.rng.integers(len(values)))])

    def sign(self) -> float:
        """Draw one of -1 and 1."""
        return self.one_of(-1.0, 1.0)


KINDS: list[Kind] = []


def harmful(
    event: str, suits: Callable[[Background], bool]
) -> Callable[[Callable[[Draw], Scene]], Callable[[Draw], Scene]]:
    """Enter a way to make scenes that must be recognised as `event`."""
    return _entered(event, suits)


def harmless(
    suits: Callable[[Background], bool],
) -> Callable[[Callable[[Draw], Scene]], Callable[[Draw], Scene]]:
    """Enter a way to make scenes in which no alarm may be raised."""
    return _entered(None, suits)


def _entered(
    event: str | None, suits: Callable[[Background], bool]
) -> Callable[[Callable[[Draw], Scene]], Callable[[Draw], Scene]]:
    def enter(build: Callable[[Draw], Scene]) -> Callable[[Draw], Scene]:
        KINDS.append(Kind(build.__name__, event, build, suits))
        return build

    return enter


def with_drawn(scene: Scene, **drawn: float | str) -> Scene:
    """Return the scene with more of what chance gave it."""
    return replace(scene, drawn={**scene.drawn, **drawn})
