"""`replay --publish`: all of it arrives at a broker, or the exit status says that it did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.records import as_json, is_compact, publish_size_bytes
from tests.commands.refusal import refused
from tests.commands.test_replay import write_log
from tests.live.broker import LastingBroker
from tests.live.processes import cargobox
from tests.live.setting import write_config
from tests.live.watcher import Watcher
from tests.uplink.brokers import free_port


@pytest.mark.broker
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_is_replayed_arrives(encoding: str, tmp_path: Path) -> None:
    log = write_log(tmp_path / "trip.mcap", seconds=120)
    with LastingBroker(tmp_path / "broker") as broker, Watcher(broker.port) as watcher:
        more = f'[upload]\nencoding = "{encoding}"'
        config = write_config(tmp_path, port="none", broker_port=broker.port, more=more)
        done = cargobox("replay", log, "--publish", "--config", config, "--out", tmp_path / "out", "--json")
        assert done.end() == 0, done.err
        count = sum(done.document["records"].values())
        came = watcher.until_records("0123456789abcdef", count)
    lines = (tmp_path / "out" / "records.jsonl").read_bytes().splitlines()
    assert all(as_json(m.payload) in line for m, line in zip(came.values(), lines, strict=True))
    assert {is_compact(m.payload) for m in came.values()} == {encoding == "msgpack"}
    sent_bytes = sum(publish_size_bytes(m.topic, m.payload) for m in came.values())
    assert done.document["published_bytes"] == sent_bytes, "counted as it is published, not as it is shown"


def test_no_broker_to_publish_to(tmp_path: Path) -> None:
    log = write_log(tmp_path / "trip.mcap")
    config = write_config(tmp_path, port="none", broker_port=free_port())
    told = refused("replay", log, "--publish", "--config", config, "--out", tmp_path / "out", status=1)
    assert "connection refused" in told.got
    assert (tmp_path / "out" / "records.jsonl").exists(), "the replay itself is done"
