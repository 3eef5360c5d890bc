"""Codes the samples of snippets, on a thread and in a process of their own: no alarm waits for it.

It takes tenths of a second, and beside it in one interpreter any hand-over from thread to thread would take
up to 30 ms. The process (`agent.snippet_child`) is there while there is something to code. One that fails is
begun again at once; where it cannot be had, the thread codes by itself, and tries again after a while.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import agent
from agent.beats import SLOW_S, Beat
from agent.snippet_child import TOLD, asked
from agent.snippets.coding import RAW, SAMPLES, Coded, Coding, Values, coded, raw_bytes

IDLE_S = 30.0
"""So long the process is kept without work: it holds some 30 MB."""
PATIENCE_S = 60.0
"""So long an answer is waited for: a piece takes seconds on a busy Pi."""
ENDING_S = 2.0
"""At the agent's end, which waits for nobody."""
LOOK_S = 0.5
AGAIN_MIN_S, AGAIN_MAX_S = 60.0, 3600.0
_log = logging.getLogger("cargobox")


class _Piece:
    """Whoever comes first codes it: its thread, or who cannot go on without it."""

    def __init__(self, values: Values) -> None:
        self._values: Values | None = values
        self._coded: Coded | None = None
        self._lock = threading.Lock()

    def ready(self) -> bool:
        return self._coded is not None

    def result(self) -> Coded:
        return self.by(None)

    def by(self, child: _Child | None) -> Coded:
        with self._lock:
            if self._coded is None:
                assert self._values is not None
                self._coded = coded(self._values) if child is None else child.coded(self._values)
                self._values = None
            return self._coded


class SnippetCoder:
    """A `Coder`; its thread is `run`."""

    def __init__(self, beat: Beat | None = None) -> None:
        self._beat = beat or Beat()
        self._pieces: queue.SimpleQueue[_Piece] = queue.SimpleQueue()

    def __call__(self, values: Values) -> Coding:
        """Take samples to be coded."""
        piece = _Piece(values)
        self._pieces.put(piece)
        return piece

    def run(self, stop: threading.Event) -> None:
        """Code what comes, until `stop` is set."""
        child = _Child(stop, self._beat)
        busy_s = time.monotonic()
        try:
            while not stop.is_set():
                self._beat(SLOW_S)
                try:
                    piece = self._pieces.get(timeout=min(1.0, self._beat.rest_s))
                except queue.Empty:
                    if time.monotonic() - busy_s > IDLE_S:
                        child.close()
                    continue
                piece.by(child)
                busy_s = time.monotonic()
        finally:
            child.close()
            self._beat.end()


class _Child:
    """The process: started when it is asked, begun again when it fails, left alone if that is no help."""

    def __init__(self, stop: threading.Event, beat: Beat) -> None:
        self._stop = stop
        self._beat = beat
        self._process: subprocess.Popen[bytes] | None = None
        self._has_answered = False
        self._wait_s = 0.0
        self._again_at_s = 0.0

    def coded(self, values: Values) -> Coded:
        """Return `values` coded, by the process if it can be had."""
        while time.monotonic() >= self._again_at_s:
            try:
                self._beat(SLOW_S)
                told = self._ask(values)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                self.close(kill=True)
                self._failed(error)
                continue
            if self._wait_s:
                _log.info("snippets: coded in a process of their own again")
            self._has_answered, self._wait_s = True, 0.0
            return told
        return coded(values)

    def _failed(self, error: Exception) -> None:
        """Begin another at once if this one had worked before: whoever killed it may kill no more."""
        if self._has_answered and not self._stop.is_set():
            _log.warning("snippets: the process that codes them failed, and is begun again: %s", error)
            self._has_answered = False
            return
        self._wait_s = min(AGAIN_MAX_S, max(AGAIN_MIN_S, self._wait_s * 2))
        self._again_at_s = time.monotonic() + self._wait_s
        words = "snippets: coded in the agent itself, and tried again after %.0f s: %s"
        _log.warning(words, self._wait_s, error)

    def close(self, *, kill: bool = False) -> None:
        """Let the process end."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        try:
            process.communicate(timeout=5.0)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()

    def _ask(self, values: Values) -> Coded:
        if self._process is None:
            self._process = _start()
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(asked(values))
        stdin.flush()
        by_codec, failed, size = TOLD.unpack(self._read(TOLD.size))
        data = self._read(size)
        return Coded(SAMPLES, data) if by_codec else Coded(RAW, raw_bytes(values), bool(failed))

    def _read(self, size: int) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        handle, out = self._process.stdout.fileno(), b""
        begun_s, ending_s = time.monotonic(), 0.0
        while len(out) < size:
            if not select.select([handle], [], [], min(LOOK_S, PATIENCE_S))[0]:
                now_s = time.monotonic()
                ending_s = ending_s or (now_s + ENDING_S if self._stop.is_set() else 0.0)
                if now_s - begun_s >= PATIENCE_S or 0.0 < ending_s <= now_s:
                    raise OSError(f"no answer within {now_s - begun_s:.1f} s")
                continue
            if not (part := os.read(handle, size - len(out))):
                raise OSError("the process for it has ended")
            out += part
        return out


def _start() -> subprocess.Popen[bytes]:
    """Start it with the very package that runs here, out of reach of a Ctrl-C."""
    top = str(Path(agent.__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (top, os.environ.get("PYTHONPATH", "")) if part)
    return subprocess.Popen(
        [sys.executable, "-m", "agent.snippet_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
    )
