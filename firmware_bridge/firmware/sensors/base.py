"""What every sensor shares: being fetched from, failing, trying again, and telling of it once.

A driver fetches without allocating. What it may allocate for is trouble, which is rare: then it stands
aside, so that the other sensors go on, and is set up anew after a while.
"""

import time

FIRST_RETRY_MS = 100  # a chip that lost its power for a moment is back at once
LONGEST_RETRY_MS = 30_000
CHECK_MS = 500  # one register is read again this often: a chip of ten is through in 5 s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Ticks = Any  # the stubs have a type for each unit, and none for a difference added
    Told = tuple[str, str, str, str]
    """Stream, what was being done, what came, what was expected."""


class Trouble(Exception):
    """What a sensor said instead of what it should have: got and expected."""

    def __init__(self, got: str, expected: str) -> None:
        super().__init__(got + ", expected " + expected)
        self.got = got
        self.expected = expected


class Sensor:
    """One chip with one or more streams; `parts` are their places in it.

    ``take`` leaves in ``skipped`` the samples lost before those taken, and in ``sample_ticks`` the
    ticks of the first one taken.
    """

    def __init__(self, place: str, streams: "list[dict[str, Any]]", faults: "list[Told]") -> None:
        self.place = place
        self.streams = streams
        self.rate_hz = streams[0]["rate_hz"]
        self.period_us = round(1_000_000 / self.rate_hz)
        self.skipped = 0
        self.sample_ticks: "Ticks" = 0
        self.working = False
        self._faults = faults
        self._told = ""
        self._retry_ms = FIRST_RETRY_MS
        self._retry_at = time.ticks_ms()
        self._check_at = time.ticks_ms()
        self._last_ms = [time.ticks_ms()] * len(streams)
        self._hole = [False] * len(streams)

    # --- what a driver does ---

    def set_up(self) -> None:
        """Find the chip and give it its settings; raise `Trouble` or OSError. May wait a few ms."""

    def begin(self) -> None:
        """Forget what was sampled so far; raise `Trouble` or OSError."""

    def fetch(self, part: int, body: bytearray, at: int, room: int) -> int:
        """Copy samples of one part as `take` does. Allocates nothing but for trouble."""
        return 0

    def check(self) -> None:
        """Look whether the chip still has its settings, a little at a time; raise `Trouble` or OSError."""

    # --- what the board calls ---

    def switch_on(self) -> None:
        """Set up for the first time."""
        self._try()

    def start(self) -> None:
        """Begin a session: what is not sampled from now on is missing."""
        now_ms = time.ticks_ms()
        self._check_at = now_ms  # one of long ago would lie ahead again, once the ticks have wrapped
        for part in range(len(self.streams)):
            self._last_ms[part] = now_ms
            self._hole[part] = not self.working
        if not self.working:
            self._retry_ms = FIRST_RETRY_MS
            self._retry_at = now_ms
        else:
            try:
                self.begin()
            except OSError as error:
                self._fail(no_answer(error), "an answer")
            except Trouble as trouble:
                self._fail(trouble.got, trouble.expected)

    def take(self, part: int, body: bytearray, at: int, room: int) -> int:
        """Copy at most `room` samples of one part into `body` from `at` on; return how many."""
        self.skipped = 0
        now_ms = time.ticks_ms()
        if not self.working:
            if time.ticks_diff(now_ms, self._retry_at) < 0:
                return 0
            self._try()
            return 0
        try:
            count = self.fetch(part, body, at, room)
            if time.ticks_diff(now_ms, self._check_at) >= 0:
                self._check_at = time.ticks_add(now_ms, CHECK_MS)
                self.check()
        except OSError as error:
            self._fail(no_answer(error), "an answer")
            return 0
        except Trouble as trouble:
            self._fail(trouble.got, trouble.expected)
            return 0
        if count:
            if self._hole[part]:
                self._hole[part] = False
                self.skipped += self._missing(part, now_ms, count)
            self._last_ms[part] = now_ms
            self._retry_ms = FIRST_RETRY_MS
            if self._told:  # samples are the proof that it works again; a set-up is none
                self._told = ""
                self._tell("", "")
        return count

    def _missing(self, part: int, now_ms: "Ticks", count: int) -> int:
        """How many samples were not taken since the last one: rare, may allocate."""
        away_ms: int = time.ticks_diff(now_ms, self._last_ms[part])
        return max(0, int(away_ms * self.rate_hz / 1000) - count)

    # --- trouble ---

    def _try(self) -> None:
        """Set the chip up; where that fails, try again after a while, each time a longer one."""
        try:
            self.set_up()
            self.begin()
        except OSError as error:
            self._fail(no_answer(error), "an answer")
            return
        except Trouble as trouble:
            self._fail(trouble.got, trouble.expected)
            return
        self.working = True
        self._check_at = time.ticks_add(time.ticks_ms(), CHECK_MS)

    def _fail(self, got: str, expected: str) -> None:
        if self.working:
            for part in range(len(self.streams)):
                self._hole[part] = True
        self.working = False
        self._retry_at = time.ticks_add(time.ticks_ms(), self._retry_ms)
        self._retry_ms = min(2 * self._retry_ms, LONGEST_RETRY_MS)
        words = got + expected
        if words != self._told:
            self._told = words
            self._tell(got, expected)

    def _tell(self, got: str, expected: str) -> None:
        for stream in self.streams:
            self._faults.append((stream["name"], self.place, got, expected))


class Paced(Sensor):
    """A sensor that samples when it is asked: here the asking keeps the rate."""

    def __init__(self, place: str, streams: "list[dict[str, Any]]", faults: "list[Told]") -> None:
        super().__init__(place, streams, faults)
        self._due = time.ticks_us()

    def begin(self) -> None:
        """Let the first sample be due at once."""
        self._due = time.ticks_us()

    def due(self, now: "Ticks") -> int:
        """Return -1 while no sample is due, else how many were missed before the one that is."""
        late_us = time.ticks_diff(now, self._due)
        if late_us < 0:
            return -1
        missed: int = late_us // self.period_us
        self._due = time.ticks_add(self._due, (missed + 1) * self.period_us)
        return missed


def no_answer(error: OSError) -> str:
    """Say that the bus brought no answer, with the number that MicroPython gives."""
    return "no answer (error {})".format(error.args[0] if error.args else "?")


def hexadecimal(value: int) -> str:
    """Return a byte as people read it in datasheets."""
    return f"0x{value:02X}"
