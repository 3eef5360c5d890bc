"""The clock book: what earlier starts of the agent, in the same boot of the kernel, knew of the clock.

The kernel's monotonic clock goes on while the agent is started anew, so what is found out about the date
later holds for records of earlier starts, too. The book is for that, and of no use after a reboot: so it is
never synced to the card, costs no alarm its time, and is not believed by another boot of the kernel.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Literal

import msgspec

from agent.plain_files import read_regular

FILE_NAME = "clock.json"
MOST_RUNS = 512
"""Of all starts; beyond, the oldest starts go."""

_log = logging.getLogger("cargobox")


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Records from number `first` on were made with this offset; None: a synchronised one."""

    first: int
    offset_ns: int | None


class _Kept(msgspec.Struct, kw_only=True):
    v: Literal[1] = 1
    kernel_boot: str
    right_ns: int | None
    starts: dict[str, list[Run]]


class ClockBook:
    """Not safe across threads by itself: its owner holds a lock. Never raises.

    `kernel_boot` empty: not known, and then nothing is kept and nothing believed.
    """

    def __init__(self, directory: Path, kernel_boot: str) -> None:
        self.starts: dict[str, list[Run]] = {}
        """Of each earlier start, by its `boot`, oldest first."""
        self.right_ns: int | None = None
        """The offset that a time server gave, if one ever did."""
        self._path = directory / FILE_NAME
        self._kernel_boot = kernel_boot
        self._read()

    def keep(self, boot: str, runs: list[Run], right_ns: int | None) -> None:
        """Write what this start knows beside what the earlier ones did."""
        if not self._kernel_boot:
            return
        starts = {**self.starts, boot: runs}
        while len(starts) > 1 and sum(map(len, starts.values())) > MOST_RUNS:
            del starts[next(iter(starts))]
        kept = _Kept(kernel_boot=self._kernel_boot, right_ns=right_ns, starts=starts)
        new = self._path.with_suffix(".new")
        try:
            new.unlink(missing_ok=True)  # a pipe there would keep us for ever
            new.write_bytes(msgspec.json.encode(kept))
            new.replace(self._path)
        except OSError as error:
            _log.debug("the clock book %s cannot be written: %s", self._path, error)
            with contextlib.suppress(OSError):
                self._path.unlink()  # an old one would say of these records what is not so

    def _read(self) -> None:
        try:
            kept = msgspec.json.decode(read_regular(self._path), type=_Kept)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # a power cut took it; then it is of another boot of the kernel anyway
        if self._kernel_boot and kept.kernel_boot == self._kernel_boot:
            self.starts, self.right_ns = kept.starts, kept.right_ns
