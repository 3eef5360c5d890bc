"""A disk whose calls are waited for only so long: a card that does not answer is one that refuses.

An SD card that is about to fail can keep a write or a sync for minutes, and whoever asked for it cannot be
stopped by anything. So each such call is made on a thread of its own. When it takes longer than `PATIENCE_S`,
OSError(ETIMEDOUT) is raised and the thread is left to it; until it comes back all other calls are refused at
once, so that nothing overtakes what is late. Reads are not waited for in this way: what is waiting to be sent
was written a while ago, and the kernel has most of it in memory.

A card that is only slow could keep an alarm for several calls, each of them within its time, and those that
others have begun among them; and it may stand behind others that have waited. So whoever must not wait says
so (`hurry`): all that was waited for in a row counts, and is forgotten as time passes without waiting.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from agent.outbox.files import Disk

PATIENCE_S = 2.0
"""Many times what a sound card takes (SD specification, part 1, 4.6.2.2: 250 ms, SDXC 500 ms)."""
LEAST_S = 0.1
"""So long a call is given also where all was waited for: a card that is well again takes milliseconds."""
LOOK_S = 0.05
"""So often who waits looks whether somebody is in a hurry."""

T = TypeVar("T")
_PLAIN = Disk()


class _Hand:
    """A thread that makes one call after the other."""

    def __init__(self, owner: PatientDisk) -> None:
        self._owner = owner
        # two locks as signals, each released by the other side
        self._given = threading.Lock()
        self._given.acquire()
        self.came_back = threading.Lock()
        self.came_back.acquire()
        self.call: Callable[[], Any] | None = None
        self.undo: Callable[[Any], None] | None = None
        self.result: Any = None
        self.error: OSError | None = None
        self.is_late = self.is_back = False
        threading.Thread(target=self._run, name="outbox-disk", daemon=True).start()

    def give(self, call: Callable[[], Any], undo: Callable[[Any], None] | None) -> None:
        """Begin a call; `undo` takes back its result, should it come too late."""
        self.call, self.undo, self.result, self.error = call, undo, None, None
        self.is_late = self.is_back = False
        self._given.release()

    def _run(self) -> None:
        while True:
            self._given.acquire()
            assert self.call is not None
            try:
                self.result = self.call()
            except OSError as error:
                self.error = error
            self._owner.back(self)


class PatientDisk(Disk):
    """Safe across threads."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._idle: list[_Hand] = []
        self._late = 0
        self._to_close: list[int] = []
        self._hurried_s: list[float] = []
        """Until when (monotonic) any call may take, of each who is in a hurry."""
        self._spare_s, self._rested_s = patience_s, time.monotonic()

    @contextlib.contextmanager
    def hurry(self) -> Iterator[None]:
        """Have no call, whoever's, wait for longer than one may, all together, inside the ``with``."""
        begun_s = time.monotonic()
        self._spare_s = min(self._patience_s, max(LEAST_S, self._spare_s + begun_s - self._rested_s))
        until_s = begun_s + self._spare_s
        self._hurried_s.append(until_s)
        try:
            yield
        finally:
            self._hurried_s.remove(until_s)
            self._rested_s = time.monotonic()
            self._spare_s -= self._rested_s - begun_s

    def make_directory(self, path: Path) -> None:
        """Create `path` and its missing parents."""
        self._do(functools.partial(super().make_directory, path))

    def create(self, path: Path) -> int:
        """Create a file that must not exist yet; one that comes too late is removed."""

        def undo(fd: int) -> None:
            os.close(fd)
            path.unlink(missing_ok=True)

        return self._do(functools.partial(super().create, path), undo)

    def open_write(self, path: Path) -> int:
        """Open a file that exists, to write to it."""
        return self._do(functools.partial(super().open_write, path), os.close)

    def write_at(self, fd: int, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`."""
        self._do(functools.partial(super().write_at, fd, offset, data))

    def write_soon(self, fd: int, offset: int, data: bytes) -> None:
        """Write as `write_at` does, and have the kernel begin at once."""
        # not super's: that one writes by `self.write_at`, and would hand the call over a second time
        self._do(functools.partial(_PLAIN.write_soon, fd, offset, data))

    def sync(self, fd: int) -> None:
        """Return when the file's data is on the medium."""
        self._do(functools.partial(super().sync, fd))

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file to `size` bytes."""
        self._do(functools.partial(super().truncate, fd, size))

    def remove(self, path: Path) -> None:
        """Remove a file."""
        self._do(functools.partial(super().remove, path))

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file over another."""
        self._do(functools.partial(super().rename, old, new))

    def sync_directory(self, path: Path) -> None:
        """Return when the names in `path` are on the medium."""
        self._do(functools.partial(super().sync_directory, path))

    def close(self, fd: int) -> None:
        """Close a file; not as long as a late call may still write to it, by its number."""
        with self._lock:
            if self._late:
                self._to_close.append(fd)
                return
        super().close(fd)

    def _do(self, call: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
        with self._lock:
            if self._late or self._left_s(self._patience_s) <= 0.0:
                raise self._unanswered()
            hand = self._idle.pop() if self._idle else None
        hand = hand or _Hand(self)
        hand.give(call, undo)
        if not self._came_back(hand):
            with self._lock:
                if not hand.is_back:
                    hand.is_late = True
                    self._late += 1
                    raise self._unanswered()
            hand.came_back.acquire()
        result, error = hand.result, hand.error
        with self._lock:
            self._idle.append(hand)
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def _came_back(self, hand: _Hand) -> bool:
        until_s = time.monotonic() + self._patience_s
        while (left_s := self._left_s(until_s - time.monotonic())) > 0.0:
            if hand.came_back.acquire(timeout=min(LOOK_S, left_s)):
                return True
        return False

    def _left_s(self, left_s: float) -> float:
        """Return for how long a call may still be waited for that has `left_s` of its own."""
        hurried_s = [*self._hurried_s]  # at once: others come and go
        return min(left_s, min(hurried_s) - time.monotonic()) if hurried_s else left_s

    def back(self, hand: _Hand) -> None:
        """Take note that a call has come back; on the thread that made it."""
        with self._lock:
            hand.is_back = True
            if not hand.is_late:
                hand.came_back.release()
                return
        if hand.error is None and hand.undo is not None:
            with contextlib.suppress(OSError):  # then it leaves an empty file behind
                hand.undo(hand.result)
        with self._lock:
            self._late -= 1
            self._idle.append(hand)
            closing, self._to_close = ([], self._to_close) if self._late else (self._to_close, [])
        for fd in closing:
            os.close(fd)

    def _unanswered(self) -> OSError:
        return OSError(errno.ETIMEDOUT, f"the card does not answer: {self._patience_s:g} s without a word")
