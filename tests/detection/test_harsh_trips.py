"""Trips whose manoeuvres were marked by those who drove them, through the whole pipeline."""

from __future__ import annotations

import pytest

from agent.detection.harsh import HarshSettings
from scripts.benches.driving import TRIPS, by_events, said_by_agent, said_by_threshold, trip_of

pytestmark = pytest.mark.skipif(
    not TRIPS.is_dir(), reason="the folder of recordings, ../shared/data, is not here"
)


def test_marked_manoeuvres_are_found_better_than_by_a_threshold() -> None:
    trips = [trip_of(folder) for folder in sorted(TRIPS.iterdir())]
    said = [said_by_agent(trip, gyro=False, settings=HarshSettings()) for trip in trips]
    mine = [by_events(trip, [span for _, span in events]) for trip, events in zip(trips, said, strict=True)]
    plain = [by_events(trip, said_by_threshold(trip)) for trip in trips]
    assert sum(mine[1:], mine[0]).f1 >= 0.85, mine
    assert sum(plain[1:], plain[0]).f1 < 0.8, plain


def test_the_gyroscope_tells_turns_from_stops() -> None:
    for trip in [trip_of(folder) for folder in sorted(TRIPS.iterdir())]:
        wanted = {"17": {"harsh_brake": 5, "harsh_acceleration": 4}, "20": {"harsh_turn": 6}}[
            trip.folder.name
        ]
        said = said_by_agent(trip, gyro=True, settings=HarshSettings())
        right = [
            kind
            for kind, (begin_s, end_s) in said
            if any(a - 1 < end_s and b + 1 > begin_s for a, b in trip.harsh)
        ]
        for kind, least in wanted.items():
            assert right.count(kind) >= least, (trip.folder.name, kind, said)
        if trip.folder.name == "20":
            assert set(right) == {"harsh_turn"}, said
