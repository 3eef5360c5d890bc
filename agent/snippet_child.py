"""The process beside the agent in which samples are coded: in the agent itself, numpy would hold alarms up.

Pieces come on stdin and go out coded on stdout, each behind a head that tells its size. It ends when stdin
does, whatever became of the agent. `agent.snippet_coder` starts it when there is something to code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys

import numpy as np

from agent.snippets.coding import SAMPLES, Coded, Values, coded, raw_bytes

DTYPES = ("int16", "int32", "float32", "float64")
ASKED = struct.Struct("<BII")  # place among DTYPES, rows, axes
TOLD = struct.Struct("<BBI")  # whether by the codec, whether that failed, bytes
NICENESS = 10


def asked(values: Values) -> bytes:
    """Return the message that asks for `values` to be coded. Raises ValueError for what cannot be."""
    return ASKED.pack(DTYPES.index(values.dtype.name), *values.shape) + raw_bytes(values)


def told(piece: Coded) -> bytes:
    """Return the answer, but for samples that stay as they are: who asked has those."""
    data = piece.data if piece.codec == SAMPLES else b""
    return TOLD.pack(piece.codec == SAMPLES, piece.failed, len(data)) + data


def main() -> None:
    """Code until there is no more."""
    # systemd tells all processes; the agent may still need this one
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # the sandbox may forbid it
        os.nice(NICENESS)
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while len(head := stdin.read(ASKED.size)) == ASKED.size:
        place, rows, axes = ASKED.unpack(head)
        dtype = np.dtype(DTYPES[place])
        data = stdin.read(rows * axes * dtype.itemsize)
        values = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(rows, axes)
        stdout.write(told(coded(values)))
        stdout.flush()


if __name__ == "__main__":
    main()
