"""Session: one connection to the broker, from TCP to DISCONNECT (MQTT 5.0; 3.1.1 where it must be).

Each connection has a client of its own and a clean start, so that what was not acknowledged is sent
again from the outbox and from nowhere else. The network is served by a thread of ours rather than by
paho's: an exception in it becomes the end of the session instead of a silence.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.beats import SLOW_S, Beat
from agent.errors import BrokerError
from agent.timebase import measure_mark
from agent.uplink import credentials, explain, through
from agent.uplink.ear import Ear, Heard
from agent.uplink.records_client import RecordsClient
from agent.uplink.settings import BrokerConfig
from agent.uplink.shield import Shield

DEFAULT_RECEIVE_MAXIMUM = 65_535  # MQTT 5.0, 3.2.2.3.3
JOIN_TIMEOUT_S = 5.0
# What paho may have to hold in memory at once. Far above what an order has, since mosquitto 2.0 gives the
# place of a message that it may not forward to nobody again: after a few, the ear would hear nothing more.
PACKET_MAX_BYTES = 262_144

HEARING_BYTES = 64 << 10
"""So much the kernel takes from the broker ahead of us: what answers our records stands behind it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the uplink's own."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What the broker allows on this connection."""

    receive_maximum: int = DEFAULT_RECEIVE_MAXIMUM
    packet_max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The broker's word on one message: `token` is what `publish` was given."""

    token: int
    code: int
    reason: str


class Session:
    """`on_answer`, `on_lost` and, after each turn, `on_turn` are called on the network thread: be short."""

    def __init__(
        self,
        config: BrokerConfig,
        *,
        client_id: str,
        will: Message | None,
        on_answer: Callable[[Answer], None],
        on_lost: Callable[[], None],
        on_turn: Callable[[], None] = lambda: None,
        ear: Ear | None = None,
        beat: Beat | None = None,
    ) -> None:
        self._beat = beat or Beat()
        self.limits = Limits()
        self.lost: BrokerError | None = None
        """Why the connection ended, once it has."""
        self.lost_code = 0
        """The reason code of the broker's DISCONNECT, or PROTOCOL_ERROR if it sent what is no MQTT."""
        self.hung_up = False
        """Whether the far end closed the connection without a word."""
        self._config = config
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._on_turn = on_turn
        self._lock = threading.Lock()
        self._tokens: dict[int, tuple[int, float]] = {}  # packet id -> token, when it was sent
        self._answered = threading.Event()  # CONNACK came, or the connection ended before it
        self._connected = self._closing = False
        self._thread: threading.Thread | None = None
        version = MQTTProtocolVersion.MQTTv5 if config.protocol == "5" else MQTTProtocolVersion.MQTTv311
        self._client = RecordsClient(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=version,
            clean_session=None if config.protocol == "5" else True,
            reconnect_on_failure=False,
            manual_ack=ear is not None,
        )
        self._ear = ear
        self._shield = None if ear is None else Shield(self._client, ear, self._subscribe)
        if ear is not None:
            self._client.on_message = self._heard
            self._client.on_subscribe = self._subscribed
        self._ledger = _Ledger()
        ledger = logging.Logger("paho", logging.ERROR)  # of this client alone
        ledger.addHandler(self._ledger)
        self._client.enable_logger(ledger)
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._client.on_connect = self._connack
        self._client.on_disconnect = self._disconnected
        self._client.on_puback = self._published
        # Its presence tells paho that another thread writes to the socket (see Client._packet_queue).
        self._client.on_socket_register_write = _leave_it_to_the_network_thread
        self._client.on_socket_open = _send_at_once if ear is None else _hear_little

    def open(self) -> None:
        """Connect; returns when the broker has let us in. Raises BrokerError."""
        config, client = self._config, self._client
        self._prepare()
        client.connect_timeout = config.connect_timeout_s
        client.through = through.way_to(config)
        client.max_inflight_messages_set(0)  # the window is ours
        try:
            client.connect(
                config.host, config.port, keepalive=config.keepalive_s, properties=self._receive_limits()
            )
        except (OSError, ValueError) as error:
            raise explain.connection_error(config, error) from error
        self._thread = threading.Thread(target=self._serve, name="uplink-network", daemon=True)
        self._thread.start()
        in_time = self._answered.wait(config.connect_timeout_s)
        with self._lock:
            lost, connected = self.lost, self._connected
        if connected:
            return
        self.abort()
        if lost is not None:
            raise lost
        if not in_time and not client.first:
            raise explain.connection_error(config, TimeoutError())
        raise self._not_let_in()

    def publish(self, token: int, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a message at QoS 1; `on_answer` will be called with `token`, unless the session ends."""
        self.publish_all([(token, topic, payload)], retain=retain)

    def publish_all(self, messages: Sequence[tuple[int, str, bytes]], *, retain: bool = False) -> None:
        """Send messages, each with its token, in this order."""
        with self._lock:  # from several threads; before they are sent: answers come by another one
            now_s = time.monotonic()
            packets = []
            for token, topic, payload in messages:
                packet_id = self._client.reserve()
                self._tokens[packet_id] = (token, now_s)
                packets.append((packet_id, topic, payload))
            self._client.send(packets, retain=retain)

    def nudge(self) -> None:
        """Have `on_turn` called soon. From any thread; never waits."""
        self._client.nudge()

    def oldest_sent_s(self) -> float | None:
        """Return when (monotonic) the oldest message was sent that is not answered."""
        with self._lock:
            # Packet ids are answered nearly in order and a dict keeps its order: the first is the oldest.
            return next((sent_s for _, sent_s in self._tokens.values()), None)

    def abort(self, why: BrokerError | None = None) -> None:
        """End the connection without a word: the broker then publishes the last will."""
        if why is not None:
            self._end(why)
        self._closing = True
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes the network thread; close() alone would not
        self._join()

    def close(self) -> None:
        """Say goodbye (no last will) and end the connection."""
        self._closing = True
        self._client.disconnect()
        self._join()

    # -- on the network thread -------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            result = MQTTErrorCode.MQTT_ERR_SUCCESS
            while result == MQTTErrorCode.MQTT_ERR_SUCCESS and self.lost is None:
                self._beat(SLOW_S)  # answers are noted in the outbox, and a card may be slow
                rest_s = min(max(1.0, self._config.keepalive_s / 4), self._beat.rest_s)
                result = self._client.turn(rest_s)
                if self._connected and not self._closing:
                    _confirm_at_once(self._client.socket())
                    self._take_turn()
                    if self._shield is not None:
                        self._shield.look()
            why = mqtt.error_string(result)
        except Exception as error:  # whatever the far end made paho trip over
            why = f"it sent what is no MQTT ({type(error).__name__}: {error})"
            self.lost_code = explain.PROTOCOL_ERROR
        if not self._closing:
            was_let_in = self._connected or not self._client.first
            lost = explain.lost_connection(self._config, why.rstrip("."))
            self._end(lost if was_let_in else self._not_let_in())
        self._beat.end()
        self._answered.set()

    def _take_turn(self) -> None:
        try:
            self._on_turn()
        except Exception as error:  # ours, and no fault of the far end's
            _log.exception("uplink: unforeseen error")
            self._end(explain.connection_error(self._config, error))

    def _connack(
        self, _client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, props: Properties | None
    ) -> None:
        if code.is_failure:
            self._end(explain.refused_connection(self._config, code.value, str(code), _elsewhere(props)))
            return
        self.limits = Limits(
            receive_maximum=getattr(props, "ReceiveMaximum", DEFAULT_RECEIVE_MAXIMUM),
            packet_max_bytes=getattr(props, "MaximumPacketSize", None),
        )
        if getattr(props, "MaximumQoS", 2) < 1:
            self._end(
                BrokerError(
                    f"connecting to the broker {self._config.address}",
                    got="it offers QoS 0 only",
                    expected="QoS 1, which acknowledges each record",
                    remedy="Allow QoS 1 on the broker, or choose another broker.",
                )
            )
            return
        self._connected = True
        if self._ear is not None:
            self._subscribe(self._ear)
        self._answered.set()

    def _subscribe(self, ear: Ear) -> None:
        if self._config.protocol == "5":  # what was retained is old: it need not even come
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            self._client.subscribe([(topic, options) for topic in ear.topics])
        else:
            self._client.subscribe([(topic, 1) for topic in ear.topics])

    def _subscribed(
        self, _client: mqtt.Client, _data: Any, _mid: int, codes: list[ReasonCode], _p: Properties | None
    ) -> None:
        if self._ear is not None and (refused := [code for code in codes if code.is_failure]):
            topics = ", ".join(self._ear.topics)
            _log.warning("uplink: %s", explain.not_allowed(self._config, "read", topics, str(refused[0])))

    def _heard(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if self._ear is not None:
            heard = Heard(message.topic, bytes(message.payload), message.qos, message.retain)
            self._ear.hear(heard, functools.partial(client.ack, message.mid, message.qos))

    def _disconnected(
        self, _client: mqtt.Client, _data: Any, flags: Any, code: ReasonCode, props: Properties | None
    ) -> None:
        if self._closing:
            return
        said = flags.is_disconnect_packet_from_server
        if not self._connected:
            refused = explain.refused_connection(self._config, code.value, str(code), _elsewhere(props))
            self._end(refused if said else self._not_let_in())
            return
        if said or code.value == explain.PROTOCOL_ERROR:
            self.lost_code = code.value
        elif code.value == explain.FAILURE and self._ledger.trouble is None:
            self.hung_up = True
        why = str(code).lower()
        self._end(explain.lost_connection(self._config, why, code.value if said else 0, _elsewhere(props)))

    def _published(self, packet_id: int, code: int, reason: str) -> None:
        with self._lock:
            token, _ = self._tokens.pop(packet_id)
        self._on_answer(Answer(token, code, reason))

    # -- inside ----------------------------------------------------------------------------------

    def _not_let_in(self) -> BrokerError:
        if self._client.first:
            return explain.no_mqtt(self._config, self._client.first)
        return explain.closed_before_answer(self._config, self._ledger.trouble)

    def _end(self, why: BrokerError) -> None:
        with self._lock:
            if self.lost is not None:
                return
            self.lost = why
        self._answered.set()
        self._on_lost()

    def _join(self) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_TIMEOUT_S)
        # The client closes its socket when it goes; the callbacks would keep it from going.
        client = self._client
        client.on_connect = client.on_disconnect = None
        client.on_puback = lambda *_: None
        if self._ear is not None:
            client.on_message = client.on_subscribe = None

    def _receive_limits(self) -> Properties | None:
        """Return what the broker may send us: it then holds back itself what is too much or too large."""
        if self._ear is None or self._config.protocol != "5":
            return None
        limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        limits.ReceiveMaximum = self._ear.most_at_once
        limits.MaximumPacketSize = PACKET_MAX_BYTES
        return limits

    def _prepare(self) -> None:
        config = self._config
        if config.username:
            self._client.username_pw_set(config.username, credentials.password(config))
        if config.tls:
            credentials.check_own(config, measure_mark())
            self._client.tls_set_context(credentials.tls_context(config))


class _Ledger(logging.Handler):
    """Keeps what paho says of the socket's last trouble and else swallows: TLS alerts come that way only."""

    trouble: OSError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line of paho's log."""
        for part in record.args or ():
            if isinstance(part, OSError):
                self.trouble = part


def _elsewhere(props: Properties | None) -> str:
    """Return where the broker sends us to, if it says so (MQTT 5.0, 4.11)."""
    return str(getattr(props, "ServerReference", ""))


def _send_at_once(_client: mqtt.Client, _data: Any, sock: Any) -> None:
    """Let no alarm wait until the far end has confirmed what was sent before it (Nagle, RFC 896)."""
    with contextlib.suppress(OSError):  # a socket that is no TCP, or gone already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _hear_little(client: mqtt.Client, data: Any, sock: Any) -> None:
    """Let the kernel take little ahead of us; and as above."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HEARING_BYTES)
    _send_at_once(client, data, sock)


def _confirm_at_once(sock: Any) -> None:
    """Let no PUBACK wait at the broker until we have confirmed the one before (delayed ACK, RFC 1122).

    Mosquitto leaves Nagle's algorithm on: with few records in flight each round would take 40 ms. The kernel
    forgets it soon, so it is said in every turn (tcp(7)).
    """
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _leave_it_to_the_network_thread(_client: mqtt.Client, _data: Any, _sock: Any) -> None:
    """Do nothing: `Session._serve` is woken by paho's own socket pair."""
