"""A bad cable: stands between a port and the host, and can do to the bytes what cables do."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import serial

UNDER_WAY_MOST = 10_000  # pieces

Spoil = Callable[[bytes], list[bytes]]


def clean(data: bytes) -> list[bytes]:
    return [data]


class Cable:
    """A pty at `link`; what comes from `far_port` (or from `answer`) passes through `spoil`.

    `spoil` takes what came in one read and returns the pieces that go on. `answer`, where there is no
    far port, is called with what the host sent and gives what comes back. `spoil_from_host` does the same
    to what the host sends; both directions are under way for `delay_s`.
    """

    def __init__(
        self, link: Path, far_port: str | None = None, answer: Callable[[bytes], bytes] = lambda _: b""
    ) -> None:
        self.spoil: Spoil = clean
        self.spoil_from_host: Spoil = clean
        self.delay_s = 0.0
        self._under_way: deque[tuple[float, int, bytes]] = deque()
        self.from_host = bytearray()
        self._answer = answer
        self._far = None if far_port is None else serial.Serial(far_port, timeout=0)
        self._near_fd, self._slave_fd = pty.openpty()
        tty.setraw(self._slave_fd)
        os.set_blocking(self._near_fd, False)
        self._wake_read, self._wake_write = os.pipe()
        self._link = link
        link.symlink_to(os.ttyname(self._slave_fd))
        self._thread = threading.Thread(target=self._carry, name="cable")
        self._thread.start()

    def _carry(self) -> None:
        far_fd = None if self._far is None else self._far.fileno()
        sources = [fd for fd in (self._near_fd, self._wake_read, far_fd) if fd is not None]
        while True:
            wait_s = None
            waits_for: list[int] = []
            if self._under_way:
                wait_s = self._under_way[0][0] - time.monotonic()
                if wait_s <= 0:  # it is there, and goes on as soon as the far end has room
                    wait_s, waits_for = None, [self._under_way[0][1]]
            # a cable holds no more than this: whoever sends too much has to wait
            heard = sources if len(self._under_way) < UNDER_WAY_MOST else [self._wake_read]
            readable, _, _ = select.select(heard, waits_for, [], wait_s)
            if self._wake_read in readable:
                return
            if self._near_fd in readable:
                sent = os.read(self._near_fd, 4096)
                self.from_host += sent
                if far_fd is None:
                    self._carry_on(self._near_fd, self.spoil, self._answer(sent))
                else:
                    self._carry_on(far_fd, self.spoil_from_host, sent)
            if far_fd is not None and far_fd in readable:
                with contextlib.suppress(BlockingIOError):
                    self._carry_on(self._near_fd, self.spoil, os.read(far_fd, 4096))
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                due_s, fd, piece = self._under_way.popleft()
                try:
                    taken = os.write(fd, piece)
                except BlockingIOError:
                    taken = 0
                if taken < len(piece):
                    self._under_way.appendleft((due_s, fd, piece[taken:]))
                    break

    def _carry_on(self, fd: int, spoil: Spoil, data: bytes) -> None:
        for piece in spoil(data) if data else []:
            self._under_way.append((time.monotonic() + self.delay_s, fd, piece))

    def close(self) -> None:
        os.write(self._wake_write, b"x")
        self._thread.join()
        for fd in (self._near_fd, self._slave_fd, self._wake_read, self._wake_write):
            os.close(fd)
        if self._far is not None:
            self._far.close()
        self._link.unlink()


@contextlib.contextmanager
def cable(
    link: Path, far_port: str | None = None, answer: Callable[[bytes], bytes] = lambda _: b""
) -> Iterator[Cable]:
    it = Cable(link, far_port, answer)
    try:
        yield it
    finally:
        it.close()
