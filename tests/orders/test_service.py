"""What an agent does when it is told to, sent through a real mosquitto to a service without a source."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from agent.cli import main
from agent.config import load_config
from agent.service import Service
from agent.sources import LiveSource
from tests.uplink.brokers import PATIENCE_S, Mosquitto, Subscriber
from tests.uplink.conftest import mosquitto, subscribe

__all__ = ["mosquitto", "subscribe"]  # fixtures


class NoSource:
    """Never opened: the uplink begins before the source is there."""

    mount_up = None

    def close(self) -> None:
        """Have nothing to close."""


@pytest.mark.broker
def test_the_verbs(
    tmp_path: Path,
    mosquitto: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    broker = mosquitto()
    subscriber = subscribe(broker)
    main(["order", "--key", str(tmp_path / "key"), "make-key"])
    config = tmp_path / "box.toml"
    config.write_text(
        f'[outbox]\ndirectory = "outbox"\n[broker]\nport = {broker.port}\n[orders]\nstate_file = "state"\n'
        'keys = ["key.pub"]\nallow = ["status", "flush", "restart"]\n'
    )
    service = Service(load_config(config), cast(LiveSource, NoSource()))
    service.start_uplink()
    killed: list[tuple[int, int]] = []
    gone = threading.Event()

    def kill(pid: int, what: int) -> None:
        killed.append((pid, what))
        gone.set()

    monkeypatch.setattr(os, "kill", kill)

    def told(verb: str) -> dict[str, Any]:
        capsys.readouterr()
        main(["order", "--key", str(tmp_path / "key"), "--config", str(config), "--json", verb])
        return cast(dict[str, Any], json.loads(capsys.readouterr().out))

    try:
        subscriber.wait(lambda: subscriber.states() == ["online"])  # said after it has subscribed
        status = told("status")
        assert status["done"] and status["result"]["connections"] == 1, status
        assert status["boot"] == service.boot
        assert told("flush")["result"] == {"waiting": 0}
        refused = told("restart")
        assert refused["reason"] == "failed" and "systemd" in refused["got"] and not killed
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
        assert told("restart")["done"] and gone.wait(PATIENCE_S)
        assert killed == [(os.getpid(), signal.SIGTERM)], "after the answer, as systemd would"
    finally:
        service.stop()
    assert caplog.text.count("orders: restart by key") == 2 and "orders: status by key" in caplog.text
