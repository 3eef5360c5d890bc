"""Features of an hour of three axes at 1 kHz, beside PyPI's endaq on the same samples in the same run.

The peer gets an environment of its own for the time of the run. Ours is everything that the agent computes
of an accelerometer, streaming, in batches of ten seconds; the peer's the nearest that it has, with the whole
hour in memory: Welch's spectrum, RMS, and RMS, peak and mean of each second. Times are of the processor, the
median of three. How far the two disagree is a check of both: its spectrum in our bands, with a tone in
the middle of one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, RegularClock, SiBlock
from agent.features import moments
from agent.features.engine import Features
from agent.features.table import F64, Table
from agent.features.third_octave import ThirdOctaves, edges_hz, level_db
from agent.shock_response import FREQUENCIES_HZ, response
from agent.streams import TABLE
from scripts.benches.figures import Figure
from scripts.benches.peer import Peer, say

RATE_HZ = 1000
SECONDS = 3600
BATCH_S = 10
PEER = "endaq==1.5.3"
PEER_PROGRAM = """
import json, sys, time
def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
before_mib = resident_mib()
began = time.process_time()
import numpy as np, pandas as pd
from endaq.calc import psd, shock, stats
given = {"import_s": time.process_time() - began}
given["import_mib"] = resident_mib() - before_mib
data = np.load(sys.argv[1])
rate = float(data["rate_hz"])
def table(values, rate):
    index = pd.Index(np.arange(len(values)) / rate, name="time")
    return pd.DataFrame(values, index=index, columns=list("xyz"))
def timed(name, work):
    times = []
    for _ in range(3):
        began = time.process_time()
        result = work()
        times.append(time.process_time() - began)
    given[name] = sorted(times)[1]
    return result
hour = table(data["values"], rate)
about = hour - hour.mean()
spectrum = timed("welch_s", lambda: psd.welch(about, bin_width=1.0))
fine = psd.welch(about, bin_width=0.05)
bands = psd.to_jagged(fine, freq_splits=data["edges_hz"], agg="mean")
given["bands"] = (bands.to_numpy() * np.diff(data["edges_hz"])[:, None]).T.tolist()
given["rms"] = timed("rms_s", lambda: stats.rms(about.to_numpy(), axis=0)).tolist()
def seconds():
    parts = data["values"].reshape(-1, int(rate), 3).astype(np.float64)
    mean = parts.mean(axis=1, keepdims=True)
    return stats.rms(parts - mean, axis=1), np.abs(parts - mean).max(axis=1), mean
given["second_rms"] = timed("seconds_s", seconds)[0].tolist()
shocks = {}
for rate in (1000, 100000):
    push = table(np.repeat(data[f"shock_{rate}"][:, None], 3, axis=1), rate)
    name = f"shock_{rate}_s"
    shocks[str(rate)] = timed(name, lambda: shock.shock_spectrum(push, freqs=data["frequencies_hz"])) \\
        .to_numpy()[:, 0].tolist()
given["shocks"] = shocks
print(json.dumps(given))
"""
T = TypeVar("T")
F32 = npt.NDArray[np.float32]


def bench(args: argparse.Namespace) -> list[Figure]:
    """Return the figures."""
    del args
    values = road(SECONDS)
    ours_s, table = _timed(lambda: computed(values), 3)
    spec = TABLE["accel"]
    family = ThirdOctaves(spec)
    part = table.part("accel")
    ours_bands = family.mean_squares(part.whole())[0]
    edges = edges_hz(0, family.bands)
    figures = [
        Figure("features of an hour of 1 kHz × 3", ours_s, "s", "every one, streaming"),
        Figure("  faster than it happened", SECONDS / ours_s, "x"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "hour.npz"
        shocks = {f"shock_{rate}": half_sine(rate) for rate in (1000, 100_000)}
        given: dict[str, Any] = {"edges_hz": edges, "frequencies_hz": FREQUENCIES_HZ, **shocks}
        np.savez(data, values=values, rate_hz=RATE_HZ, **given)
        found = Peer(Path(folder), PEER).run(PEER_PROGRAM, str(data))
    ours_srs_s, ours_srs = _timed(lambda: response(shocks["shock_1000"], 1000), 15)
    figures.append(Figure("shock response, 0.5 s, one axis", ours_srs_s * 1e3, "ms"))
    reference = response(shocks["shock_100000"], 100_000)
    apart = float(np.abs(ours_srs / reference - 1).max())
    figures.append(Figure("  at 1 kHz, farthest from our own at 100 kHz", apart, "", at_most=0.01))
    if found is None:
        return figures
    say(
        f"{PEER}: import {found['import_s']:.2f} s and {found['import_mib']:.0f} MiB, Welch "
        f"{found['welch_s']:.2f} s, RMS {found['rms_s']:.2f} s, features a second {found['seconds_s']:.2f} s"
    )
    theirs_s = found["welch_s"] + found["rms_s"] + found["seconds_s"]
    decibels = level_db(ours_bands) - level_db(np.array(found["bands"]))
    say("  third octaves, ours above theirs, dB: " + " ".join(f"{v:+.2f}" for v in decibels.mean(axis=0)))
    seconds = moments.rms_about_mean(part) / np.array(found["second_rms"]) - 1
    whole = moments.rms_about_mean(part.whole())[0] / np.array(found["rms"]) - 1
    theirs = {rate: np.array(srs) for rate, srs in found["shocks"].items()}
    return [
        *figures,
        Figure("ours, of the peer's time", ours_s / theirs_s, "x", PEER),
        Figure("  RMS of the hour, farthest apart", float(np.abs(whole).max()), "", at_most=1e-5),
        Figure("  RMS of a second, farthest apart", float(np.abs(seconds).max()), "", at_most=1e-5),
        Figure(
            "  third octaves to 3.15 Hz, farthest apart",
            float(np.abs(decibels[:, :6]).max()),
            "dB",
            at_most=0.5,
        ),
        Figure(
            "  third octaves above, farthest apart", float(np.abs(decibels[:, 6:]).max()), "dB", at_most=0.3
        ),
        Figure(
            "  shock response at 100 kHz, farthest apart",
            float(np.abs(reference / theirs["100000"] - 1).max()),
            "",
            at_most=0.002,
        ),
        Figure(
            "  at 1 kHz, the peer's from 100 kHz",
            float(np.abs(theirs["1000"] / theirs["100000"] - 1).max()),
            "",
        ),
        Figure("  shock response, of the peer's time", ours_srs_s / found["shock_1000_s"], "x", "at 1 kHz"),
    ]


def road(seconds: int, seed: int = 1) -> F32:
    """Return (n, 3) m/s²: gravity, engine, and noise that falls off towards high frequencies."""
    rng = np.random.default_rng(seed)
    count = seconds * RATE_HZ
    t = np.arange(count) / RATE_HZ
    values = np.empty((count, 3), np.float32)
    for axis in range(3):
        rough = rng.normal(0, 0.3, count)
        for length, gain in ((8, 1.0), (40, 3.0), (200, 6.0)):
            summed = np.cumsum(rng.normal(0, gain, count + length))
            rough += (summed[length:] - summed[:-length]) / length
        values[:, axis] = rough + 0.4 * np.sin(2 * np.pi * 25.0 * t + axis)
    values[:, 2] += 9.80665
    return values


def half_sine(rate_hz: int) -> F64:
    """Return 50 g for 11 ms in half a second, 10.4 ms from the begin: between two samples."""
    t = np.arange(rate_hz // 2) / rate_hz - 0.0104
    return np.where((t >= 0) & (t <= 0.011), 50 * np.sin(np.pi * t / 0.011), 0.0)


def computed(values: F32) -> Table:
    """Return all features of the hour, by the second."""
    features = Features([msgspec.structs.replace(TABLE["accel"], rate_hz=float(RATE_HZ))])
    clock, step = RegularClock.of_rate(RATE_HZ), BATCH_S * RATE_HZ
    tables = []
    for first in range(0, len(values), step):
        part = values[first : first + step]
        times = clock.times_ns(first, len(part))
        features.feed(SiBlock("accel", first, times, clock.period_ps // 1000, part))
        if (table := features.advance((first + step) * NS_PER_S // RATE_HZ)) is not None:
            tables.append(table)
    return Table.joined(tables)


def _timed(work: Callable[[], T], runs: int) -> tuple[float, T]:
    durations_s = []
    for _ in range(runs):
        began_s = time.process_time()
        found = work()
        durations_s.append(time.process_time() - began_s)
    return statistics.median(durations_s), found
