"""A contact, such as the lid's, on its way up."""

from __future__ import annotations

from agent.features import COLUMNS
from agent.features.moments import Moments
from agent.streams import TABLE, StreamClass


def test_every_class_of_stream_has_its_features() -> None:
    assert set(COLUMNS) == set(StreamClass)


def test_a_lid_is_told_as_the_part_of_the_time_that_it_was_closed() -> None:
    second = Moments(10, (7.0,), (7.0,), (0.0,), (1.0,))
    assert COLUMNS[TABLE["lid"].kind](TABLE["lid"], second) == {"lid_closed": 0.7}
