"""Codes the samples of snippets on a thread of its own: that takes tenths of a second, and no alarm waits.

The interpreter hands its lock on every 5 ms where a thread wants it, which each of the agent's threads from a
sensor to the network may have to wait for. So while this one is at work it is handed on ten times as often.
"""

from __future__ import annotations

import queue
import sys
import threading

from agent.beats import SLOW_S, Beat
from agent.snippets.coding import Coded, Coding, Values, coded

SWITCH_S = 0.0005


class _Piece:
    """Whoever comes first codes it: its thread, or who cannot go on without it."""

    def __init__(self, values: Values) -> None:
        self._values: Values | None = values
        self._coded: Coded | None = None
        self._lock = threading.Lock()

    def ready(self) -> bool:
        return self._coded is not None

    def result(self) -> Coded:
        with self._lock:
            if self._coded is None:
                assert self._values is not None
                self._coded = coded(self._values)
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
        while not stop.is_set():
            self._beat(SLOW_S)
            try:
                piece = self._pieces.get(timeout=1.0)
            except queue.Empty:
                continue
            usual_s = sys.getswitchinterval()
            sys.setswitchinterval(min(SWITCH_S, usual_s))
            try:
                piece.result()
            finally:
                sys.setswitchinterval(usual_s)
        self._beat.end()
