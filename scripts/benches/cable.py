"""The cable for minutes: the real firmware on the real MicroPython behind a pty, as fast as boxes come.

Three axes at 3200 Hz and four load cells at 320 Hz. Every sample tells which one it is; what is missing,
doubled or wrong is counted, and nothing of it is forgiven.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from firmware_bridge.link import Link
from firmware_bridge.reception import Samples
from firmware_bridge.virtual import Interpreter, VirtualBox
from firmware_bridge.virtual.streams import (
    ACCEL_MPS2_PER_COUNT,
    LOAD_KG_PER_COUNT,
    VirtualStream,
)
from scripts.benches.figures import Figure

STREAMS = (
    VirtualStream("accel", ("x", "y", "z"), "mps2", ACCEL_MPS2_PER_COUNT, 3200, 16, None),
    VirtualStream("load", ("fl", "fr", "rl", "rr"), "kg", LOAD_KG_PER_COUNT, 320, 24, None),
)
PROGRESS_S = 5.0


def counts(stream: VirtualStream, first: int, count: int) -> npt.NDArray[np.int32]:
    """Return what samples `first` to `first + count` must be: (count, axes)."""
    top = 1 << (stream.sample_bits - 1)
    index = np.arange(first, first + count, dtype=np.int64)[:, None]
    steps = np.arange(1, len(stream.axes) + 1, dtype=np.int64) * 37
    return ((index * steps + top) % (2 * top) - top).astype(np.int32)


@dataclass(frozen=True)
class Counting:
    """A trip in which every sample counts up."""

    streams: tuple[VirtualStream, ...] = STREAMS

    def second(self, k: int) -> dict[str, npt.NDArray[np.int32]]:
        """Return all samples in [k, k + 1) s."""
        return {s.name: counts(s, k * s.rate_hz, s.rate_hz) for s in self.streams}


class Tally:
    """What came, against what should have."""

    def __init__(self) -> None:
        self.next = dict.fromkeys((s.name for s in STREAMS), 0)
        self.missing = 0
        self.wrong = 0
        self._by_name = {s.name: s for s in STREAMS}

    def take(self, samples: Samples) -> None:
        """Count one frame's samples."""
        name, count = samples.stream.name, len(samples.values)
        self.missing += samples.first - self.next[name]
        self.next[name] = samples.first + count
        expected = counts(self._by_name[name], samples.first, count)
        self.wrong += int(np.count_nonzero((samples.values != expected).any(axis=1)))


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    seconds = args.minutes * 60
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with VirtualBox(Counting(), state / "port", state / "board") as box:
            link = Link(box.port)
            link.open()
            begun_s, cpu_s = time.monotonic(), time.process_time()
            said_s = begun_s
            while (now_s := time.monotonic()) < begun_s + seconds:
                for samples in link.read(0.05):
                    tally.take(samples)
                if now_s - said_s > PROGRESS_S:
                    said_s = now_s
                    _progress(now_s - begun_s, seconds, link, tally)
            took_s, used_s = now_s - begun_s, time.process_time() - cpu_s
            counters = link.counters
            frames_a_second = counters.frames / took_s
            drift_ppm, doubt_us = link.clock.drift_ppm, link.clock.doubt_ns / 1000
            link.close()
            console = box.console.read_text()
    if console:
        print(console, file=sys.stderr)
    due = {s.name: int(took_s * s.rate_hz) for s in STREAMS}
    late = max(due[s.name] - tally.next[s.name] for s in STREAMS)
    kind = "MicroPython" if Interpreter.best() is Interpreter.MICROPYTHON else "CPython"
    fast = "3 axes at 3200 Hz and four cells at 320 Hz"
    print(
        f"  {took_s:.0f} s: {sum(tally.next.values())} samples, "
        f"{counters.refilled_frames} frames sent again, {counters.damaged_frames} damaged, "
        f"sensor lost {counters.sensor_lost}, "
        f"ring lost {counters.ring_lost}, "
        f"clock {drift_ppm:+.1f} ppm ± {doubt_us:.0f} µs, newest {late} samples behind",
        file=sys.stderr,
    )
    return [
        Figure(f"cable, samples missing in {took_s / 60:.1f} min", tally.missing, "samples", fast, at_most=0),
        Figure("cable, samples wrong", tally.wrong, "samples", "what the box counted", at_most=0),
        Figure(f"cable, sent by {kind}", frames_a_second, "frames/s", "each stream at every turn of 3 ms"),
        Figure("cable, host's share of a core, checks included", used_s / took_s, "cores", fast),
    ]


def _progress(done_s: float, seconds: float, link: Link, tally: Tally) -> None:
    if os.isatty(2):
        print(
            f"\r  {done_s:4.0f} of {seconds:.0f} s, {tally.missing} missing, "
            f"{link.counters.refilled_frames} sent again ",
            end="",
            file=sys.stderr,
            flush=True,
        )
