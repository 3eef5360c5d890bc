"""What may happen a thousand times a minute, in few lines of the log.

The first is said at once; what follows within a while is counted, and said with the next after it, or when
there is nothing to come: a line a record would bury what else the log has to say.
"""

from __future__ import annotations

import threading
import time


class Seldom:
    """Safe across threads."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._untold = 0
        self._due_s = 0.0  # monotonic
        self._lock = threading.Lock()

    def of(self, count: int) -> int:
        """Count what happened; return of how many to tell now, 0 for later."""
        now_s = time.monotonic()
        with self._lock:
            self._untold += count
            if now_s < self._due_s:
                return 0
            told, self._untold, self._due_s = self._untold, 0, now_s + self._every_s
            return told

    def rest(self) -> int:
        """Return how many nobody was told of: there are no more to come."""
        with self._lock:
            told, self._untold = self._untold, 0
            return told
