"""Contacts and voltages, such as the lid's and a leak rope's, on their way up."""

from __future__ import annotations

from agent.features import COLUMNS
from agent.features.moments import Moments
from agent.streams import TABLE, StreamClass


def test_every_class_of_stream_has_its_features() -> None:
    assert set(COLUMNS) == set(StreamClass)


def test_a_lid_is_told_as_the_part_of_the_time_that_it_was_closed() -> None:
    second = Moments(10, (7.0,), (7.0,), (0.0,), (1.0,))
    assert COLUMNS[TABLE["lid"].kind](TABLE["lid"], second) == {"lid_closed": 0.7}


def test_a_leak_rope_is_told_as_its_mean_and_its_smallest_voltage() -> None:
    second = Moments(10, (25.0,), (70.0,), (0.4,), (3.3,))
    assert COLUMNS[TABLE["leak"].kind](TABLE["leak"], second) == {"leak_mean_v": 2.5, "leak_min_v": 0.4}


def test_the_pressure_of_the_air_is_told_as_its_mean() -> None:
    minute = Moments(4, (405_300.0,), (1.0,), (101_300.0,), (101_400.0,))
    assert COLUMNS[TABLE["air_pressure"].kind](TABLE["air_pressure"], minute) == {
        "air_pressure_pa": 101_325.0
    }
