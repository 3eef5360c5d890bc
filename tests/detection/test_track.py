"""Start, updates and end of an event: when each is due, and that what was major stays major."""

from __future__ import annotations

from agent.detection.finding import EventType
from agent.detection.track import Track
from agent.records import Phase, Severity

S = 1_000_000_000


def begun(**how: float) -> Track:
    track = Track(EventType.SHOCK, ("accel",), **how)
    said = track.start(10 * S, 9 * S, Severity.MINOR, {})
    assert (said.phase, said.number, said.start_ns, said.end_ns) == (Phase.START, 1, 9 * S, None)
    return track


def test_an_update_comes_when_it_grows_worse_or_lasts() -> None:
    track = begun(update_s=60)
    assert track.update(11 * S, Severity.MINOR, {}) is None
    worse = track.update(12 * S, Severity.MAJOR, {"a": 1})
    assert worse is not None and worse.severity is Severity.MAJOR and worse.number == 1
    assert track.update(71 * S, Severity.MINOR, {}) is None
    lasting = track.update(72 * S, Severity.MINOR, {})
    assert lasting is not None and lasting.severity is Severity.MAJOR, "what was major stays major"


def test_its_end_says_the_worst_and_the_next_has_a_number_of_its_own() -> None:
    track = begun()
    track.update(12 * S, Severity.CRITICAL, {})
    end = track.end(20 * S, 15 * S, Severity.GENERAL, {})
    assert (end.phase, end.severity, end.end_ns) == (Phase.END, Severity.CRITICAL, 15 * S)
    again = track.start(30 * S, 29 * S, Severity.MINOR, {})
    assert (again.number, again.severity) == (2, Severity.MINOR)


def test_the_cool_down_counts_from_the_end() -> None:
    track = Track(EventType.BUMP, ("accel",), cool_down_s=5)
    assert track.ready(0)
    track.start(10 * S, 10 * S, Severity.MINOR, {})
    assert not track.ready(100 * S)
    track.end(12 * S, 12 * S, Severity.MINOR, {})
    assert not track.ready(17 * S - 1) and track.ready(17 * S)
