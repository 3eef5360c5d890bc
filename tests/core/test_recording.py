"""The recording's thread: what waits for a slow card is bounded by items, however they are handed over."""

from __future__ import annotations

import threading

from agent.beats import Beats
from agent.blocks import Silence
from agent.pipeline import Item
from agent.recording import MOST_ITEMS, Recording


class SlowCard:
    """Writes nothing until it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.written: list[Item] = []
        self.closed = False

    def write(self, item: Item) -> None:
        assert self.let.wait(20)
        self.written.append(item)

    def close(self) -> None:
        self.closed = True


def test_a_slow_card_holds_back_after_so_many_items_and_loses_none() -> None:
    card = SlowCard()
    recording = Recording(card, Beats())
    thread = threading.Thread(target=recording.run)
    thread.start()
    batch = [Silence("accel", k) for k in range(256)]
    handed = 0
    gave_up = threading.Event()

    def held_back() -> None:
        gave_up.set()
        card.let.set()

    while not gave_up.is_set():
        recording.hand_over(batch, held_back, lambda: False)
        handed += len(batch)
        assert handed <= MOST_ITEMS + 3 * len(batch), f"{handed} items wait for a card that takes none"
    recording.no_more()
    thread.join(20)
    recording.close()
    assert len(card.written) == handed and card.closed, (len(card.written), handed)
