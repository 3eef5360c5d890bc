"""Lays a trip out in files, second by second, ahead of the virtual board that plays it.

The board's ``start`` writes the file ``origin`` (the board's own microseconds); from then on the files
are kept a few seconds ahead of the play and removed a few seconds behind it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from firmware_bridge.virtual.streams import VirtualStream

AHEAD_S = 4  # but for a trip that has an `ahead_s` of its own, because somebody's hand changes it as it goes
BEHIND_S = 3  # more than the sensors' FIFO, see board.py
NS_PER_US = 1000
US_PER_S = 1_000_000


class Trip(Protocol):
    """What a box lives through, as its sensors count it."""

    @property
    def streams(self) -> tuple[VirtualStream, ...]:
        """What the box's board describes."""

    def second(self, k: int) -> dict[str, npt.NDArray[np.int32]]:
        """Return all samples in [k, k + 1) s by stream: counts, (rate_hz, axes)."""


def pack(counts: npt.NDArray[np.int32], sample_bits: int) -> bytes:
    """Return counts as the sensor gives them: little endian, `sample_bits` wide."""
    whole = np.ascontiguousarray(counts, dtype="<i4")
    width = sample_bits // 8
    return whole.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()


def describe_streams(streams: tuple[VirtualStream, ...]) -> str:
    """Return the streams as the board describes them: JSON text."""
    return json.dumps(
        [
            {
                "name": s.name,
                "axes": list(s.axes),
                "unit": s.unit,
                "scale": s.scale,
                "rate_hz": s.rate_hz,
                "bits": s.sample_bits,
                "full_scale": s.full_scale,
            }
            for s in streams
        ]
    )


class Playback:
    """Keeps the files of `trip` in `folder` in step with a board whose microseconds begin at `epoch_ns`."""

    def __init__(self, trip: Trip, folder: Path, *, epoch_ns: int, drift_ppm: int) -> None:
        self._trip = trip
        self._folder = folder
        self._epoch_ns = epoch_ns
        self._drift_ppm = drift_ppm
        self._ahead_s: float = getattr(trip, "ahead_s", AHEAD_S)
        self._laid_out = 0
        self._removed = 0
        self._origin_us: int | None = None

    def attend(self) -> float:
        """Write what is due; return in how many seconds there is more to do."""
        now_s = self._now_s()
        while self._laid_out < now_s + self._ahead_s:
            self._lay_out(self._laid_out)
            self._laid_out += 1
            now_s = self._now_s()
        while self._removed < now_s - BEHIND_S:
            self._file(self._removed).unlink(missing_ok=True)
            self._removed += 1
        if self._origin_us is None:
            return 0.1
        return min(0.5, max(0.01, self._laid_out - self._ahead_s - now_s))

    def _now_s(self) -> float:
        if self._origin_us is None:
            try:
                self._origin_us = int((self._folder / "origin").read_text())
            except FileNotFoundError:
                return 0.0
        true_us = (time.monotonic_ns() - self._epoch_ns) // NS_PER_US
        board_us = true_us + true_us * self._drift_ppm // US_PER_S
        return (board_us - self._origin_us) / US_PER_S

    def _file(self, second: int) -> Path:
        return self._folder / f"second-{second:06d}"

    def _lay_out(self, second: int) -> None:
        samples = self._trip.second(second)
        parts = []
        for stream in self._trip.streams:
            counts = samples[stream.name]
            if counts.shape != (stream.rate_hz, len(stream.axes)):
                raise ValueError(
                    f"trip, second {second}, {stream.name}: shape {counts.shape}, "
                    f"expected {(stream.rate_hz, len(stream.axes))}"
                )
            parts.append(pack(counts, stream.sample_bits))
        # written aside and renamed: the board never reads half a second
        path = self._file(second)
        aside = path.with_suffix(".new")
        aside.write_bytes(b"".join(parts))
        aside.rename(path)
