"""A witness in the guest of what the ring of recordings calls safe, told to the host before a cut can come.

python -m scripts.virtual_pi.ring_witness record FOLDER BOOT   records an accelerometer at 3.2 kHz, load cells
    and a thermometer in real time, with values that follow from their number, and prints what it hands over
    (H), what is synced (S) and what is kept (K)
python -m scripts.virtual_pi.ring_witness check FOLDER         prints in JSON what the folder holds, read by
    the stock `mcap` package and by the agent, value by value
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mcap.exceptions import McapError
from mcap.reader import make_reader

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.outbox.patient import PatientDisk
from agent.recorder import shelf
from agent.recorder.incidents import Incident
from agent.recorder.ring import Ring
from agent.recorder.settings import RecorderSettings
from agent.sources.log_source import LogOptions
from agent.sources.mcap_log import McapLog
from agent.streams import TABLE
from agent.timebase import measure_mark

FAST_HZ, SLOW_HZ = 3200, 80
TURN_S = 0.02
FILE_S = 10.0
KEEP_EVERY_S = 4.0
SPECS = (TABLE["accel"], TABLE["load"], TABLE["temperature"])
RATES_HZ = {"accel": FAST_HZ, "load": SLOW_HZ, "temperature": 1}
DTYPES: dict[str, Any] = {"accel": np.int16, "load": np.int32, "temperature": np.float32}


def values_of(stream: str, first: int, count: int) -> npt.NDArray[Any]:
    """Return what a stream reads from this number on: no coder makes it small, and anybody can check it."""
    axes = len(TABLE[stream].axes)
    at = np.arange(first * axes, (first + count) * axes, dtype=np.uint64)
    mixed = (at * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(47)
    return mixed.astype(np.uint16).view(np.int16).astype(DTYPES[stream]).reshape(count, axes)


def record(folder: Path, boot: str) -> None:
    """Record until the power is cut."""
    holder: list[Ring] = []

    def synced(_path: Path, size_bytes: int, _last_ns: int) -> None:
        opened = holder[0]._open
        if opened is not None and opened.recorder.stored:
            said = {name: end for name, (end, _) in opened.recorder.stored.items()}
            print("S", json.dumps({"boot": boot, "bytes": size_bytes, **said}), flush=True)

    limits = RecorderSettings(file_s=FILE_S, max_mib=64.0, kept_mib=64.0, min_free_mib=50.0)
    ring = Ring(
        folder, limits, SPECS, box="b", boot=boot, software="0.1.0", disk=PatientDisk(), on_synced=synced
    )
    holder.append(ring)
    began_ns = time.monotonic_ns()
    clocks = {name: RegularClock.of_rate(hz, anchor_ns=began_ns) for name, hz in RATES_HZ.items()}
    ends = dict.fromkeys(RATES_HZ, 0)
    ring.write(measure_mark())
    kept = 0
    pause = threading.Event()
    while True:
        for name, hz in RATES_HZ.items():
            due = int((time.monotonic_ns() - began_ns) * hz // NS_PER_S)
            while due > ends[name]:
                count = min(due - ends[name], 256)
                block = Block(name, ends[name], clocks[name], values_of(name, ends[name], count))
                ends[name] += count
                ring.write(block)
        print("H", json.dumps({"boot": boot, "trouble": ring.trouble, **ends}), flush=True)
        if (time.monotonic_ns() - began_ns) / NS_PER_S > (kept + 1) * KEEP_EVERY_S:
            kept += 1
            now_ns = time.monotonic_ns()
            name = f"{boot}-shock-{kept}"
            ring.write(Incident(name, "shock", 3, ((now_ns - NS_PER_S, now_ns + NS_PER_S),), ""))
            if not ring.trouble:  # what the card did not take is not kept
                print("K", name, flush=True)
        pause.wait(TURN_S)


def check(folder: Path) -> None:
    """Say what is there."""
    told: list[dict[str, Any]] = []
    for file in shelf.files_in(folder):
        one: dict[str, Any] = {"file": file.path.name, "boot": file.boot, "state": file.state, "wrong": []}
        one["lost"] = file.extent.lost if file.extent is not None else ""
        if file.state != "open":
            try:
                reader = make_reader(io.BytesIO(file.path.read_bytes()), validate_crcs=True)
                one["messages"] = sum(1 for _ in reader.iter_messages())
            except (McapError, ValueError, OSError) as error:
                one["wrong"].append(f"the mcap package: {type(error).__name__} {error}")
        log = McapLog(file.path, LogOptions())
        log.open()
        spans: dict[str, list[int]] = {}
        for item in log.items():
            if not isinstance(item, Block):
                continue
            span = spans.setdefault(item.stream, [item.first, item.first])
            if item.first != span[1]:
                one["wrong"].append(f"{item.stream}: a hole from {span[1]} to {item.first}")
            span[1] = item.end
            if not np.array_equal(item.values, values_of(item.stream, item.first, len(item))):
                one["wrong"].append(f"{item.stream}: wrong values from {item.first} on")
        told.append({**one, "spans": spans})
    keeps, unreadable = shelf.keeps_in(folder)
    aside = [path.name for path in folder.glob(f"*{shelf.DAMAGED_SUFFIX}")]
    document = {"files": told, "keeps": [keep.id for keep in keeps], "unreadable": [*unreadable, *aside]}
    print(json.dumps(document), flush=True)


def main() -> int:
    """Be the witness that was asked for."""
    role, folder, *rest = sys.argv[1:]
    if role == "record":
        record(Path(folder), *rest)
    else:
        check(Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
