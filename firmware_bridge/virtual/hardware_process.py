"""The process that is the virtual box's hardware.

Started by ``box.VirtualBox`` and driven over its standard input: first a pickled `Setup`, then one
command a line; each is answered by one JSON line. When the other end closes, the power goes, and
nothing is left running.

A process of its own, so that composing the trip never takes the agent's interpreter lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import sys

from firmware_bridge.virtual.hardware import Hardware, Setup


def main() -> None:
    """Be the hardware until the other end closes our standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that owns the box
    setup: Setup = pickle.load(sys.stdin.buffer)
    hardware = Hardware(setup)
    with contextlib.closing(hardware):
        hardware.plug()
        _say({"port": hardware.port})
        fd = sys.stdin.fileno()
        pending = b""
        while True:
            wait_s = hardware.attend()
            readable, _, _ = select.select([fd], [], [], wait_s)
            if not readable:
                continue
            chunk = os.read(fd, 4096)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                _say(hardware.obey(line.decode()))


def _say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
