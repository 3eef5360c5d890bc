"""``python -m firmware_bridge.virtual --link PATH --seed N``: a virtual box until Ctrl-C.

With ``--bench`` it lies on a bench, its sensors lie too, and whoever types is the hand that calibrates it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from firmware_bridge.virtual import Interpreter, Trip, VirtualBox
from firmware_bridge.virtual.calibration_bench import CalibrationBench
from firmware_bridge.virtual.calibration_console import HELP, obey
from firmware_bridge.virtual.trip import Trip as RoadTrip


def main() -> int:
    """Plug a virtual box in, say where, and hold it until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridge.virtual",
        description="A cargo box without hardware: the real firmware behind a pty, playing a trip.",
    )
    parser.add_argument("--link", type=Path, help="a path that shall lead to the port, e.g. /tmp/cargobox")
    parser.add_argument(
        "--seed", type=int, default=1, help="which trip, or which errors (default: %(default)s)"
    )
    parser.add_argument(
        "--bench", action="store_true", help="no trip: a bench to calibrate on; commands on standard input"
    )
    parser.add_argument("--state", type=Path, help="folder for the board's flash (default: a temporary one)")
    parser.add_argument(
        "--interpreter",
        choices=[i.value for i in Interpreter],
        default=Interpreter.best().value,
        help="what runs the firmware (default here: %(default)s)",
    )
    arguments = parser.parse_args()
    trip: Trip = CalibrationBench(arguments.seed) if arguments.bench else RoadTrip(seed=arguments.seed)
    # before the box is plugged in, so that no signal finds the old handlers; the box's own processes
    # are in another session and end when this one does
    stopped = _told_to_stop()
    with tempfile.TemporaryDirectory(prefix="cargobox-virtual-") as scratch:
        box = VirtualBox(
            trip,
            arguments.link,
            arguments.state or Path(scratch),
            interpreter=Interpreter(arguments.interpreter),
        )
        with box:
            print(box.port, flush=True)
            print(
                f"{box.interpreter.value} firmware on {box.port}; the trip begins when a host connects; "
                "Ctrl-C ends",
                file=sys.stderr,
            )
            if isinstance(trip, CalibrationBench):
                print(HELP, file=sys.stderr)
                threading.Thread(target=_play, args=(trip,), daemon=True).start()
            os.read(stopped, 1)
    return 0


def _told_to_stop() -> int:
    """Return what can be read from once Ctrl-C or SIGTERM has come, to whichever thread the kernel gave it.

    numpy's libraries have threads of their own, which block no signal and would end the program at once.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return reader


def _play(bench: CalibrationBench) -> None:
    """Be the hand until there is no more to read; the box stays."""
    for line in sys.stdin:
        answer = obey(bench, line)
        if answer:
            print(answer, flush=True)


if __name__ == "__main__":
    sys.exit(main())
