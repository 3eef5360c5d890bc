"""A mosquitto that keeps its subscribers' places through a SIGKILL."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.live.processes import PATIENCE_S
from tests.uplink.brokers import Mosquitto

LOOK_S = 0.01


class LastingBroker(Mosquitto):
    """Running inside the ``with``. What it was told to `save` is there again when it starts anew."""

    def __init__(self, folder: Path, *lines: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._store = folder / "mosquitto.db"
        super().__init__(folder, "persistence true", f"persistence_location {folder}/", *lines)

    def save(self) -> None:
        """Let it write its sessions to disk, as it would every half hour; return when they are there."""
        assert self._process is not None
        self._store.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        pause = threading.Event()
        for _ in range(int(PATIENCE_S / LOOK_S)):
            if self._store.exists():  # it writes aside and renames
                return
            pause.wait(LOOK_S)
        raise AssertionError(f"mosquitto wrote no {self._store}")

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open, and nothing comes from it any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
