"""Raw samples that a signed order asks for, through a real mosquitto, out of memory and out of recordings."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from agent import kernel_clock
from agent.blocks import NS_PER_S, Block, RegularClock
from agent.cli import main
from agent.config import load_config
from agent.records import decode
from agent.service import Service
from agent.snippet_files import snippets_of
from agent.sources import Item, Vector
from agent.streams import TABLE, StreamSpec
from agent.timebase import measure_mark, rfc3339
from tests.uplink.brokers import Mosquitto, Subscriber
from tests.uplink.conftest import mosquitto, subscribe

__all__ = ["mosquitto", "subscribe"]  # fixtures

RATE_HZ = 200
LENGTH_S = 90
VALUES = np.random.default_rng(1).integers(-900, 900, (LENGTH_S * RATE_HZ, 3)).astype(np.int16)


class Past:
    """A source that gives the last minute and a half at once, and then nothing more."""

    mount_up: Vector | None = None

    def __init__(self) -> None:
        self.begun_ns = kernel_clock.box_ns() - LENGTH_S * NS_PER_S
        self.mark = measure_mark(synced=True)

    def open(self) -> tuple[StreamSpec, ...]:
        return (TABLE["accel"],)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        yield self.mark
        clock = RegularClock.of_rate(RATE_HZ, anchor_ns=self.begun_ns)
        for first in range(0, len(VALUES), 20):
            yield Block("accel", first, clock, VALUES[first : first + 20])
        stop.wait()

    def close(self) -> None:
        """Have nothing to close."""

    def wall(self, second: float) -> str:
        return rfc3339(self.begun_ns + round(second * NS_PER_S) + self.mark.offset_ns)


@pytest.mark.broker
def test_an_order_brings_the_samples_it_names(
    tmp_path: Path,
    mosquitto: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = mosquitto()
    subscriber = subscribe(broker)
    main(["order", "--key", str(tmp_path / "key"), "make-key"])
    config = tmp_path / "box.toml"
    config.write_text(
        f'[outbox]\ndirectory = "outbox"\n[broker]\nport = {broker.port}\n[recorder]\ndirectory = "ring"\n'
        '[orders]\nstate_file = "state"\nkeys = ["key.pub"]\nallow = ["snippet"]\nburst = 100\n'
        "[snippets]\nordered_max_s = 12.0\nordered_kib_an_hour = 20.0\n"
    )
    source = Past()
    service = Service(load_config(config), source)
    service.start_uplink()
    subscriber.wait(lambda: subscriber.states() == ["online"])
    service.start()

    def told(stream: str, start: str, end: str) -> dict[str, Any]:
        capsys.readouterr()
        order = ["order", "--key", str(tmp_path / "key"), "--config", str(config), "--json"]
        main([*order, "snippet", "--stream", stream, "--from", start, "--to", end])
        return cast(dict[str, Any], json.loads(capsys.readouterr().out))

    def arrived() -> list[dict[str, Any]]:
        sent = [m for m in subscriber.messages if m.topic.endswith("/box/snippet")]
        return [told for m in sent if not (told := decode(bytes(m.payload)))["events"]]

    try:
        subscriber.wait(lambda: service.tally.samples["accel"] >= len(VALUES) - 20)
        recent = told("accel", source.wall(80), source.wall(85))
        assert recent["done"], recent
        assert recent["result"]["samples"] == 5 * RATE_HZ and recent["result"]["out_of"] == "memory", recent
        assert recent["result"]["bytes_before_coding"] == 5 * RATE_HZ * 6, recent
        subscriber.wait(lambda: len(arrived()) == 1)
        (snippet,) = snippets_of(arrived())
        (block,) = snippet.blocks
        assert np.array_equal(block.values, VALUES[80 * RATE_HZ : 85 * RATE_HZ])
        assert block.start_ns == source.begun_ns + 80 * NS_PER_S and not snippet.events

        older = told("accel", source.wall(10), source.wall(15.5))
        assert older["done"] and older["result"]["out_of"] == "recordings", older
        subscriber.wait(lambda: len(arrived()) == 2)
        (snippet,) = snippets_of(arrived()[1:])
        assert np.array_equal(
            np.concatenate([block.values for block in snippet.blocks]),
            VALUES[10 * RATE_HZ : round(15.5 * RATE_HZ)],
        )
        for asked, word in (
            (("accel", source.wall(80), source.wall(95)), "ordered_max_s allows 12"),
            (("accel", source.wall(85), source.wall(80)), "not after its start"),
            (("accel", source.wall(3600), source.wall(3601)), "not over yet"),
            (("accel", source.wall(-50), source.wall(-45)), "no sample of 'accel' of that time"),
            (("gyro", source.wall(80), source.wall(85)), "no stream 'gyro'; there are accel"),
            (("accel", source.wall(70), source.wall(81)), "ordered_kib_an_hour"),
        ):
            refused = told(*asked)
            assert not refused["done"] and word in refused["got"], refused
    finally:
        service.stop()
    assert len(arrived()) == 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["snippet", "--stream", "accel"], "snippet with --stream"),
        (["status", "--stream", "accel"], "status with --stream"),
        (["snippet", "--stream", "a", "--from", "now", "--to", "2026-11-22T01:22:10Z"], "'now'"),
        (
            ["snippet", "--stream", "a", "--from", "2026-11-22T01:22:10", "--to", "2026-11-22T01:22:10Z"],
            "zone",
        ),
    ],
)
def test_a_wrong_command_line_says_so(
    options: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["order", "--key", str(tmp_path / "key"), "--box", "b", *options])
    said = capsys.readouterr().err
    assert status == 2 and word in said, said
