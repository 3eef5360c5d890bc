"""The cable between a virtual box on the host and the guest's second serial port."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import termios
import threading
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

READ_BYTES = 4096
LOOK_S = 0.2  # how soon an end of the cable is noticed, or a port that came back


class SerialCable:
    """Carries bytes between the serial port `port` and the socket `far_end`; a context manager.

    A port that goes away is opened again when it is back, as the board behind it was unplugged.
    """

    def __init__(self, port: str, far_end: Path) -> None:
        self._port = port
        self._far_end = far_end
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(self._far_end))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _carry(self) -> None:
        while not self._ended.is_set():
            try:
                port = os.open(self._port, os.O_RDWR | os.O_NOCTTY)
            except OSError:
                self._ended.wait(LOOK_S)
                continue
            try:
                with contextlib.suppress(OSError, termios.error):
                    tty.setraw(port)
                    self._carry_while_there(port)
            finally:
                os.close(port)

    def _carry_while_there(self, port: int) -> None:
        while not self._ended.is_set():
            readable, _, _ = select.select([port, self._socket.fileno()], [], [], LOOK_S)
            if port in readable:
                data = os.read(port, READ_BYTES)
                if not data:
                    return
                self._socket.sendall(data)
            if self._socket.fileno() in readable:
                data = self._socket.recv(READ_BYTES)
                if not data:
                    self._ended.set()  # the machine is gone
                    return
                while data:
                    data = data[os.write(port, data) :]
