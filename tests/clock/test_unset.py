"""What else asks for the date, while nobody knows it: TLS, and what is said of certificates that run out."""

from __future__ import annotations

import json
import shutil
import ssl
import time
from pathlib import Path

import pytest

from agent.cli import main
from agent.uplink import BrokerConfig, explain
from agent.uplink.credentials import Expiry
from tests.clock.kernel import Kernel
from tests.clock.van import Ride
from tests.uplink.authority import make_authority, make_certificate
from tests.uplink.brokers import Mosquitto

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@needs_openssl
@pytest.mark.parametrize("is_set", [False, True])
def test_a_broker_whose_certificate_cannot_be_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_set: bool
) -> None:
    """In 1970 a good certificate is not valid yet; the words must not send anybody to the broker."""
    make_authority(tmp_path, "ca")
    make_certificate(tmp_path, "late", days=-2)
    kernel = Kernel(monkeypatch, offset_ns=time.time_ns() if is_set else 0)
    lines = [f"{key} {tmp_path}/{name}" for key, name in (("certfile", "late.crt"), ("keyfile", "late.key"))]
    broker = Mosquitto(tmp_path, *lines, f"cafile {tmp_path}/ca.crt")
    try:
        with Ride(tmp_path, kernel, broker.config(tls=True, ca_file=f"{tmp_path}/ca.crt")) as ride:
            ride.wait_for(lambda: ride.service.uplink.last_error is not None)
            error = ride.service.uplink.last_error
    finally:
        broker.kill()
    assert error is not None and ("never set (1970-01-01)" in error.got) is not is_set, str(error)
    assert ("time server" in error.remedy) is not is_set, str(error)


@pytest.mark.parametrize(("code", "of_the_date"), [(9, True), (10, True), (18, False), (20, False)])
def test_only_what_the_date_decides_is_laid_to_the_clock(
    monkeypatch: pytest.MonkeyPatch, code: int, of_the_date: bool
) -> None:
    Kernel(monkeypatch, offset_ns=0)
    refusal = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refusal.verify_code, refusal.verify_message = code, "words of OpenSSL"
    got = explain.connection_error(BrokerConfig(), refusal).got
    assert ("never set" in got) is of_the_date, got


@needs_openssl
def test_what_runs_out_is_said_as_soon_as_the_date_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A Pi that boots in 1970 each morning would otherwise never say it: it looks once a day."""
    make_authority(tmp_path, "ca")
    make_certificate(tmp_path, "soon", days=7, common_name="box")
    cert, key = f"{tmp_path}/soon.crt", f"{tmp_path}/soon.key"
    kernel = Kernel(monkeypatch, offset_ns=0)
    kernel.true_ns = time.time_ns()
    with Ride(tmp_path, kernel, BrokerConfig(port=1, tls=True, cert_file=cert, key_file=key)) as ride:
        ride.drive(3)
        assert "expires in" not in caplog.text
        kernel.synchronise()
        ride.drive(3)
    assert caplog.text.count("soon.crt) expires in 7 days") == 1, caplog.text


def test_the_last_day_of_a_certificate_that_outlives_us() -> None:
    assert Expiry("ca_file", "ca.crt", 4_102_444_800.0).day == "2100-01-01 00:00 UTC"


def test_nothing_is_signed_in_1970(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A certificate of that day would have run out by now, and be the oldest of all."""
    Kernel(monkeypatch, offset_ns=0)
    assert main(["calibrate", "accel", "--virtual", "--yes", "--json", "--out", str(tmp_path)]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["got"] == "a clock that was never set" and "date" in error["remedy"], error
    assert not list(tmp_path.iterdir())
