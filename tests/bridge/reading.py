"""Reading a link in tests: until something is there, checked against the trip that the box plays."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from firmware_bridge.link import Link
from firmware_bridge.reception import Samples
from firmware_bridge.virtual.streams import STREAMS
from tests.bridge.tiny_trip import expected_counts

PATIENCE_S = 20.0
BY_NAME = {s.name: s for s in STREAMS}


class Received:
    """All samples that a link gave, by stream."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.frames: dict[str, list[Samples]] = defaultdict(list)

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Read until `done`."""
        give_up = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < give_up, (
                f"no {what} in {PATIENCE_S} s; state {self.link.state}, {self.link.counters}, "
                f"last error {self.link.last_error}"
            )
            for samples in self.link.read(0.05):
                self.frames[samples.stream.name].append(samples)

    def until_index(self, index: int, stream: str = "accel") -> None:
        """Read until `stream` has come as far as sample `index`."""
        self.until(lambda: self.next_index(stream) >= index, f"{stream} sample {index}")

    def next_index(self, stream: str = "accel") -> int:
        frames = self.frames[stream]
        return frames[-1].first + len(frames[-1].values) if frames else 0

    def holes(self, stream: str = "accel") -> list[tuple[int, int, str]]:
        """Return (first missing, first there again, reason) of each hole."""
        holes = []
        expected = 0
        for frame in self.frames[stream]:
            assert frame.first >= expected, f"{stream} went back to {frame.first} from {expected}"
            if frame.first > expected:
                holes.append((expected, frame.first, frame.missing_reason))
            expected = frame.first + len(frame.values)
        return holes

    def check_counts(self, off_by: int = 0) -> None:
        """Assert that each sample is what the trip has at its index; `off_by`: the host's + that."""
        for name, frames in self.frames.items():
            for frame in frames:
                expected = expected_counts(BY_NAME[name], frame.first + off_by, len(frame.values))
                np.testing.assert_array_equal(frame.values, expected, err_msg=f"{name} at {frame.first}")
