"""TLS: what is trusted connects, what is not is told in four parts, and never in plain text."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.outbox import Outbox
from agent.records import Kind
from agent.uplink import Uplink
from tests.outbox.samples import record
from tests.uplink.brokers import PATIENCE_S, Mosquitto
from tests.uplink.test_refusal import first_error

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]

MakeUplink = Callable[..., Uplink]
Start = Callable[..., Mosquitto]


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities; the first has signed a certificate for the broker and one for the box."""
    home = tmp_path_factory.mktemp("pki")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        openssl(home, "req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2",
                "-subj", f"/CN={name}")  # fmt: skip
    (home / "san").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("broker", "box"):
        openssl(home, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(home, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", f"{name}.crt", "-days", "2", "-extfile", "san")  # fmt: skip
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
