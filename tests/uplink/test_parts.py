"""The uplink's small parts: back-off and window."""

from __future__ import annotations

from typing import Any

import paho.mqtt
import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from agent.errors import BrokerError
from agent.uplink import records_client
from agent.uplink.backoff import Backoff
from agent.uplink.blame import Blame
from agent.uplink.topics import command_topic, status_topic
from agent.uplink.window import Window


def test_the_delay_doubles_up_to_the_bound_and_begins_again() -> None:
    backoff = Backoff(1.0, 60.0, lambda: 1.0)
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 1


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True))
def test_full_jitter(failures: int, chance: float) -> None:
    backoff = Backoff(1.0, 60.0, lambda: chance)
    for _ in range(min(failures, 100)):
        assert 0 <= backoff.next_s() <= 60


@given(st.integers(1, 70_000), st.lists(st.booleans(), max_size=60))
def test_no_more_in_flight_than_allowed_and_always_a_place_for_an_alarm(
    size: int, urgent: list[bool]
) -> None:
    window = Window(size)
    assert window.room().plain >= 1, "plain records always get through an empty window"
    for doc_id, is_urgent in enumerate(urgent):
        room = window.room()
        if room.urgent if is_urgent else room.plain:
            window.add(doc_id, 1)
        assert len(window) <= size
    if not any(urgent) and size >= 4:
        assert window.room().urgent >= 1


def test_topics() -> None:
    assert status_topic("f", "b") == "cargobox/1/f/b/status"
    assert command_topic("f", "b", "stop") == "cargobox/1/f/b/cmd/stop"


def window_of(*doc_ids: int) -> Window:
    window = Window(20)
    for doc_id in doc_ids:
        window.add(doc_id, size_bytes=doc_id)
    return window


def test_only_a_record_on_which_the_broker_hung_up_twice_alone_is_blamed() -> None:
    blame = Blame()
    assert blame.after(0x87, window_of(1, 2, 3)) is None
    assert blame.careful
    assert blame.after(0x87, window_of(1)) is None
    assert blame.after(0x87, window_of(2)) is None, "another one"
    assert blame.after(0x87, window_of(-1)) is None, "not the status"
    assert blame.after(0x87, window_of(2)) is None
    assert blame.after(0, window_of(2)) is None, "a broken line"
    assert blame.after(0x87, window_of(2)) == 2
    assert not blame.careful


def test_the_largest_is_too_large() -> None:
    assert Blame().after(0x95, window_of(3, 9, 4)) == 9
    assert Blame().after(0x95, Window(3)) is None


def test_the_paho_that_is_installed_is_the_one_that_was_read() -> None:
    """Records are sent by its inner parts: after a change, read those again and then raise the number."""
    assert paho.mqtt.__version__ == records_client.MADE_FOR, (
        f"paho-mqtt is {paho.mqtt.__version__} now. agent/uplink/records_client.py and through.py work by "
        f"inner parts of {records_client.MADE_FOR}: read {', '.join(records_client.INNER)} in the new one, "
        "run tests/uplink, and set MADE_FOR."
    )


@pytest.mark.parametrize("name", [*records_client.INNER, "_in_packet"])
def test_a_paho_without_one_of_its_parts_is_refused_in_words(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in records_client.INNER:
        monkeypatch.setattr(mqtt.Client, name, lambda self, of, another, kind: None)
    else:
        begin = mqtt.Client.__init__

        def without(self: mqtt.Client, *args: Any, **kwargs: Any) -> None:
            begin(self, *args, **kwargs)
            delattr(self, name)

        monkeypatch.setattr(mqtt.Client, "__init__", without)
    with pytest.raises(BrokerError, match=rf"in which {name}.* changed or went.*--require-hashes"):
        records_client.RecordsClient(CallbackAPIVersion.VERSION2)
    monkeypatch.undo()
    records_client.RecordsClient(CallbackAPIVersion.VERSION2)
