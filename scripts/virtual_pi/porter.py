"""The host's hand in the guest: runs commands that come over a virtio-serial port, some at a time.

A frame is: kind (1 byte), number of the command (u32), length (u32), payload. From the host: RUN (JSON:
``command`` for the shell, ``environment``), INPUT (empty: the end of it), KILL. To the host: READY (once;
seconds since boot), OUTPUT, ENDED (the status, as text; -N for signal N).

Runs in the guest with nothing but Python's standard library; the host imports only its frames.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

RUN, INPUT, KILL = b"R", b"I", b"K"
READY, OUTPUT, ENDED = b"Y", b"O", b"E"
HEAD = struct.Struct(">cII")
READ_BYTES = 65536
NOBODY_THERE_S = 0.05  # how soon to look again while the host has not opened its end


def pack(kind: bytes, number: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return HEAD.pack(kind, number, len(payload)) + payload


class Unpacker:
    """Bytes in whatever pieces, cut into frames."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, int, bytes]]:
        """Return the frames (kind, number, payload) that are complete now."""
        self._waiting += data
        frames = []
        while len(self._waiting) >= HEAD.size:
            kind, number, length = HEAD.unpack_from(self._waiting)
            end = HEAD.size + length
            if len(self._waiting) < end:
                break
            frames.append((kind, number, bytes(self._waiting[HEAD.size : end])))
            del self._waiting[:end]
        return frames


class Command:
    """A command of the host's, from its start to its status."""

    def __init__(self, number: int, wanted: dict[str, object], send: Callable[[bytes], None]) -> None:
        environment = wanted.get("environment")
        assert isinstance(environment, dict)
        self._number = number
        self._send = send
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", str(wanted["command"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # so that KILL finds its children
        )
        threading.Thread(target=self._watch, daemon=True).start()

    def feed(self, data: bytes) -> None:
        """Give it input; nothing closes it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # it does not want it, or has ended
            if data:
                self._process.stdin.write(data)
                self._process.stdin.flush()
            else:
                self._process.stdin.close()

    def kill(self) -> None:
        """End it and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _watch(self) -> None:
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        ended = os.pidfd_open(self._process.pid)
        # a background job may hold the output open: the status decides, not the end of the output
        while True:
            readable, _, _ = select.select([output, ended], [], [])
            data = os.read(output, READ_BYTES) if output in readable else b""
            if data:
                self._send(pack(OUTPUT, self._number, data))
            elif ended in readable:
                break
            else:
                select.select([ended], [], [])
        os.close(ended)
        status = self._process.wait()
        self._process.stdout.close()
        self._send(pack(ENDED, self._number, str(status).encode()))


def main() -> None:
    """Serve the host until the machine ends."""
    port = os.open(sys.argv[1], os.O_RDWR)
    one_at_a_time = threading.Lock()

    def send(frame: bytes) -> None:
        with one_at_a_time:
            view = memoryview(frame)
            while view:
                view = view[os.write(port, view) :]

    send(pack(READY, 0, str(time.clock_gettime(time.CLOCK_BOOTTIME)).encode()))
    unpacker = Unpacker()
    commands: dict[int, Command] = {}
    while True:
        data = os.read(port, READ_BYTES)
        if not data:
            time.sleep(NOBODY_THERE_S)
        for kind, number, payload in unpacker.feed(data):
            if kind == RUN:
                commands[number] = Command(number, json.loads(payload), send)
            elif kind == INPUT:
                commands[number].feed(payload)
            elif kind == KILL:
                commands[number].kill()


if __name__ == "__main__":
    main()
