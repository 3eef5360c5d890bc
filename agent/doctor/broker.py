"""The broker, step by step as the agent goes: name, TCP, TLS, and being let in by MQTT.

It is spoken to under a client id of its own: with the agent's, the broker would close the agent's
connection. Nothing is published, and no last will is left.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.blocks import NS_PER_S
from agent.config import Config
from agent.doctor.finding import Area, Finding, Patient, State, from_error
from agent.errors import BrokerError, OutboxError
from agent.outbox.inspect import iter_set_aside
from agent.timebase import TimeQuality, measure_mark
from agent.uplink import BrokerConfig, credentials, explain
from agent.uplink.session import Session

LIMIT_S = 5.0  # for each step; a person waits
SLOW_S = 1.0


def check(patient: Patient) -> Iterator[Finding]:
    """Go to the broker as far as it lets us."""
    if patient.config is None:
        yield Finding(Area.BROKER, State.SKIPPED, "broker", patient.why_no_config)
        return
    broker = patient.config.broker
    broker = msgspec.structs.replace(broker, connect_timeout_s=min(broker.connect_timeout_s, LIMIT_S))
    for words in credentials.warnings(broker, measure_mark()):
        remedy = "docs/operators.md, Security, has it in ten lines."
        yield Finding(Area.BROKER, State.WARNING, "credentials", words, remedy)
    try:
        yield _reach(broker)
        if broker.tls:
            credentials.check_own(broker, measure_mark())
            yield _greet(broker)
        yield _enter(patient.config, broker)
    except BrokerError as error:
        yield from_error(Area.BROKER, error)
    yield from _refused(Path(patient.config.outbox.directory))


def _refused(outbox: Path) -> Iterator[Finding]:
    """Tell of records that the broker refused: its access list is asked by publishing alone, so not by us."""
    try:
        refused = list(iter_set_aside(outbox))
    except OutboxError:
        return  # not there yet: the disk's to tell
    if refused:
        reasons = Counter(str(one["reason"]) for one in refused)
        words = ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common(3))
        yield Finding(
            Area.BROKER,
            State.WARNING,
            "refused records",
            f"{len(refused)} refused by the broker and set aside, the last at {refused[-1]['t']}: {words}",
            "Where it is not authorised, mend the broker's access list: docs/operators.md, Security, has one "
            "that works. `cargobox outbox list` shows them; the file is set-aside.log in the outbox.",
            {"set_aside": len(refused)},
        )


def _reach(broker: BrokerConfig) -> Finding:
    begin_s = time.perf_counter()
    try:
        with socket.create_connection((broker.host, broker.port), broker.connect_timeout_s) as sock:
            address = str(sock.getpeername()[0])
    except OSError as error:
        raise explain.connection_error(broker, error) from error
    took_s = time.perf_counter() - begin_s
    slow = took_s > SLOW_S
    return Finding(
        Area.BROKER,
        State.WARNING if slow else State.OK,
        broker.address,
        f"reached at {address} in {took_s * 1000:.0f} ms",
        "The network is slow: look at the signal of mobile network or Wi-Fi." if slow else "",
        {"address": address, "tcp_ms": round(took_s * 1000, 1)},
    )


def _greet(broker: BrokerConfig) -> Finding:
    """Look at the certificate before MQTT does: how long it is good for."""
    context = credentials.tls_context(broker)
    begin_s = time.perf_counter()
    try:
        with (
            socket.create_connection((broker.host, broker.port), broker.connect_timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=broker.host) as sock,
        ):
            took_s = time.perf_counter() - begin_s
            version = sock.version() or "TLS"
            certificate = sock.getpeercert() or {}
    except OSError as error:
        raise explain.connection_error(broker, error) from error
    figures: dict[str, object] = {"tls_version": version, "tls_ms": round(took_s * 1000, 1)}
    until = certificate.get("notAfter")
    mark = measure_mark()
    if not isinstance(until, str) or mark.quality is TimeQuality.UNSET:  # then there is no now to count from
        return Finding(Area.BROKER, State.OK, "TLS", f"{version}, in {took_s * 1000:.0f} ms", "", figures)
    now_s = (mark.box_ns + mark.offset_ns) / NS_PER_S
    left_days = (ssl.cert_time_to_seconds(until) - now_s) / credentials.DAY_S
    figures["certificate_days_left"] = round(left_days, 1)
    soon = left_days < credentials.SOON_DAYS
    return Finding(
        Area.BROKER,
        State.WARNING if soon else State.OK,
        "TLS",
        f"{version}, certificate good for {left_days:.0f} more days",
        "Tell whoever runs the broker; after that day no box connects." if soon else "",
        figures,
    )


def _enter(config: Config, broker: BrokerConfig) -> Finding:
    client_id = f"{broker.client_id or f'cargobox-{config.box.id}'}-doctor"
    session = Session(broker, client_id=client_id, will=None, on_answer=lambda _: None, on_lost=lambda: None)
    begin_s = time.perf_counter()
    session.open()
    took_s = time.perf_counter() - begin_s
    limits = session.limits
    session.close()
    if broker.username:
        who = f"as {broker.username}"
    else:
        who = "by the box's certificate" if broker.tls and broker.cert_file else "without a user name"
    return Finding(
        Area.BROKER,
        State.OK,
        "MQTT",
        f"let in {who} in {took_s * 1000:.0f} ms (MQTT {broker.protocol})",
        "",
        {
            "connack_ms": round(took_s * 1000, 1),
            "protocol": broker.protocol,
            "client_id": client_id,
            "receive_maximum": limits.receive_maximum,
            "packet_max_bytes": limits.packet_max_bytes,
        },
    )
