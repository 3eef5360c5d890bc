"""A world in which nothing happens: what a board's sensors feel while it is being flashed.

One stream of one axis, the same count for ever, laid out as ``virtual/board.py`` reads it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from firmware_bridge.virtual.playback import describe_streams
from firmware_bridge.virtual.streams import MOUNT_UP, VirtualStream

STREAM = VirtualStream("pressure", ("p",), "Pa", 0.625, 50, 16, None)
COUNT = 160  # 100 Pa
SECONDS = 600
UNIQUE_ID = "f1a5"


class SmallWorld:
    """The files in `folder`; ``board.json`` is written anew at each boot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "second").write_bytes(COUNT.to_bytes(2, "little") * STREAM.rate_hz)
        for second in range(SECONDS):
            link = folder / f"second-{second:06d}"
            if not link.is_symlink():
                link.symlink_to("second")

    def lay_out(self, reset_cause: str, boots: int, *, power_fd: int, host_fd: int) -> None:
        """Write what the board reads at its start."""
        (self.folder / "origin").write_text("0")  # the world began when the board booted
        (self.folder / "board.json").write_text(
            json.dumps(
                {
                    "id": UNIQUE_ID,
                    "reset": reset_cause,
                    "boots": boots,
                    "mount_up": MOUNT_UP,
                    "streams": describe_streams((STREAM,)),
                    "epoch_us": time.monotonic_ns() // 1000,
                    "drift_ppm": 0,
                    "ticks_offset_us": 0,
                    "power_fd": power_fd,
                    "host_fd": host_fd,
                }
            )
        )
