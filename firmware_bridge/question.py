"""A command that waits for its answer, and is sent again until it comes."""

from __future__ import annotations

AGAIN_NS = 50_000_000  # at first; then twice as long each time, up to the next
AGAIN_MOST_NS = 400_000_000


class Question:
    """One command: its answer may be to any of the times that it was sent."""

    def __init__(self, verb: int, now_ns: int) -> None:
        self.verb = verb
        self.first_ns = now_ns
        self.last_ns = now_ns
        self._sent_ns: dict[int, int] = {}  # ident → when
        self._again_ns = AGAIN_NS

    def sent(self, ident: int, now_ns: int) -> None:
        """It was sent under this number."""
        self.last_ns = now_ns
        self._sent_ns[ident] = now_ns

    def answered(self, ident: int, verb: int) -> int | None:
        """Return when what is answered here was sent; None where it is no answer to this question."""
        return self._sent_ns.pop(ident, None) if verb == self.verb else None

    def due(self, now_ns: int) -> bool:
        """Return whether to send it again."""
        if now_ns - self.last_ns <= self._again_ns:
            return False
        self._again_ns = min(2 * self._again_ns, AGAIN_MOST_NS)
        return True

    def begin_again(self, now_ns: int) -> None:
        """Whoever should answer was just started anew, and has all the time there is."""
        self.first_ns = self.last_ns = now_ns
        self._again_ns = AGAIN_MOST_NS
