"""paho's client with a short way for records: many of them in one packet of bytes, and their PUBACKs read so.

paho reads each answer by four calls of the kernel and keeps a dozen objects for each message: most of the
time of a drain. What is done here is done by the packet as MQTT has it (MQTT 5.0, 3.3 and 3.4; 3.1.1
likewise); all else, and every packet that is not a plain PUBACK for a record, is paho's. It works by paho's
inner parts (`INNER`): `requirements/` fixes its version, the uplink's tests run every one of them, and a paho
that has other ones is refused when the agent starts, and not when the first record leaves.
"""

from __future__ import annotations

import functools
import inspect
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import paho.mqtt
import paho.mqtt.client as mqtt
from paho.mqtt.enums import MessageType, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import BrokerError
from agent.uplink import through

READ_BYTES = 4096
MOST_READS = 2
"""So often is read in a turn, where more has come: then it is seen to what is to be sent."""
SLICE_S, MOST_IN_SLICE = 1.0, 1000
"""More messages in such a time are a flood: no order is one of so many."""
LARGE_BYTES = 16 << 10
"""One of so many bytes counts twice, of twice as many three times, and so on."""
QOS = 0x06
FIRST_BYTES = 64
LEAST_QOS_1 = 0x02
RETAIN = 0x01
TOPIC_MAX_BYTES = 65_535  # MQTT 5.0, 1.5.4
PAYLOAD_MAX_BYTES = 268_435_455 - TOPIC_MAX_BYTES - 8  # MQTT 5.0, 1.5.5, less what stands before it
_U16 = struct.Struct("!H")
MADE_FOR = "2.2.0"
"""The version of paho that was read; others with the same inner parts are let pass."""
INNER = {
    "_create_socket_connection": ("self",),
    "_handle_pubackcomp": ("self", "cmd"),
    "_handle_publish": ("self",),
    "_mid_generate": ("self",),
    "_packet_queue": ("self", "command", "packet", "mid", "qos", "info"),
    "_sock_recv": ("self", "bufsize"),
    "loop_read": ("self", "max_packets"),
}
"""Methods of paho's client that this and `through` call or take the place of, and what they take."""
INNER_FIELDS = ("_in_packet", "_sock", "_sockpairR", "_sockpairW")


def other_parts(client: mqtt.Client) -> list[str]:
    """Return the inner parts of paho that are not what this was written for."""
    odd = [name for name in INNER_FIELDS if not hasattr(client, name)]
    for name, takes in INNER.items():
        method = getattr(mqtt.Client, name, None)
        if method is None or tuple(inspect.signature(method).parameters) != takes:
            odd.append(f"{name}()")
    return odd


def why_not(topic: str, payload: bytes) -> str:
    """Return why MQTT cannot carry a message; nothing where it can."""
    if not topic or "#" in topic or "+" in topic or "\0" in topic:
        return f"no topic to publish on: {topic!r}"
    if len(topic.encode()) > TOPIC_MAX_BYTES:
        return "its topic is longer than 65535 bytes"
    if len(payload) > PAYLOAD_MAX_BYTES:
        return f"its payload has {len(payload)} bytes"
    return ""


class RecordsClient(through.Client):
    """`on_puback(packet id, code, reason)` is called on the network thread."""

    on_puback: Callable[[int, int, str], None] = staticmethod(lambda *_: None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if odd := other_parts(self):
            raise BrokerError(
                "preparing the connection to the broker",
                got=f"paho-mqtt {paho.mqtt.__version__}, in which {', '.join(odd)} changed or went",
                expected=f"paho-mqtt {MADE_FOR}, by whose inner parts records are sent",
                remedy="In the checkout: `pip install --require-hashes -r requirements/agent.txt`.",
            )
        self._has_properties = kwargs.get("protocol") == MQTTProtocolVersion.MQTTv5
        self._ids: set[int] = set()
        self.is_deaf = False
        """Whether messages of QoS 0 are passed over, unread."""
        self.unheard = 0
        """How many were."""
        self._in_slice, self._slice_end_s = 0, 0.0
        self._reads = 0
        self._heard = b""
        self.first = b""
        """The first bytes of the far end: they tell what it is, should it be no broker."""

    def reserve(self) -> int:
        """Return a packet id for a record."""
        packet_id = self._mid_generate()
        while packet_id in self._ids:
            packet_id = self._mid_generate()
        self._ids.add(packet_id)
        return packet_id

    def send(self, messages: Sequence[tuple[int, str, bytes]], *, retain: bool = False) -> None:
        """Send messages at QoS 1: packet id, topic, payload."""
        packets = b"".join(self._packet(*message, retain) for message in messages)
        if packets and self._sock is not None:
            self._packet_queue(MessageType.PUBLISH, packets, 0, 1)

    def turn(self, timeout_s: float) -> MQTTErrorCode:
        """Send what is there to be sent, and take some of what has come; wait if there is neither."""
        code = self.loop(0.0 if self._heard else timeout_s)
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and self._heard and self._sock is not None:
            code = self.loop_read()  # select() does not know what is here already
        return code

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Take what has come, but not without end: whoever floods us holds up no record."""
        self._reads = 0
        while True:
            code = super().loop_read(max_packets)
            is_good = code == MQTTErrorCode.MQTT_ERR_SUCCESS and self._sock is not None
            if not is_good or not self._heard or self._reads >= MOST_READS:
                return code

    @property
    def is_flooded(self) -> bool:
        """Whether more is forwarded to us than anybody means."""
        return self._in_slice > MOST_IN_SLICE and time.monotonic() < self._slice_end_s

    def _handle_publish(self) -> MQTTErrorCode:
        if (now_s := time.monotonic()) >= self._slice_end_s:
            self._slice_end_s, self._in_slice = now_s + SLICE_S, 0
        self._in_slice += 1 + len(self._in_packet["packet"]) // LARGE_BYTES
        if self.is_deaf and not self._in_packet["command"] & QOS:
            self.unheard += 1
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return super()._handle_publish()

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self._heard:
            if bufsize >= READ_BYTES:
                return super()._sock_recv(bufsize)
            self._heard = super()._sock_recv(READ_BYTES)
            self._reads += 1
            if len(self.first) < FIRST_BYTES:
                self.first = (self.first + self._heard)[:FIRST_BYTES]
        part, self._heard = self._heard[:bufsize], self._heard[bufsize:]
        return part

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) < _U16.size:
            return super()._handle_pubackcomp(cmd)
        packet_id = _U16.unpack_from(packet)[0]
        if packet_id not in self._ids:
            return super()._handle_pubackcomp(cmd)
        self._ids.discard(packet_id)
        code = packet[_U16.size] if len(packet) > _U16.size else 0
        self.on_puback(packet_id, code, _reason(code) if code else "")
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _packet(self, packet_id: int, topic: str, payload: bytes, retain: bool) -> bytes:
        name = topic.encode()
        left = _U16.size + len(name) + _U16.size + self._has_properties + len(payload)
        head = bytearray([MessageType.PUBLISH | LEAST_QOS_1 | (RETAIN if retain else 0)])
        while left > 0x7F:
            head.append(left & 0x7F | 0x80)
            left >>= 7
        head.append(left)
        no_properties = b"\0" if self._has_properties else b""
        return b"".join(
            (head, _U16.pack(len(name)), name, _U16.pack(packet_id), no_properties, payload),
        )


@functools.cache
def _reason(code: int) -> str:
    for kind in (PacketTypes.PUBACK, PacketTypes.DISCONNECT):  # mosquitto 2.0 says 0x95, which PUBACK has not
        try:
            return str(ReasonCode(kind, identifier=code))
        except (KeyError, ValueError):
            continue
    return "for a reason of its own"
