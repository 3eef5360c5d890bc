"""Step by step to real brokers: reached, greeted, let in; and each way of not getting there."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.doctor import Finding, Patient, State, broker
from agent.outbox import Outbox
from agent.records import Kind
from agent.uplink import Uplink
from tests.doctor.looking import about, only, patient
from tests.outbox.samples import record
from tests.uplink.brokers import HOST, PATIENCE_S, Mosquitto, ScriptedBroker, Subscriber, free_port
from tests.uplink.conftest import mosquitto, outbox, scripted, start_uplink, subscribe
from tests.uplink.test_tls import pki

__all__ = ["mosquitto", "outbox", "pki", "scripted", "start_uplink", "subscribe"]  # fixtures

Start = Callable[..., Mosquitto]
Script = Callable[..., ScriptedBroker]


def wrong(found: list[Finding]) -> Finding:
    """Return the finding that ends it: the only one that is wrong, and the last."""
    assert [f.state is State.WRONG for f in found] == [False] * (len(found) - 1) + [True], found
    assert found[-1].remedy
    return found[-1]


def test_no_configuration() -> None:
    assert only(broker.check(Patient())).state is State.SKIPPED


@pytest.mark.broker
def test_a_broker_that_lets_us_in(mosquitto: Start, tmp_path: Path) -> None:
    found = list(broker.check(patient(tmp_path, host=HOST, port=mosquitto().port)))
    assert {f.state for f in found} == {State.OK}, found
    entered = about(found, "MQTT")
    assert "let in without a user name" in entered.found
    assert entered.figures["client_id"] == "cargobox-box-7-doctor"
    assert about(found, HOST).figures["tcp_ms"] >= 0


@pytest.mark.broker
def test_a_running_agent_keeps_its_connection_and_nobody_hears_of_us(
    mosquitto: Start,
    subscribe: Callable[..., Subscriber],
    outbox: Outbox,
    start_uplink: Callable[..., Uplink],
    tmp_path: Path,
) -> None:
    running = mosquitto()
    subscriber = subscribe(running)
    uplink = start_uplink(running.config(client_id="cargobox-box-7"))
    subscriber.wait(lambda: subscriber.states() == ["online"])
    list(broker.check(patient(tmp_path, host=HOST, port=running.port)))
    outbox.put([record(0, Kind.ALARM)])
    subscriber.wait(lambda: len(subscriber.seqs()) == 1)
    assert subscriber.states() == ["online"], "the agent was pushed out"
    assert len(subscriber.messages) == 2, [m.topic for m in subscriber.messages]
    uplink.stop(drain_s=PATIENCE_S)


@pytest.mark.broker
def test_a_password_that_is_not_the_right_one(mosquitto: Start, tmp_path: Path) -> None:
    (tmp_path / "passwords").touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(tmp_path / "passwords"), "box-7", "right"], check=True)
    (tmp_path / "secret").write_text("wrong\n")
    (tmp_path / "secret").chmod(0o600)
    running = mosquitto("allow_anonymous false", f"password_file {tmp_path}/passwords")
    about_broker: dict[str, Any] = {
        "host": HOST,
        "port": running.port,
        "username": "box-7",
        "password_file": str(tmp_path / "secret"),
    }
    refusal = wrong(list(broker.check(patient(tmp_path, **about_broker))))
    assert "it refuses: not authorized (0x87)" in refusal.found
    assert "password_file" in refusal.remedy
    (tmp_path / "secret").write_text("right\n")
    assert "let in as box-7" in about(broker.check(patient(tmp_path, **about_broker)), "MQTT").found
    (tmp_path / "secret").unlink()
    assert "No such file" in wrong(list(broker.check(patient(tmp_path, **about_broker)))).found


def test_nobody_listens(tmp_path: Path) -> None:
    refusal = wrong(list(broker.check(patient(tmp_path, host=HOST, port=free_port()))))
    assert refusal.found == "connection refused, expected a broker that listens there"


def test_a_name_without_an_address(tmp_path: Path) -> None:
    refusal = wrong(list(broker.check(patient(tmp_path, host="no-such-host.invalid"))))
    assert "the name 'no-such-host.invalid' has no address" in refusal.found


def test_somebody_who_listens_and_never_answers(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        found = list(broker.check(patient(tmp_path, host=HOST, port=port, connect_timeout_s=0.5)))
    assert "no answer within 0.5 s" in wrong(found).found


def test_a_broker_that_is_busy(scripted: Script, tmp_path: Path) -> None:
    far = scripted(connack=b"\x00\x89\x00")
    refusal = wrong(list(broker.check(patient(tmp_path, host=HOST, port=far.port))))
    assert "(0x89)" in refusal.found


@pytest.mark.broker
def test_tls(mosquitto: Start, pki: Path, tmp_path: Path) -> None:
    running = mosquitto(f"cafile {pki}/ca.crt", f"certfile {pki}/soon.crt", f"keyfile {pki}/soon.key")
    secure: dict[str, Any] = {"host": HOST, "port": running.port, "tls": True}
    found = list(broker.check(patient(tmp_path, **secure, ca_file=f"{pki}/ca.crt")))
    greeted = next(f for f in found if f.subject == "TLS")
    assert greeted.state is State.WARNING and 6 <= greeted.figures["certificate_days_left"] <= 7, greeted
    assert about(found, "MQTT").state is State.OK
    own = {"ca_file": f"{pki}/ca.crt", "cert_file": f"{pki}/soon.crt", "key_file": f"{pki}/soon.key"}
    told = about(list(broker.check(patient(tmp_path, **secure, **own))), "credentials")
    assert told.state is State.WARNING and "own certificate" in told.found and "expires in" in told.found
    refusal = wrong(list(broker.check(patient(tmp_path, **secure, ca_file=f"{pki}/other.crt"))))
    assert "its certificate is refused" in refusal.found
    refusal = wrong(list(broker.check(patient(tmp_path, **secure, ca_file=f"{pki}/nowhere.crt"))))
    assert "ca_file" in refusal.found and "No such file" in refusal.found
    plain: dict[str, Any] = {"host": HOST, "port": running.port}
    assert "closed the connection" in wrong(list(broker.check(patient(tmp_path, **plain)))).found
