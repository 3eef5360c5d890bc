"""Records and connections that the broker refuses: set aside or told in four parts, never a loop."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BrokerError
from agent.outbox import Outbox
from agent.outbox.inspect import iter_set_aside
from agent.records import Kind, Record
from agent.uplink import BrokerConfig, Uplink
from agent.uplink.sender import Uplink as _Uplink
from tests.outbox.samples import BOOT, record, records
from tests.uplink.brokers import (
    HOST,
    PATIENCE_S,
    Mosquitto,
    ScriptedBroker,
    Subscriber,
    free_port,
    silent_listener,
)
from tests.uplink.watch import Watch

MakeUplink = Callable[..., Uplink]
Start = Callable[..., Mosquitto]
Script = Callable[..., ScriptedBroker]
Subscribe = Callable[..., Subscriber]


def quick(port: int, **more: Any) -> BrokerConfig:
    return BrokerConfig(host=HOST, port=port, reconnect_min_s=0.01, reconnect_max_s=0.02, **more)


def reasons(tmp_path: Path) -> dict[int, str]:
    return {d["document"]["seq"]: d["reason"] for d in iter_set_aside(tmp_path / "outbox")}


# -- records -----------------------------------------------------------------------------------------


@pytest.mark.broker
def test_a_topic_that_is_not_allowed(
    mosquitto: Start,
    subscribe: Subscribe,
    outbox: Outbox,
    start_uplink: MakeUplink,
    tmp_path: Path,
) -> None:
    (tmp_path / "acl").write_text(
        "topic read cargobox/#\n"
        "topic write cargobox/1/fleet/box/features\n"
        "topic write cargobox/1/fleet/box/status\n"
    )
    (tmp_path / "acl").chmod(0o600)
    broker = mosquitto(f"acl_file {tmp_path}/acl")
    subscriber = subscribe(broker)
    outbox.put([record(0), record(1, Kind.ALARM), record(2)])
    uplink = start_uplink(broker.config())
    uplink.stop(drain_s=PATIENCE_S)
    subscriber.wait(lambda: sorted(subscriber.seqs()) == [0, 2])
    assert outbox.waiting() == 0 and uplink.stats().refused == 1
    assert "Not authorized (0x87)" in reasons(tmp_path)[1]


@pytest.mark.broker
def test_a_record_larger_than_the_broker_says_it_takes(
    mosquitto: Start, outbox: Outbox, start_uplink: MakeUplink, tmp_path: Path
) -> None:
    broker = mosquitto("max_packet_size 1000")
    outbox.put([record(0), record(1, filler="x" * 2000), record(2)])
    uplink = start_uplink(broker.config())
    uplink.stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0 and uplink.stats().acknowledged == 2
    assert "the broker takes at most 1000" in reasons(tmp_path)[1]


@pytest.mark.broker
def test_a_record_larger_than_the_broker_takes_without_saying(
    mosquitto: Start, subscribe: Subscribe, outbox: Outbox, start_uplink: MakeUplink, tmp_path: Path
) -> None:
    """Mosquitto 2.0 answers with a code that PUBACK does not have: it says which record it means."""
    broker = mosquitto("message_size_limit 1000")
    subscribe(broker)
    outbox.put([record(0), record(1, filler="x" * 2000), record(2)])
    watch = Watch()
    uplink = start_uplink(broker.config(unheard_wait_s=0.0), on_change=watch)
    watch.connected()
    uplink.stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0 and list(reasons(tmp_path)) == [1]
    assert "large (0x95)" in reasons(tmp_path)[1] and uplink.stats().connections == 1


def test_a_topic_that_mqtt_does_not_know(
    scripted: Script, outbox: Outbox, start_uplink: MakeUplink, tmp_path: Path
) -> None:
    broker = scripted(on_publish=lambda b, packet, _: b.puback(packet))
    outbox.put([Record(Kind.ALARM, BOOT, 0, "a/#", b'{"seq":0}'), record(1)])
    start_uplink(BrokerConfig(host=HOST, port=broker.port)).stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0
    assert "MQTT cannot carry it" in reasons(tmp_path)[0]


def test_a_full_quota_is_waited_for(scripted: Script, outbox: Outbox, start_uplink: MakeUplink) -> None:
    codes = iter([0x97, 0x97])
    broker = scripted(on_publish=lambda b, packet, _: b.puback(packet, next(codes, 0)))
    outbox.put([record(0, Kind.ALARM)])
    uplink = start_uplink(BrokerConfig(host=HOST, port=broker.port, quota_pause_s=0.05))
    uplink.stop(drain_s=PATIENCE_S)
    stats = uplink.stats()
    assert (outbox.waiting(), stats.published, stats.acknowledged, stats.refused) == (0, 3, 1, 0)


@pytest.mark.parametrize("code", [0x95, 0x87])
def test_a_broker_that_hangs_up_on_one_record(
    scripted: Script, outbox: Outbox, start_uplink: MakeUplink, tmp_path: Path, code: int
) -> None:
    arrived: set[bytes] = set()
    others_arrived = threading.Event()

    def answer(broker: ScriptedBroker, packet: int, payload: bytes) -> None:
        if b'"seq":7,' in payload:
            broker.disconnect(code)
            return
        broker.puback(packet)
        arrived.add(payload)
        if len(arrived) == 19:
            others_arrived.set()

    broker = scripted(on_publish=answer)
    outbox.put([record(seq, filler="x" * (300 if seq == 7 else 1)) for seq in range(20)])
    uplink = start_uplink(quick(broker.port))
    assert others_arrived.wait(PATIENCE_S)
    uplink.stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0
    assert list(reasons(tmp_path)) == [7], "that one and no other"


def test_a_broken_line_never_blames_a_record(
    scripted: Script, outbox: Outbox, start_uplink: MakeUplink, tmp_path: Path
) -> None:
    broker = scripted(on_publish=lambda b, *_: b.hang_up())
    outbox.put(records(range(3)))
    watch = Watch()
    start_uplink(quick(broker.port), on_change=watch)
    watch.error(8)
    assert outbox.waiting() == 3 and reasons(tmp_path) == {}


def test_nothing_leaves_the_outbox_without_a_puback(
    scripted: Script, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    broker = scripted()
    outbox.put(records(range(3)))
    watch = Watch()
    config = quick(broker.port, acknowledge_timeout_s=0.3)
    start_uplink(config, on_change=watch)
    first = [broker.next_published()[1] for _ in range(3)]
    assert "no acknowledgement" in str(watch.error())
    assert outbox.waiting() == 3
    assert [broker.next_published()[1] for _ in range(3)] == first, "sent again after connecting anew"


def test_the_window_keeps_places_for_alarms(
    scripted: Script, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    broker = scripted(connack=b"\x00\x00\x03\x21\x00\x08")  # Receive Maximum 8
    outbox.put(records(range(20)))
    outbox.flush()
    uplink = start_uplink(BrokerConfig(host=HOST, port=broker.port))
    sent = [broker.next_published() for _ in range(6)]
    assert [b'"seq":19,' in sent[0][1], b'"seq":0,' in sent[1][1]] == [True, True], "the newest first"
    outbox.put(records(range(20, 24), Kind.ALARM))
    alarms = [broker.next_published() for _ in range(2)]
    assert [b'"seq":20,' in alarms[0][1], b'"seq":21,' in alarms[1][1]] == [True, True]
    assert broker.published.empty() and uplink.stats().inflight == 8, "and not one more than allowed"
    broker.puback(sent[0][0])
    assert b'"seq":22,' in broker.next_published()[1]
    for packet, _ in [*sent[1:], *alarms]:
        broker.puback(packet)
    assert b'"seq":23,' in broker.next_published()[1], "alarms before the backlog again"
    assert b'"seq":5,' in broker.next_published()[1]


# -- connections -------------------------------------------------------------------------------------


def first_error(start_uplink: MakeUplink, config: BrokerConfig) -> BrokerError:
    watch = Watch()
    uplink: _Uplink = start_uplink(config, on_change=watch)
    error = watch.error()
    assert all((error.doing, error.got, error.expected, error.remedy))
    assert str(error) == uplink.stats().last_error
    return error


def test_a_closed_port(start_uplink: MakeUplink) -> None:
    error = first_error(start_uplink, BrokerConfig(host=HOST, port=free_port()))
    assert "connection refused" in error.got


def test_a_listener_that_never_answers(start_uplink: MakeUplink) -> None:
    with silent_listener() as port:
        error = first_error(start_uplink, BrokerConfig(host=HOST, port=port, connect_timeout_s=0.3))
    assert "no answer within 0.3 s" in error.got


def test_a_name_without_an_address(start_uplink: MakeUplink) -> None:
    error = first_error(start_uplink, BrokerConfig(host="no-such-host.invalid"))
    assert "no-such-host.invalid" in error.got and "DNS" in error.expected


@pytest.mark.parametrize(
    ("answer", "what", "hint"),
    [
        (b"HTTP/1.1 400", "looks like HTTP", "web server"),  # and no end: it keeps the line
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "looks like HTTP", "web server"),
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n" + b"<html>" * 50, "looks like HTTP", "web server"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "looks like TLS", "tls = true"),
        (b"AMQP\x00\x00\x09\x01", "looks like AMQP", "port"),
        (b"220 mail\r\n", "no MQTT (32 32 30 20", "port"),
        (b"\x20\x05\x00\x00\x02\x21", "a CONNACK that cannot be read", "3.1.1"),
        (b"\xe0\x01\x97", "it refuses: quota", "quota is used up"),
        (b"\x20\x04\x00\x00\x01\xff", "a CONNACK that cannot be read", "3.1.1"),
    ],
)
def test_something_that_is_no_broker(start_uplink: MakeUplink, answer: bytes, what: str, hint: str) -> None:
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)
                if answer != b"HTTP/1.1 400":
                    connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)

        web_server = threading.Thread(target=serve, daemon=True)
        web_server.start()
        port = int(listener.getsockname()[1])
        error = first_error(start_uplink, BrokerConfig(host=HOST, port=port, connect_timeout_s=1.5))
        web_server.join(PATIENCE_S)
    assert what in error.got and hint in error.remedy, str(error)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\xe0\x01\x8b", "shutting down"),
        (b"\xe0\x01\x97", "quota"),
        (b"\xe0\x01\x9c", "change host"),
        (b"\xe0\x0a\x9d\x08\x1c\x00\x05other", "it names 'other' instead"),
    ],
)
def test_a_goodbye_has_the_remedy_of_its_reason(
    scripted: Script, start_uplink: MakeUplink, answer: bytes, words: str
) -> None:
    broker = scripted()
    watch = Watch()
    start_uplink(BrokerConfig(host=HOST, port=broker.port), on_change=watch)
    watch.connected()
    broker.say(answer)
    error = watch.error()
    assert words in str(error) and f"0x{answer[2]:02X}" in error.got, str(error)
    assert "client_id" not in error.remedy, "there is no second agent"


def test_a_broker_that_sends_elsewhere_at_once(scripted: Script, start_uplink: MakeUplink) -> None:
    broker = scripted(connack=b"\x00\x9d\x08\x1c\x00\x05other")
    error = first_error(start_uplink, BrokerConfig(host=HOST, port=broker.port))
    assert "it names 'other' instead" in error.got and "change host" in error.remedy


def test_a_broker_that_cannot_do_mqtt_5(scripted: Script, start_uplink: MakeUplink) -> None:
    broker = scripted(connack=b"\x00\x01")  # as MQTT 3.1.1 says: unacceptable protocol version
    error = first_error(start_uplink, BrokerConfig(host=HOST, port=broker.port))
    assert "3.1.1" in error.remedy


def test_a_broker_without_qos_1(scripted: Script, start_uplink: MakeUplink) -> None:
    broker = scripted(connack=b"\x00\x00\x02\x24\x00")  # Maximum QoS 0
    assert "QoS 0 only" in first_error(start_uplink, BrokerConfig(host=HOST, port=broker.port)).got


@pytest.mark.broker
def test_a_wrong_password(
    mosquitto: Start, subscribe: Subscribe, start_uplink: MakeUplink, outbox: Outbox, tmp_path: Path
) -> None:
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(tmp_path / "passwords"), "box", "right"], check=True)
    broker = mosquitto("allow_anonymous false", f"password_file {tmp_path}/passwords")
    subscribe(broker, username="box", password="right")
    (tmp_path / "secret").write_text("wrong\n")
    (tmp_path / "secret").chmod(0o600)
    secret = str(tmp_path / "secret")
    config = broker.config(username="box", password_file=secret, unheard_wait_s=0.0)
    watch = Watch()
    uplink = start_uplink(config, on_change=watch)
    error = watch.error()
    assert "not authorized" in error.got and "password_file" in error.remedy
    assert "wrong" not in str(error), "a secret is never said"
    (tmp_path / "secret").write_text("right\n")
    outbox.put([record(0, Kind.ALARM)])
    watch.connected()  # the file is read anew at each attempt
    uplink.stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0


def test_a_password_file_that_is_not_there(start_uplink: MakeUplink, tmp_path: Path) -> None:
    config = BrokerConfig(host=HOST, username="box", password_file=str(tmp_path / "none"))
    assert "No such file" in first_error(start_uplink, config).got
