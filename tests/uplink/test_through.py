"""The service's way to its broker: a socket of this computer, behind which systemd's own proxy connects."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.installation.units import PROXY
from agent.outbox import Outbox
from agent.uplink import Uplink, through
from tests.outbox.samples import records
from tests.uplink.brokers import Mosquitto, Subscriber

ACTIVATE = "/usr/bin/systemd-socket-activate"


def no_network() -> None:
    raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")


@pytest.mark.skipif(not (Path(PROXY).exists() and Path(ACTIVATE).exists()), reason="no systemd here")
def test_records_reach_the_broker_through_the_proxy(
    tmp_path: Path,
    mosquitto: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
    start_uplink: Callable[..., Uplink],
    outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = mosquitto()
    path = tmp_path / "broker.sock"
    words = [ACTIVATE, "--listen", str(path), PROXY, f"127.0.0.1:{broker.port}"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stderr is not None
            assert "Listening on" in proxy.stderr.readline()
            monkeypatch.setenv(through.VARIABLE, f"127.0.0.1:{broker.port}={path}")
            subscriber = subscribe(broker)
            monkeypatch.setattr("paho.mqtt.client._socketpair_compat", no_network)
            outbox.put(records(range(5)))
            start_uplink(broker.config())
            subscriber.wait(lambda: len(subscriber.seqs()) == 5)
            assert subscriber.seqs() == list(range(5))
        finally:
            proxy.kill()
