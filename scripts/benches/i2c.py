"""The I2C bus beside the script that people write for it: times, losses, and what a sample costs.

Both read the same model of an ADXL345 (200 samples a second, an oscillator 1.5 % fast) in simulated time,
with a thread that wakes up to 2 ms late and is held up for 100 ms now and then. The script polls the data
registers each 5 ms and takes the time of the reading for the time of the sample, as examples do.
"""

from __future__ import annotations

import argparse
import random
import struct
import time
from typing import Literal

import numpy as np
from smbus2 import i2c_msg

from agent.sources.drivers.adxl345 import Adxl345Settings
from scripts.benches.figures import Figure
from scripts.virtual_pi.chips.adxl345 import Adxl345
from tests.i2c.cases import BY_NAME, truth_of
from tests.i2c.rig import SimulatedRig, sample

RATE_HZ: Literal[200] = 200
ERROR_PPM = 15_000.0
SECONDS = 120.0
LATE_NS = 2_000_000
HELD_UP_NS = 100_000_000
HELD_UP_EACH_S = 7.0


def bench(args: argparse.Namespace) -> list[Figure]:
    """Return the figures."""
    del args
    ours_us, ours_lost, ours_cost_us = _ours()
    script_us, script_lost, script_twice, script_cost_us = _script()
    peer = "polling script"
    return [
        Figure("I2C: times scatter (σ)", ours_us, "µs", at_most=200.0),
        Figure("I2C: times scatter, of the peer's", ours_us / script_us, "x", peer, at_most=0.1),
        Figure("I2C: samples lost", float(ours_lost), "", at_most=0.0),
        Figure("I2C: samples lost by the peer", float(script_lost), "", peer),
        Figure("I2C: samples twice by the peer", float(script_twice), "", peer),
        Figure(
            "I2C: time of a sample, models included", ours_cost_us / script_cost_us, "x", peer, at_most=3.0
        ),
    ]


def _ours() -> tuple[float, int, float]:
    rig = SimulatedRig(late_ns=LATE_NS)
    chip = Adxl345(now_ns=rig.now_ns, rate_error_ppm=ERROR_PPM)
    rig.put([chip])
    hold = [(s * HELD_UP_EACH_S, lambda: rig.hold_up(HELD_UP_NS)) for s in range(1, int(SECONDS / 7))]
    began_s = time.process_time()
    taken = sample(rig, [Adxl345Settings(rate_hz=RATE_HZ)], seconds=SECONDS, script=hold)
    cost_s = time.process_time() - began_s
    truth = truth_of(BY_NAME["ADXL345"], taken, chip)
    lost = truth.numbers[-1] - truth.numbers[0] + 1 - len(truth.numbers)
    return float(truth.errors_us.std()), lost, cost_s / len(truth.numbers) * 1e6


def _script() -> tuple[float, int, int, float]:
    rig = SimulatedRig(late_ns=LATE_NS)
    chip = Adxl345(now_ns=rig.now_ns, rate_error_ppm=ERROR_PPM)
    rig.put([chip])
    bus = rig.bus.open()
    for register, value in ((0x2C, 0x0B), (0x31, 0x0B), (0x2D, 0x08)):
        bus.i2c_rdwr(i2c_msg.write(chip.address, [register, value]))
    dice = random.Random(1)
    got: list[tuple[int, int]] = []
    end_ns = rig.now_ns() + round(SECONDS * 1e9)
    began_s = time.process_time()
    due_ns, held_ns = rig.now_ns(), rig.now_ns()
    while rig.now_ns() < end_ns:
        due_ns += 1_000_000_000 // RATE_HZ
        rig.clock.wait_until(due_ns)
        if rig.now_ns() - held_ns > HELD_UP_EACH_S * 1e9:
            held_ns = rig.now_ns()
            rig.hold_up(HELD_UP_NS + dice.randrange(1000))
        data = i2c_msg.read(chip.address, 6)
        bus.i2c_rdwr(i2c_msg.write(chip.address, [0x32]), data)
        got.append((rig.now_ns(), chip.number_of(struct.unpack("<hhh", bytes(data)))))
    cost_s = time.process_time() - began_s
    numbers = [number for _, number in got]
    errors_us = np.array([(at_ns - chip.time_ns(number)) / 1e3 for at_ns, number in got])
    seen = set(numbers)
    lost = max(seen) - min(seen) + 1 - len(seen)
    return float(errors_us.std()), lost, len(numbers) - len(seen), cost_s / len(got) * 1e6
