"""What the live tests stand on: a configuration, and trips that come to the point sooner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from firmware_bridge.virtual.streams import STREAMS, VirtualStream
from firmware_bridge.virtual.trip import Trip

BOX = "box-7"


def write_config(
    folder: Path, *, port: Path | str, broker_port: int, more: str = "", broker: str = ""
) -> Path:
    """Write a configuration as a small installation has it; `more` tables, and keys of `broker`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "box.toml"
    path.write_text(
        f"""
[box]
id = "{BOX}"
[source.serial]
port = "{port}"
[outbox]
directory = "outbox"
commit_window_s = 0.05
[detect.temperature]
low_degc = 2.0
high_degc = 8.0
[broker]
host = "127.0.0.1"
port = {broker_port}
reconnect_min_s = 0.1
reconnect_max_s = 0.5
{broker}
{more}
"""
    )
    return path


@dataclass(frozen=True)
class LaterTrip:
    """The scripted trip from second `skip_s` on: from 12 the tilt is due at 4 s and the drop at 9 s."""

    skip_s: int
    seed: int = 1
    streams: tuple[VirtualStream, ...] = STREAMS

    def second(self, k: int) -> dict[str, npt.NDArray[np.int32]]:
        """Return all samples in [k, k + 1) s."""
        return _trip(self.seed).second(k + self.skip_s)


_TRIPS: dict[int, Trip] = {}


def _trip(seed: int) -> Trip:
    """Return the trip, composed once a process: it remembers much."""
    return _TRIPS.setdefault(seed, Trip(seed))
