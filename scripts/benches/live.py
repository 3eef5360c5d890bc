"""The live agent on a virtual box: memory, share of a core, and bytes up against bytes in.

With everything on: every detector, the tank's too, every feature, and a recording of the raw streams beside.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from agent.embedded_broker import EmbeddedBroker
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip
from scripts.benches.agent_config import configured
from scripts.benches.figures import Figure, cpu_s, resident_mib

SETTLE_S = 5.0
LOOK_EVERY_S = 5.0

# the least that a program can do with the same board: ask it to start, and throw away what comes
BARE_READER = """
import sys, time
from firmware_bridge.link import Link
link = Link(sys.argv[1])
link.open()
print("open", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    link.read(0.05)
link.close()
"""
IMPORTS_ALONE = """
import numpy, paho.mqtt.client, tinydb, serial, smbus2, msgspec, sys
print("open", flush=True)
sys.stdin.read()
"""


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    seconds = args.minutes * 60
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with EmbeddedBroker() as broker, VirtualBox(Trip(seed=1), None, folder / "board") as box:
            config = configured(folder, box.port, broker, profile="liquid-food")
            command = [sys.executable, "-m", "agent.cli", "run", "--config", str(config), "--json"]
            command += ["--record", str(folder / "trip.mcap")]
            agent = subprocess.Popen(
                [*command, "--seconds", str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            share, memory_mib = _watched(agent.pid, seconds)
            output, _ = agent.communicate()
            summary = json.loads(output)
        with VirtualBox(Trip(seed=1), None, folder / "board2") as box:
            peer = subprocess.Popen(
                [sys.executable, "-c", BARE_READER, box.port, "30"], stdout=subprocess.PIPE
            )
            assert peer.stdout is not None
            peer.stdout.readline()
            bare_share, _ = _watched(peer.pid, 28.0)
            peer.communicate()
    floor_mib = _imports_mib()
    return [
        Figure("run, resident memory, most of it all", max(memory_mib), "MiB", at_most=64),
        Figure("run, growth since the first minute", memory_mib[-1] - _early(memory_mib), "MiB"),
        Figure("run, memory against its imports alone", memory_mib[-1] / floor_mib, "×", "an idle Python"),
        Figure("run, share of one core at 1 kHz", 100 * share, "%"),
        Figure("run, processor time against the link", share / bare_share, "×", "firmware_bridge alone"),
        Figure("run, published against raw", summary["upload_ratio"], "", at_most=0.20),
        Figure("run, samples missing", summary["missing_samples"], "", at_most=0),
        Figure("run, records not acknowledged", summary["waiting"], "", at_most=0),
    ]


def _watched(pid: int, seconds: float) -> tuple[float, list[float]]:
    """Return the share of a core that a process takes once it has settled, and its memory over time."""
    pause = threading.Event()
    pause.wait(SETTLE_S)
    before_s = cpu_s(pid)
    memory_mib: list[float] = []
    spent_s = 0.0
    while spent_s < seconds - 2 * SETTLE_S or not memory_mib:
        pause.wait(LOOK_EVERY_S)
        spent_s += LOOK_EVERY_S
        memory_mib.append(resident_mib(pid))
    return (cpu_s(pid) - before_s) / spent_s, memory_mib


def _early(memory_mib: list[float]) -> float:
    return memory_mib[min(len(memory_mib) - 1, int(60 / LOOK_EVERY_S))]


def _imports_mib() -> float:
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORTS_ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        return resident_mib(process.pid)
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait()
