"""Brokers that die, refuse or are not there; agents that die: what was decided still arrives, all of it.

``CARGOBOX_OUTAGE_S=60 pytest tests/live/test_outage.py`` makes the outage as long as you like.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.records import is_compact
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip
from tests.live.broker import LastingBroker
from tests.live.processes import Running, cargobox, command
from tests.live.setting import LaterTrip, write_config
from tests.live.watcher import Watcher
from tests.uplink.brokers import free_port

OUTAGE_S = float(os.environ.get("CARGOBOX_OUTAGE_S", "1"))
WINDOW = 100  # inflight_max of the agent: more than these cannot come twice

pytestmark = [pytest.mark.broker, pytest.mark.board]


def waiting(config: Path) -> dict[str, Any]:
    """Return what `outbox stats --json` says beside the running agent."""
    done = cargobox("outbox", "stats", "--json", "--config", config)
    assert done.end() == 0, done.err
    return done.document


@pytest.mark.slow
def test_a_broker_killed_in_the_middle(tmp_path: Path, broker: LastingBroker, watcher: Watcher) -> None:
    # from second 12 of the trip on: the tilt is due at 4 s; at 9 s the box falls
    with VirtualBox(LaterTrip(12), tmp_path / "port", tmp_path / "board") as box:
        config = write_config(tmp_path, port=box.port, broker_port=broker.port)
        with Running(command("run", "--config", config, "--json")) as agent:
            watcher.until_kind("status", state="online")
            broker.save()
            broker.freeze()
            until_waiting(config, alarms=1)  # the tilt: sent, and never acknowledged
            broker.kill()
            agent.wait_line("connection refused")
            until_waiting(config, alarms=2)  # the drop: decided while nobody was there
            time.sleep(OUTAGE_S)
            broker.start()
            watcher.until_kind("alarm", type="tilt")
            watcher.until_kind("alarm", type="drop")
            assert agent.end(signal.SIGTERM) == 0
        document = agent.document
        watcher.until_records(document["boot"], sum(document["records"].values()))
    assert document["waiting"] == 0
    assert len(watcher.of("alarm")) == document["records"]["alarm"] >= 2
    assert watcher.duplicates <= WINDOW, f"{watcher.duplicates} of {len(watcher.messages)} came twice"
    assert agent.err.count("connection refused") == 1, f"told once, not at each attempt:\n{agent.err}"


def until_waiting(config: Path, *, alarms: int) -> None:
    """Return when so many alarms wait in the outbox of the running agent."""
    for _ in range(200):  # each look takes as long as a program takes to start
        if waiting(config)["waiting_by_kind"].get("alarm", 0) >= alarms:
            return
    raise AssertionError(f"no {alarms} alarms came to wait: {waiting(config)}")


@pytest.mark.slow
def test_an_agent_killed_while_the_broker_is_away(tmp_path: Path) -> None:
    with (
        LastingBroker(tmp_path / "broker") as broker,
        VirtualBox(LaterTrip(18), tmp_path / "port", tmp_path / "board") as box,
    ):
        broker.kill()
        more = '[upload]\nencoding = "msgpack"'  # which is no text: it must lie on the card all the same
        config = write_config(tmp_path, port=box.port, broker_port=broker.port, more=more)
        with Running(command("run", "--config", config)) as first:
            first_boot = first.wait_line("reading .*; boot").rpartition(" ")[2]
            until_waiting(config, alarms=1)
            exported = export(config, tmp_path / "before.jsonl")
            verified = cargobox("outbox", "verify", "--json", "--config", config)
            assert verified.end() == 0, verified.out
            assert verified.document["sound"], verified.out
            assert verified.document["in_use_by_pid"] == first.process.pid
            first.kill()
        assert first.err.count("connection refused") == 1, f"told once, not at each attempt:\n{first.err}"
        after = export(config, tmp_path / "after.jsonl")
        assert after[: len(exported)] == exported, "what could be read is still there, byte for byte"
        seqs = [line["payload"]["seq"] for line in after]
        assert seqs == list(range(len(after))), "and it is all that was decided, without a hole"
        assert {line["payload"]["boot"] for line in after} == {first_boot}
        broker.start()
        with (
            Watcher(broker.port) as watcher,
            Running(command("run", "--config", config, "--seconds", 2, "--json")) as second,
        ):
            assert second.end() == 0, second.err
            document = second.document
            assert document["boot"] != first_boot
            watcher.until_records(document["boot"], sum(document["records"].values()))
            old = watcher.until_records(first_boot, len(after))
    assert [m.body for m in old.values()] == [line["payload"] for line in after]
    assert all(is_compact(m.payload) for m in old.values())
    assert document["waiting"] == 0
    assert any(m.kind == "alarm" for m in old.values())


def export(config: Path, out: Path) -> list[dict[str, Any]]:
    """Return the records that wait, as `outbox export` writes them."""
    done = cargobox("outbox", "export", "--json", "--out", out, "--config", config)
    assert done.end() == 0, done.err
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert done.document == {"exported": len(lines), "file": str(out)}
    return lines


@contextlib.contextmanager
def refusing(why: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Yield the port of a far end that lets nobody in, and a pattern of the words for that."""
    if why == "nobody listens":
        yield free_port(), "connection refused"
    else:
        passwords = folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "box", "right"], check=True)
        with LastingBroker(
            folder / "broker", "allow_anonymous false", f"password_file {passwords}"
        ) as broker:
            yield broker.port, "not authorized"


@pytest.mark.parametrize("why", ["nobody listens", "wrong password"])
def test_a_broker_that_does_not_let_it_in(why: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    with (
        refusing(why, tmp_path) as (port, words),
        VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box,
    ):
        keys = f'username = "box"\npassword_file = "{secret}"'
        more = '[upload]\nencoding = "msgpack"'  # in which two seconds earn a record
        config = write_config(tmp_path, port=box.port, broker_port=port, broker=keys, more=more)
        with Running(command("run", "--config", config, "--seconds", 2, "--json")) as agent:
            said = agent.wait_line(words)
            assert agent.end() == 0, agent.err
    assert "expected" in said
    assert agent.err.count(said) == 1, f"said at each attempt:\n{agent.err}"
    document = agent.document
    total = sum(document["records"].values())
    assert total >= 1
    assert document["waiting"] == total, "everything waits"
    assert document["acknowledged"] == 0
    assert document["last_error"]
    listed = cargobox("outbox", "list", "--json", "--config", config)
    assert [r["payload"]["seq"] for r in json.loads(listed.out)] == list(range(total))
