"""From a verdict to the certificate in its folder, and the lines for the configuration."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

import agent
from agent.config import Config
from agent.streams import StreamSpec
from calibration.certificate import Certificate, SessionData, instant_ns, read_certificate
from calibration.errors import CertificateError
from calibration.session import digest_of, read_session
from calibration.store import CertificateStore

USUAL_FOLDER = "certificates"
# A session is too short to show more than one temperature. In so much around it a MEMS chip drifts by 1.2 mg
# (ADXL345, typical) and a cell's zero by 0.14 v_min (OIML R 60): less than the certificate owns to anyway.
SPEAKS_FOR_DEGC = 1.0

VALID_DAYS = 365  # how long a certificate holds where nobody says otherwise


@dataclass(frozen=True, slots=True)
class Signature:
    """Who made it, and for how many days it holds (0: for ever)."""

    by: str = ""
    valid_days: int = VALID_DAYS


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate on the card. ``lines``: what the configuration must still say for it to be used."""

    path: Path
    certificate: Certificate
    lines: tuple[str, ...]


def now_text() -> str:
    """Return the wall time as certificates and sessions have it: RFC 3339, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def folder_of(out: Path | None, config_path: Path | None) -> Path:
    """Return where certificates are kept: as asked, or else beside the configuration, or else here."""
    if out is not None:
        return out
    return (config_path.parent if config_path is not None else Path()) / USUAL_FOLDER


def signed(
    certificate: Certificate, spec: StreamSpec, signature: Signature, session: Path | None
) -> Certificate:
    """Return the certificate with all that the mathematics cannot know.

    One that is new, and has no temperature term, holds a little around the temperatures of its session. One
    that adds a temperature term to another holds no longer than that: gain and bias are as old as they were.
    So does one of an old session that is fitted again: its days count from when the session was begun.
    """
    low, high = certificate.low_degc, certificate.high_degc
    if certificate.temperature is None and not certificate.software and low is not None and high is not None:
        low, high = round(low - SPEAKS_FOR_DEGC, 1), round(high + SPEAKS_FOR_DEGC, 1)
    data, begun = certificate.data, datetime.now(UTC)
    if session is not None:
        read = read_session(session)
        begun = min(begun, _begun(read.head.begun_at) or begun)  # a clock that ran ahead gives no more time
        data = SessionData(file=session.name, sha256=digest_of(session), samples=read.samples)
    day = begun + timedelta(days=signature.valid_days)
    until = [day.strftime("%Y-%m-%d")] if signature.valid_days else []
    until += [certificate.valid_until] if certificate.valid_until else []
    return msgspec.structs.replace(
        certificate,
        stream=spec.name,
        sensor=spec.sensor,
        unit=spec.unit.value,
        low_degc=low,
        high_degc=high,
        made_at=now_text(),
        made_by=signature.by,
        valid_until=min(until, key=_instant, default=""),
        software=f"cargobox {agent.__version__}",
        data=data,
    )


def _begun(text: str) -> datetime | None:
    ns = instant_ns(text)
    return None if ns is None else datetime.fromtimestamp(ns / 1e9, UTC)


def _instant(until: str) -> float:
    instant = instant_ns(until, end_of_day=True)
    return math.inf if instant is None else instant


def keep(
    certificate: Certificate, session: Path | None, folder: Path, config: Config, config_path: Path | None
) -> Kept:
    """Add the certificate to the store in `folder`. Raises CertificateError."""
    store = CertificateStore(folder)
    path = store.add(certificate, session)
    kept = read_certificate(path)
    return Kept(path, kept, _lines(config, config_path, folder, kept.stream))


def _lines(config: Config, config_path: Path | None, folder: Path, stream: str) -> tuple[str, ...]:
    """Return what ``[certificates]`` must say; nothing where it takes the new one by itself."""
    settings = config.certificates
    files = [Path(name) for name in settings.files]
    others = [file for file in files if _stream_of(file) != stream]
    if settings.folder and Path(settings.folder).resolve() == folder.resolve() and others == files:
        return ()
    base = config_path.resolve().parent if config_path is not None else None
    lines = ["[certificates]", f"folder = {json.dumps(_named(folder, base))}"]
    if others:
        lines.append(f"files = {json.dumps([_named(file, base) for file in others])}")
    return tuple(lines)


def _stream_of(path: Path) -> str | None:
    """Return the stream of a certificate that the configuration names; None where it cannot be read."""
    try:
        return read_certificate(path).stream
    except CertificateError:
        return None


def _named(path: Path, base: Path | None) -> str:
    if base is None:
        return str(path.resolve())
    relative = os.path.relpath(path.resolve(), base)
    return str(path.resolve()) if relative.startswith("..") else relative
