"""Drop: free fall, impact and bounce; and a box that is carried, lifted and set down with care.

In free fall nothing is felt but what the spin throws outwards at the sensor, ω²·r, and the air. ISTA 3A and
ASTM D5276 drop parcels from 20 to 120 cm. The condition is complete when the box has fallen for 150 ms:
11 cm, which nothing on wheels gives. A lift by hand accelerates by 1 to 3 m/s².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scripts.examination.backgrounds import Background
from scripts.examination.ride import Ride, any_rotation, plateau, ramp, ride, smooth_noise, turned
from scripts.examination.scene import GRAVITY_MPS2, HARMLESS, Draw, Scene, Truth, harmful, harmless
from scripts.examination.sensors import Fitting, full_scale_for, scene_of
from scripts.examination.tilting import standing

SURE_S = 0.15
GRACE_S = 0.6


def handled(background: Background) -> bool:
    """Fast enough to show a fall; it may be let go on any floor, also a moving one."""
    return background.quick


@dataclass(frozen=True, slots=True)
class Fall:
    """How it falls: release, flight, impact and one bounce."""

    start_s: float
    height_m: float
    spin_radps: float
    arm_m: float
    restitution: float
    impact_s: float

    @property
    def flight_s(self) -> float:
        """From rest to the ground."""
        return math.sqrt(2 * self.height_m / GRAVITY_MPS2)

    @property
    def impact_mps2(self) -> float:
        """Peak of a half-sine that stops it and throws it back: Δv = (1 + e)·√(2gh) = 2·peak·T/π."""
        return (1 + self.restitution) * GRAVITY_MPS2 * self.flight_s * math.pi / (2 * self.impact_s)


def drawn_fall(draw: Draw, start_s: float, low_m: float, high_m: float, most_spin_radps: float) -> Fall:
    """Draw one."""
    return Fall(
        start_s,
        draw.between(low_m, high_m),
        draw.between(0, most_spin_radps),
        draw.between(0.02, 0.2),
        draw.between(0.1, 0.4),
        math.exp(draw.between(math.log(0.004), math.log(0.025))),
    )


def play(made: Ride, draw: Draw, fall: Fall) -> float:
    """Let the box fall in a ride, turned about its spin; return when it lies still. No vehicle is felt then.

    It lands as it left, but for what the spin turned it; then it rocks down to its face again.
    """
    t = made.time_s
    spin = draw.rng.standard_normal(3)
    spin /= np.linalg.norm(spin)
    arm = np.cross(spin, draw.rng.standard_normal(3))
    arm *= fall.arm_m / np.linalg.norm(arm)
    lands_s = fall.start_s + fall.flight_s
    hop_s = 2 * fall.restitution * math.sqrt(2 * fall.height_m / GRAVITY_MPS2)
    again_s = lands_s + fall.impact_s + hop_s
    turn = fall.spin_radps * (np.clip(t, fall.start_s, again_s) - fall.start_s)
    settled_s = again_s + 0.4
    turn *= 1 - ramp(t, again_s, 0.35)
    made.gyro += np.gradient(turn, 1 / made.rate_hz)[:, None] * spin
    made.force[:] = turned(made.force, spin, -turn)
    for begin_s, end_s in ((fall.start_s, lands_s), (lands_s + fall.impact_s, again_s)):
        released = ramp(t, begin_s - 0.004, 0.008)
        held = 1 - (released - ramp(t, end_s - 0.001, 0.001))
        made.force *= held[:, None]
        made.force += (1 - held)[:, None] * fall.spin_radps**2 * arm
    landing = np.array([0.0, 0.0, 1.0]) + 0.5 * draw.rng.standard_normal(3)
    landing /= np.linalg.norm(landing)
    peak, lasts_s = fall.impact_mps2, fall.impact_s
    made.jolt(lambda x: peak * np.sin(math.pi * x / lasts_s), lands_s, lasts_s, landing)
    second = peak * fall.restitution
    made.jolt(lambda x: second * np.sin(math.pi * x / lasts_s), again_s, lasts_s, landing)
    rattle_hz = draw.between(30, 90)
    made.jolt(
        lambda x: 0.1 * peak * np.exp(-x / 0.03) * np.sin(2 * math.pi * rattle_hz * x), again_s, 0.3, landing
    )
    return settled_s


def _fell(draw: Draw, made: Ride, fall: Fall) -> Scene:
    begins_s, complete_s = fall.start_s, fall.start_s + SURE_S
    truth = Truth("drop", 3, begins_s, complete_s, fall.start_s + fall.flight_s + GRACE_S)
    fitting = Fitting(
        draw.one_of(2.0, 4.0, 8.0, 16.0, 16.0, 100.0),
        gyro=not draw.background.recorded and draw.chance(0.4),
        load=False,
    )
    drawn: dict[str, float | str] = {
        "height_m": fall.height_m, "spin_radps": fall.spin_radps, "start_s": fall.start_s,
        "impact_g": fall.impact_mps2 / GRAVITY_MPS2,
    }  # fmt: skip
    return scene_of(draw, made, truth, fitting, drawn=drawn)


@harmful("drop", handled)
def fell_off(draw: Draw) -> Scene:
    """It falls off the load bed or a shelf in the vehicle, spinning a little."""
    made = ride(draw, draw.between(30, 45))
    fall = drawn_fall(draw, draw.between(10, 20), 0.4, 1.2, 3.0)
    play(made, draw, fall)
    return _fell(draw, made, fall)


@harmful("drop", handled)
def slipped_from_hands(draw: Draw) -> Scene:
    """Carried by hand, it slips, tumbling."""
    made = ride(draw, draw.between(35, 50))
    start_s = draw.between(16, 24)
    carried(draw, made, 8.0, start_s + 5)
    fall = drawn_fall(draw, start_s, 0.5, 1.1, 4.0)
    made.hold(start_s, start_s + 3)
    play(made, draw, fall)
    return _fell(draw, made, fall)


@harmful("drop", handled)
def let_go_low(draw: Draw) -> Scene:
    """It is let go 25 to 40 cm above the floor, as one does with what is heavy."""
    made = ride(draw, draw.between(30, 45))
    start_s = draw.between(14, 20)
    made.hold(start_s - 4, start_s + 3)
    fall = drawn_fall(draw, start_s, 0.25, 0.40, 2.0)
    play(made, draw, fall)
    return _fell(draw, made, fall)


def carried(draw: Draw, made: Ride, start_s: float, end_s: float) -> None:
    """Carry the box: two steps a second with their harmonics, a sway of some degrees. No vehicle is felt.

    Walking gives a trunk 0.2 to 0.4 g vertically at the step rate (Bachmann and Ammann, IABSE 1987: 1.6 to
    2.4 Hz, first harmonic 0.37 of the weight).
    """
    made.hold(start_s, end_s)
    t = made.time_s
    share = ramp(t, start_s, 0.8) - ramp(t, end_s - 0.8, 0.8)
    step_hz = draw.between(1.6, 2.3)
    size = draw.between(0.12, 0.35) * GRAVITY_MPS2
    for harmonic, part in ((1, 1.0), (2, 0.35), (3, 0.15)):
        made.force[:, 2] += part * size * share * np.sin(2 * math.pi * harmonic * step_hz * t + harmonic)
    made.force[:, 1] += 0.3 * size * share * np.sin(math.pi * step_hz * t)
    sway = math.radians(draw.between(2, 9)) * share
    made.lean(sway * smooth_noise(draw.rng, len(t), made.rate_hz, 0.5) * 0.6, draw.between(0, 6.28))


def lifted(made: Ride, start_s: float, height_m: float, lasts_s: float) -> None:
    """Lift (or lower, with a negative height) along a smooth path: z = h·(s - sin(2πs)/2π)."""
    t = np.clip((made.time_s - start_s) / lasts_s, 0, 1)
    made.force[:, 2] += height_m * 2 * math.pi / lasts_s**2 * np.sin(2 * math.pi * t)


@harmless(standing)
def lifted_and_set_down(draw: Draw) -> Scene:
    """Lifted by hand, carried, and set down gently: a knock of 1 to 2.5 g for 5 to 20 ms as it touches."""
    made = ride(draw, draw.between(40, 60))
    up_s, down_s = draw.between(9, 12), draw.between(24, 30)
    height = draw.between(0.3, 1.0)
    carried(draw, made, up_s + 1.2, down_s)
    lifted(made, up_s, height, draw.between(0.9, 1.6))
    lowers_s = draw.between(0.9, 1.8)
    lifted(made, down_s, -height, lowers_s)
    peak, lasts_s = draw.between(1, 2.5) * GRAVITY_MPS2, draw.between(0.005, 0.02)
    ups = np.array([0.0, 0.0, 1.0])
    made.jolt(lambda x: peak * np.sin(math.pi * x / lasts_s), down_s + lowers_s, lasts_s, ups)
    fitting = Fitting(full_scale_for(draw), gyro=not draw.background.recorded and draw.chance(0.5))
    return scene_of(draw, made, HARMLESS, fitting, drawn={"height_m": height})


@harmless(standing)
def carried_upstairs(draw: Draw) -> Scene:
    """Carried up two floors with heavy steps, then put on a table."""
    made = ride(draw, draw.between(45, 70))
    end_s = draw.between(30, 38)
    carried(draw, made, 9, end_s)
    beat = draw.between(0.10, 0.2) * GRAVITY_MPS2
    share = plateau(made.time_s, 10, 1, end_s - 13, 1)
    made.force[:, 2] += beat * share * smooth_noise(draw.rng, len(made.force), made.rate_hz, 3.0)
    fitting = Fitting(full_scale_for(draw), gyro=not draw.background.recorded and draw.chance(0.5))
    return scene_of(draw, made, HARMLESS, fitting)


@harmless(standing)
def turned_on_its_base(draw: Draw) -> Scene:
    """Turned round on its base and pushed across the floor: scraping, short starts and stops."""
    made = ride(draw, draw.between(40, 60))
    t = made.time_s
    for _ in range(int(draw.rng.integers(2, 5))):
        start_s = draw.between(8, 34)
        push = draw.between(0.5, 2.0) * draw.sign()
        a = push * (plateau(t, start_s, 0.15, 0.2, 0.15) - plateau(t, start_s + 1.0, 0.1, 0.2, 0.1))
        made.accelerate(a * draw.between(0.5, 1), a * draw.between(-0.5, 0.5), 0.0)
        made.gyro[:, 2] += draw.between(0.2, 1.2) * plateau(t, start_s, 0.3, 0.8, 0.3)
        scrape = plateau(t, start_s, 0.1, 1.0, 0.1)[:, None] * draw.between(0.2, 0.8)
        made.force += scrape * draw.rng.standard_normal(made.force.shape) @ any_rotation(draw.rng)
    fitting = Fitting(full_scale_for(draw), gyro=True, load=draw.chance(0.3))
    return scene_of(draw, made, HARMLESS, fitting)
