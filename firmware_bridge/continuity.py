"""Where each sample stands in its stream, through holes, reboots and counters that wrap.

The board counts a session's samples from 0; the host counts a stream's samples from the link's opening
on. A jump in the host's index is a hole, and it comes with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.describe import BoardStream
from firmware_bridge.refill import CABLE, OVERFLOW

INDEX_WRAP = 1 << 32

REBOOT = "reboot"

# A frame that is wrong and yet passes its CRC comes once in 65,536 damaged ones. Its index and its ticks
# then contradict each other; a sensor's own oscillator may stray by this much from the nominal rate.
OSCILLATOR_TOLERANCE = 0.1
JUMP_TOLERANCE_NS = 250_000_000
# Two in a row that agree with each other are no damage but a sensor that really paused; so many in a row are
# a board that has gone mad, and it is better believed than never heard again.
SUSPECTS_MOST = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Index of a frame's first sample on the host, and why samples before it are missing ("" if none)."""

    first: int
    missing_reason: str


class Continuity:
    """The index of one stream."""

    def __init__(self, stream: BoardStream) -> None:
        self._period_ns = stream.period_ns
        self._offset: int | None = None  # host index - board index; None until the session's first frame
        self._starts_at_zero = True
        self._session_reason = ""
        self._next_board = 0
        self._next_host = 0
        self._next_ns: int | None = None
        self._suspect: tuple[int, int] | None = None  # index and time of what would follow the last odd frame
        self._suspects = 0
        self.lost = 0
        """Samples that never came, so far."""
        self.rejected = 0
        """Frames set aside: of a time past, or contradicting themselves."""

    def begin_session(self, *, reason: str, counts_from_zero: bool) -> None:
        """The board counts anew from here on; what was lost between is `reason`'s."""
        self._offset = None
        self._session_reason = reason
        self._suspect, self._suspects = None, 0
        self._starts_at_zero = counts_from_zero

    def place(self, index: int, count: int, time_ns: int, lost: str = "") -> Place | None:
        """Return where a frame stands; None when it has to be dropped.

        `time_ns`: its first sample's; `lost`: why frames right before it never came, "" if none is missing.
        """
        if self._offset is None:
            place = self._place_first(index, time_ns)
        else:
            half = INDEX_WRAP // 2
            index = self._next_board + (index - self._next_board + half) % INDEX_WRAP - half
            if not self._plausible(index, count, time_ns):
                self.rejected += 1
                return None
            reason = ""
            if index > self._next_board:
                # the board numbers its frames: a hole without a missing number was never in a frame
                reason = lost or OVERFLOW
            place = Place(index + self._offset, reason)
        self._offset = place.first - index
        self.lost += place.first - self._next_host
        self._next_board = index + count
        self._next_host = place.first + count
        self._next_ns = time_ns + round(count * self._period_ns)
        return place

    def settle(self, next_ns: int) -> None:
        """The next sample is due at this time: known better than from the last frame's own ticks.

        Not where the two are far apart: then the sensor paused, and the better knowledge is of before.
        """
        if self._next_ns is not None and abs(next_ns - self._next_ns) < JUMP_TOLERANCE_NS // 2:
            self._next_ns = next_ns

    def _place_first(self, index: int, time_ns: int) -> Place:
        if self._next_ns is None:  # the first session of this link
            first = index if self._starts_at_zero else 0
            return Place(first, CABLE if first else "")
        missing = max(0, round((time_ns - self._next_ns) / self._period_ns))
        return Place(self._next_host + missing, self._session_reason if missing else "")

    def _plausible(self, index: int, count: int, time_ns: int) -> bool:
        if index < self._next_board:
            return False
        assert self._next_ns is not None
        agrees = self._agree(self._next_board, self._next_ns, index, time_ns)
        if not agrees and self._suspect is not None:
            agrees = index >= self._suspect[0] and self._agree(*self._suspect, index, time_ns)
        if not agrees and self._suspects < SUSPECTS_MOST:
            self._suspect = index + count, time_ns + round(count * self._period_ns)
            self._suspects += 1
            return False
        self._suspect, self._suspects = None, 0
        return True

    def _agree(self, known_index: int, known_ns: int, index: int, time_ns: int) -> bool:
        """Whether ticks and index went on alike since a sample that was due then."""
        by_index_ns = (index - known_index) * self._period_ns
        by_ticks_ns = time_ns - known_ns
        tolerance_ns = JUMP_TOLERANCE_NS + OSCILLATOR_TOLERANCE * max(by_index_ns, abs(by_ticks_ns))
        return abs(by_index_ns - by_ticks_ns) <= tolerance_ns
