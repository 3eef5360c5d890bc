"""Boot id, box time to wall time, and how far the wall time can be trusted.

Inside the agent every time is *box time*: nanoseconds of a clock that never jumps (the kernel's
monotonic clock; for a log, the log's own). Wall time is box time plus the offset of the latest
`TimeMark`, and a mark flows with the data, so that a replay stamps records as the live run did.
"""

from __future__ import annotations

import bisect
import enum
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent import kernel_clock

NS_PER_US = 1000
EARLIEST_PLAUSIBLE_S = 1_704_067_200  # 2024-01-01: a clock before this was never set
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimeQuality(enum.StrEnum):
    """How far a wall time can be trusted. A Pi has no battery clock."""

    SYNCED = "synced"
    """Disciplined by a time server now."""
    HOLDOVER = "holdover"
    """Was set at some time and runs freely since."""
    UNSET = "unset"
    """Never set since boot: differences are right, the date is not."""
    RESTAMPED = "restamped"
    """Made before the clock was set, and put right when it was: `agent.restamping`."""


@dataclass(frozen=True, slots=True)
class TimeMark:
    """From box time `box_ns` on, wall time is box time + `offset_ns`, trusted as `quality` says."""

    box_ns: int
    offset_ns: int
    quality: TimeQuality


class WallClock:
    """Turns box time into wall time by the marks that it has been given."""

    def __init__(self) -> None:
        self._marks: list[TimeMark] = []

    def add(self, mark: TimeMark) -> None:
        """Take a mark; it holds from its own box time on, whenever it arrives."""
        bisect.insort(self._marks, mark, key=lambda m: m.box_ns)

    def at(self, box_ns: int) -> TimeMark:
        """Return the mark in force at `box_ns`: the latest before it, or else the earliest of all."""
        if not self._marks:
            return TimeMark(box_ns, 0, TimeQuality.UNSET)
        i = bisect.bisect_right(self._marks, box_ns, key=lambda m: m.box_ns)
        return self._marks[max(0, i - 1)]

    def forget_before(self, box_ns: int) -> None:
        """Drop the marks that were no longer in force at `box_ns`: nothing will ask for an earlier time."""
        i = bisect.bisect_right(self._marks, box_ns, key=lambda m: m.box_ns)
        del self._marks[: max(0, i - 1)]

    def __len__(self) -> int:
        return len(self._marks)


def rfc3339(wall_ns: int) -> str:
    """Format a wall time as RFC 3339 UTC with microseconds, rounded down."""
    when = _EPOCH + timedelta(microseconds=wall_ns // NS_PER_US)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def wall_ns_of(time: str) -> int:
    """Return the wall time that `rfc3339` wrote, to the microsecond. Raises ValueError."""
    since = datetime.fromisoformat(time) - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * NS_PER_US


def new_boot_id() -> str:
    """Return an id for this start of the agent: 16 hexadecimal digits, random.

    Sequence numbers begin at 0 with it, so (box, boot, seq) stays unique without a counter on the
    card that could be lost.
    """
    return secrets.token_hex(8)


def measure_mark(*, synced: bool | None = None) -> TimeMark:
    """Read both clocks of this machine and return how they stand to each other.

    `synced` overrides what the kernel says of the clock's synchronisation.
    """
    before_ns = kernel_clock.box_ns()
    wall_ns = kernel_clock.wall_ns()
    after_ns = kernel_clock.box_ns()
    box_ns = (before_ns + after_ns) // 2
    if wall_ns < EARLIEST_PLAUSIBLE_S * 1_000_000_000:
        quality = TimeQuality.UNSET
    elif kernel_clock_synced() if synced is None else synced:
        quality = TimeQuality.SYNCED
    else:
        quality = TimeQuality.HOLDOVER
    return TimeMark(box_ns, wall_ns - box_ns, quality)


def kernel_clock_synced() -> bool:
    """Return whether a time service on this machine keeps the clock right.

    The kernel knows; where it may not be asked, the file tells that systemd-timesyncd touches at each
    synchronisation (systemd-timesyncd.service(8)).
    """
    if (state := kernel_clock.kernel_state()) is not None:
        return state[0]
    try:
        with open("/run/systemd/timesync/synchronized"):
            return True
    except OSError:
        return False
