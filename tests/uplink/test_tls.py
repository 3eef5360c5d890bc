"""TLS: what is trusted connects, what is not is told in four parts, and never in plain text."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.outbox import Outbox
from agent.records import Kind
from agent.timebase import TimeMark, TimeQuality, measure_mark
from agent.uplink import BrokerConfig, Uplink, credentials, session, x509
from tests.outbox.samples import record
from tests.uplink.authority import make_authority, make_certificate
from tests.uplink.brokers import PATIENCE_S, Mosquitto
from tests.uplink.test_refusal import first_error

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]

MakeUplink = Callable[..., Uplink]
Start = Callable[..., Mosquitto]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities; the first has signed for the broker and for boxes, of which one is too late."""
    home = tmp_path_factory.mktemp("pki")
    for name in ("ca", "other"):
        make_authority(home, name)
    make_certificate(home, "broker")
    make_certificate(home, "box")
    make_certificate(home, "stranger", ca="other", common_name="box")
    make_certificate(home, "expired", days=-2, common_name="box")
    make_certificate(home, "soon", days=7, common_name="box")
    return home


@pytest.fixture
def broker(mosquitto: Start, pki: Path) -> Mosquitto:
    return mosquitto(
        f"cafile {pki}/ca.crt",
        f"certfile {pki}/broker.crt",
        f"keyfile {pki}/broker.key",
        "require_certificate true",
    )


def test_with_both_certificates(
    broker: Mosquitto, pki: Path, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    outbox.put([record(0, Kind.ALARM)])
    uplink = start_uplink(
        broker.config(
            tls=True, ca_file=f"{pki}/ca.crt", cert_file=f"{pki}/box.crt", key_file=f"{pki}/box.key"
        )
    )
    uplink.stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0, uplink.stats().last_error


def test_without_a_client_certificate(broker: Mosquitto, pki: Path, start_uplink: MakeUplink) -> None:
    error = first_error(start_uplink, broker.config(tls=True, ca_file=f"{pki}/ca.crt"))
    assert "cert_file" in error.remedy
    # the alert is lost where the broker's end of the connection overtakes it
    assert "asks for a client certificate" in error.got or "closed the connection" in error.got


def own(broker: Mosquitto, pki: Path, name: str, **more: Any) -> BrokerConfig:
    return broker.config(
        tls=True, ca_file=f"{pki}/ca.crt", cert_file=f"{pki}/{name}.crt", key_file=f"{pki}/{name}.key", **more
    )


def test_a_client_certificate_of_a_strange_authority(
    broker: Mosquitto, pki: Path, start_uplink: MakeUplink
) -> None:
    error = first_error(start_uplink, own(broker, pki, "stranger"))
    assert "cert_file" in error.remedy
    assert "authority of the box's certificate" in error.got or "closed the connection" in error.got


def test_an_expired_certificate_is_told_before_connecting(
    broker: Mosquitto, pki: Path, start_uplink: MakeUplink
) -> None:
    error = first_error(start_uplink, own(broker, pki, "expired", port=1))  # where nobody listens
    assert "has expired" in error.got and "expired.crt" in error.got, error.got


def test_a_box_in_1970_asks_the_broker_whether_its_certificate_has_expired(
    broker: Mosquitto, pki: Path, start_uplink: MakeUplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "measure_mark", lambda: TimeMark(0, 0, TimeQuality.UNSET))
    error = first_error(start_uplink, own(broker, pki, "expired"))
    assert "the box's certificate has expired" in error.got or "closed the connection" in error.got
    assert "cert_file" in error.remedy


def test_a_broker_whose_certificate_has_expired(
    mosquitto: Start, pki: Path, start_uplink: MakeUplink
) -> None:
    lines = (f"certfile {pki}/expired.crt", f"keyfile {pki}/expired.key", f"cafile {pki}/ca.crt")
    error = first_error(start_uplink, mosquitto(*lines).config(tls=True, ca_file=f"{pki}/ca.crt"))
    assert "expired" in error.got and "clock" in error.remedy


def test_files_of_two_pairs(broker: Mosquitto, pki: Path, start_uplink: MakeUplink) -> None:
    config = msgspec.structs.replace(own(broker, pki, "box"), key_file=f"{pki}/soon.key")
    assert "do not belong together" in first_error(start_uplink, config).got


def test_a_key_that_others_can_read(
    broker: Mosquitto, pki: Path, tmp_path: Path, start_uplink: MakeUplink
) -> None:
    key = tmp_path / "open.key"
    shutil.copy(pki / "box.key", key)
    key.chmod(0o644)
    config = msgspec.structs.replace(own(broker, pki, "box"), key_file=str(key))
    error = first_error(start_uplink, config)
    assert "everybody" in error.got and "chmod 600" in error.remedy
    key.chmod(0o640)
    assert "its whole group" in first_error(start_uplink, config).got
    key.chmod(0o600)
    uplink = start_uplink(config)
    uplink.stop(drain_s=PATIENCE_S)
    assert uplink.stats().connections == 1, uplink.stats().last_error


def test_a_key_that_systemd_hands_over(
    broker: Mosquitto, pki: Path, start_uplink: MakeUplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = msgspec.structs.replace(own(broker, pki, "box"), key_file="credentials:box.key")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "LoadCredential=box.key" in first_error(start_uplink, config).remedy
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(pki))
    uplink = start_uplink(config)
    uplink.stop(drain_s=PATIENCE_S)
    assert uplink.stats().connections == 1, uplink.stats().last_error


def test_what_runs_out_is_said_before(pki: Path) -> None:
    config = BrokerConfig(tls=True, ca_file=f"{pki}/ca.crt", cert_file=f"{pki}/soon.crt")
    now = measure_mark()
    (told,) = credentials.warnings(config, now)
    assert "own certificate" in told and "expires in 7 days" in told
    later = TimeMark(now.box_ns, now.offset_ns + 40 * 86_400 * 10**9, now.quality)
    own_one, authority = credentials.warnings(config, later)
    assert "has expired" in own_one and "authority" in authority and "in 20 days" in authority
    assert not credentials.warnings(config, TimeMark(0, 0, TimeQuality.UNSET)), "it knows no date"
    want = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", pki / "soon.crt"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    (end_s,) = x509.ends_s((pki / "soon.crt").read_text())
    assert end_s == ssl.cert_time_to_seconds(want.stdout.strip().partition("=")[2])


def test_a_password_in_plain_text_is_warned_of() -> None:
    now = measure_mark()
    assert "plain text" in credentials.warnings(BrokerConfig(host="mqtt.example", username="box"), now)[0]
    for harmless in ({"host": "127.0.0.1"}, {"host": "localhost"}, {"host": "mqtt.example", "tls": True}):
        assert not credentials.warnings(BrokerConfig(username="box", **harmless), now)


def test_tls_1_1_is_not_spoken(pki: Path) -> None:
    context = credentials.tls_context(BrokerConfig(tls=True, ca_file=f"{pki}/ca.crt"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2 and context.check_hostname


def test_no_secret_is_in_the_log_of_a_connection_that_fails(
    mosquitto: Start, tmp_path: Path, start_uplink: MakeUplink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "secret"
    plain = mosquitto("allow_anonymous false")
    for held in (b"hunter2-kept-to-itself\n", b"hunter2-kept-to-itself\xff"):
        secret.write_bytes(held)
        secret.chmod(0o600)
        error = first_error(start_uplink, plain.config(username="box", password_file=str(secret)))
        assert "hunter2" not in f"{error!r}{error}{caplog.text}" and "connect" in caplog.text
    key = tmp_path / "key"
    key.write_text("-----BEGIN PRIVATE KEY-----\nhunter2hunter2hunter2aa\n-----END PRIVATE KEY-----\n")
    key.chmod(0o600)
    config = plain.config(tls=True, cert_file=str(key), key_file=str(key))
    error = first_error(start_uplink, config)
    assert "hunter2" not in f"{error}{caplog.text}"


def test_an_authority_that_is_not_trusted(broker: Mosquitto, pki: Path, start_uplink: MakeUplink) -> None:
    error = first_error(start_uplink, broker.config(tls=True, ca_file=f"{pki}/other.crt"))
    assert "certificate is refused" in error.got and "ca_file" in error.remedy


def test_a_certificate_for_another_name(broker: Mosquitto, pki: Path, start_uplink: MakeUplink) -> None:
    error = first_error(start_uplink, broker.config(host="localhost", tls=True, ca_file=f"{pki}/ca.crt"))
    assert "localhost" in error.expected


def test_plain_text_at_a_tls_port_and_the_other_way_round(
    broker: Mosquitto, start_uplink: MakeUplink
) -> None:
    assert "tls under [broker]" in first_error(start_uplink, broker.config()).remedy


def test_tls_at_a_plain_port(mosquitto: Start, start_uplink: MakeUplink) -> None:
    error = first_error(start_uplink, mosquitto().config(tls=True, connect_timeout_s=2.0))
    assert "port" in error.remedy and "8883" in error.remedy


def test_an_authority_file_that_is_not_there(broker: Mosquitto, start_uplink: MakeUplink) -> None:
    assert "No such file" in first_error(start_uplink, broker.config(tls=True, ca_file="/nowhere")).got
