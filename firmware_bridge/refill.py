"""Frames of one stream in their order: what is missing is asked for again, and waited for, for a while.

The board numbers each stream's frames and keeps the last seconds of them. A number that is skipped, or a
REFILL frame that knows of more than came, is a hole; what comes behind it is held back until the hole is
filled, or until it is certain or likely enough that it never will be. How long an answer takes is
learned as TCP learns it (RFC 6298).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

SEQ_WRAP = 1 << 16
HALF = SEQ_WRAP // 2

PATIENCE_NS = 2_000_000_000
"""The longest that frames are held back: the ring of a fast board has run over by then."""
FIRST_WAIT_NS = 40_000_000
WAIT_MIN_NS = 15_000_000  # a board answers within its turn of 3 ms; a busy host may take longer to see it
WAIT_MAX_NS = 400_000_000
WAIT_EXTRA_NS = 8_000_000
HELD_MOST = 4096

CABLE = "cable"
OVERFLOW = "overflow"

Frame = TypeVar("Frame")


class AnswerTime:
    """How long the board takes to answer, and so how long to wait before asking again."""

    def __init__(self) -> None:
        self._smoothed_ns: float | None = None
        self._varies_ns = 0.0
        self.wait_ns = FIRST_WAIT_NS

    def took(self, answer_ns: int) -> None:
        """Take how long an answer took."""
        if self._smoothed_ns is None:
            self._smoothed_ns, self._varies_ns = float(answer_ns), answer_ns / 2
        else:
            self._varies_ns += (abs(answer_ns - self._smoothed_ns) - self._varies_ns) / 4
            self._smoothed_ns += (answer_ns - self._smoothed_ns) / 8
        wait_ns = self._smoothed_ns + 4 * self._varies_ns + WAIT_EXTRA_NS
        self.wait_ns = round(min(WAIT_MAX_NS, max(WAIT_MIN_NS, wait_ns)))


@dataclass(frozen=True, slots=True)
class Ready(Generic[Frame]):
    """A frame whose turn has come; `missing_reason`: why frames right before it never came, or ""."""

    seq: int
    frame: Frame
    missing_reason: str


@dataclass(slots=True)
class _Hole:
    """Frames from `begin` to before `end` are missing."""

    begin: int
    end: int
    noticed_ns: int
    asked_ns: int | None = None


class FrameOrder(Generic[Frame]):
    """The frames of one stream. Sequences inside never wrap; those of the arguments do."""

    def __init__(self, answer_time: AnswerTime) -> None:
        self._answer_time = answer_time
        self._expected: int | None = None
        self._known_end = 0  # frames before this exist
        self._held: dict[int, Frame] = {}
        self._holes: list[_Hole] = []
        self._reason = ""  # why frames right before the expected one never came
        self._given_up_reason = ""
        self.refilled = 0
        """Frames that came because they were asked for."""
        self.duplicates = 0
        self.lost = 0
        """Frames that never came."""

    def begin(self, expected: int | None) -> None:
        """Another session, or one after a long silence: `expected` comes next, None: whatever comes."""
        self._expected = expected
        self._known_end = expected or 0
        self._held.clear()
        self._holes.clear()
        self._reason = ""

    @property
    def waiting(self) -> bool:
        """Whether frames are known to be missing that may still come."""
        return bool(self._holes)

    def complete_to(self, seq: int) -> bool:
        """Return whether every frame before `seq`, which wraps, has been given out."""
        return self._expected is not None and not self._holes and self._expected % SEQ_WRAP == seq

    def take(self, seq: int, frame: Frame, now_ns: int) -> list[Ready[Frame]]:
        """Take a frame as it came; return those whose turn it is."""
        if self._expected is None:
            self._expected = self._known_end = seq
        if seq == self._expected % SEQ_WRAP and not self._holes:  # as nearly always
            self._expected += 1
            self._known_end = max(self._known_end, self._expected)
            reason, self._reason = self._reason, ""
            return [Ready(seq, frame, reason)]
        whole = self._whole(seq)
        if whole < self._expected or whole in self._held:
            self.duplicates += 1
            return []
        self._held[whole] = frame
        if whole >= self._known_end:
            self._know(whole, now_ns)
            self._known_end = whole + 1
        else:
            self._fill(whole)
        if len(self._held) > HELD_MOST:
            self._give_up_before(self._holes[0].end, CABLE)
        return self._give()

    def heard_of(self, upcoming: int, now_ns: int) -> None:
        """The board says that `upcoming` will be its next frame: all before it exist."""
        if self._expected is None:
            return
        whole = self._whole(upcoming)
        if whole < self._expected:  # damage that passed its check led us there
            self.begin(whole)
        elif whole > self._known_end:
            self._know(whole, now_ns)
            self._known_end = whole

    def ask(self, now_ns: int) -> tuple[int, int] | None:
        """Return (first sequence, frames) of what to ask for now, or None."""
        for hole in self._holes:
            if hole.asked_ns is None or now_ns - hole.asked_ns >= self._answer_time.wait_ns:
                hole.asked_ns = now_ns
                return hole.begin % SEQ_WRAP, hole.end - hole.begin
        return None

    def due_ns(self) -> int | None:
        """Return when to ask next, or None."""
        if not self._holes:  # as nearly always
            return None
        return min(h.asked_ns or 0 for h in self._holes) + self._answer_time.wait_ns

    def answered(
        self, first: int, oldest: int, upcoming: int, done: int, never_left: int
    ) -> list[Ready[Frame]]:
        """Take the board's answer to a request for frames from `first` on; return those whose turn it is.

        Frames before `oldest` are gone, those before `never_left` never left the board. Frames to before
        `done` were sent again just now: what of them did not come was lost once more, and what comes
        behind them found no room.
        """
        if self._expected is None:
            return []
        begin = self._whole(first)
        end = begin + (done - first) % SEQ_WRAP
        gone = self._whole(oldest)
        self._know_no_more_than(self._whole(upcoming))
        ready: list[Ready[Frame]] = []
        while self._holes and self._holes[0].begin < gone:
            overflown = 0 < (never_left - self._holes[0].begin) % SEQ_WRAP < HALF
            self._give_up_before(min(gone, self._holes[0].end), OVERFLOW if overflown else CABLE)
            ready += self._give()
        if begin < end:
            for hole in self._holes:
                if begin <= hole.begin <= end:
                    hole.asked_ns = None
        return ready + self._give()

    def expire(self, now_ns: int, patience_ns: int = PATIENCE_NS) -> list[Ready[Frame]]:
        """Give up what has been missing for too long; return the frames whose turn has come thereby."""
        while self._holes and now_ns - self._holes[0].noticed_ns >= patience_ns:
            self._give_up_before(self._holes[0].end, CABLE)
        return self._give() if self._expected is not None else []

    def flush(self) -> list[Ready[Frame]]:
        """Give up all that is missing; return all that was held back."""
        if self._holes:
            self._give_up_before(self._known_end, CABLE)
        return self._give() if self._expected is not None else []

    def _whole(self, seq: int) -> int:
        assert self._expected is not None
        return self._expected + (seq - self._expected + HALF) % SEQ_WRAP - HALF

    def _know(self, end: int, now_ns: int) -> None:
        """Frames before `end` exist: those from the known end on are missing."""
        if end > self._known_end:
            self._holes.append(_Hole(self._known_end, end, now_ns))

    def _fill(self, whole: int) -> None:
        self.refilled += 1
        for n, hole in enumerate(self._holes):
            if hole.begin <= whole < hole.end:
                rest = [
                    _Hole(a, b, hole.noticed_ns, hole.asked_ns)
                    for a, b in ((hole.begin, whole), (whole + 1, hole.end))
                    if a < b
                ]
                self._holes[n : n + 1] = rest
                return

    def _know_no_more_than(self, end: int) -> None:
        """The board has made no frame from `end` on: one that we hold is damage that passed its check."""
        if self._known_end <= end:
            return
        self._known_end = max(end, self._expected or 0)
        for seq in [s for s in self._held if s >= end]:
            del self._held[seq]
        self._holes = [h for h in self._holes if h.begin < end]
        for hole in self._holes:
            hole.end = min(hole.end, end)

    def _give_up_before(self, end: int, reason: str) -> None:
        """What is missing before `end` will not come; what was held back stays."""
        self._given_up_reason = reason
        while self._holes and self._holes[0].begin < end:
            self.lost += min(end, self._holes[0].end) - self._holes[0].begin
            if self._holes[0].end <= end:
                del self._holes[0]
            else:
                self._holes[0].begin = end

    def _give(self) -> list[Ready[Frame]]:
        assert self._expected is not None
        ready: list[Ready[Frame]] = []
        while True:
            stop = self._holes[0].begin if self._holes else self._known_end
            frame = self._held.pop(self._expected, None)
            if frame is not None:
                ready.append(Ready(self._expected % SEQ_WRAP, frame, self._reason))
                self._reason = ""
            elif self._expected < stop:
                self._reason = self._given_up_reason
            else:
                return ready
            self._expected += 1
