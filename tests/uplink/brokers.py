"""Far ends: a real mosquitto that can be killed and started again, a subscriber, and a broker by script."""

from __future__ import annotations

import queue
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.embedded_broker import find_mosquitto
from agent.records import decode
from agent.uplink import BrokerConfig

HOST = "127.0.0.1"
PATIENCE_S = 20.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


class Mosquitto:
    """A mosquitto on a port of its own, with what `lines` add to its configuration."""

    def __init__(self, directory: Path, *lines: str, listener: str = "") -> None:
        program = find_mosquitto()
        if program is None:
            pytest.skip("mosquitto is not installed")
        self.port = free_port()
        self._program = program
        self._config = directory / "mosquitto.conf"
        text = [
            f"listener {self.port} {listener or HOST}",
            *(() if any(line.startswith("allow_anonymous") for line in lines) else ("allow_anonymous true",)),
            "persistence false",
            "user root",
            "log_dest stderr",
            "log_type all",
            *lines,
        ]
        self._config.write_text("\n".join(text) + "\n")
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.start()

    def start(self) -> None:
        process = subprocess.Popen(
            [self._program, "-c", str(self._config)], stderr=subprocess.PIPE, text=True, cwd="/"
        )
        self._process = process
        running = threading.Event()

        def read() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                if line.rstrip().endswith("running"):
                    running.set()

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        assert running.wait(PATIENCE_S), f"mosquitto does not start: see {self._config}"

    def kill(self) -> None:
        if self._process is not None and self._reader is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._process = None

    def config(self, **more: Any) -> BrokerConfig:
        quick = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.05}
        return BrokerConfig(**{"host": HOST, "port": self.port, **quick, **more})


class Subscriber:
    """Keeps what arrives; `wait` returns when a condition on it holds."""

    def __init__(self, port: int, **credentials: str) -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self._changed = threading.Condition()
        self._port = port
        self._credentials = credentials
        self._client: mqtt.Client | None = None
        self.connect()

    def connect(self) -> None:
        """Connect (anew) and subscribe; returns when the broker will forward all that comes from now on."""
        ready = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        if self._credentials:
            client.username_pw_set(**self._credentials)
        client.on_message = self._keep
        client.on_subscribe = lambda *_: ready.set()
        client.connect(HOST, self._port)
        client.loop_start()
        client.subscribe("cargobox/#", qos=0)  # QoS 0: forwarded before the publisher has its PUBACK
        assert ready.wait(PATIENCE_S)
        self._client = client

    def close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()

    def wait(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, patience_s), f"{len(self.messages)} messages came"

    def seqs(self) -> list[int]:
        """Sequence numbers in the order in which they came."""
        return [self.body(m)["seq"] for m in list(self.messages) if not m.topic.endswith("/status")]

    def states(self) -> list[str]:
        """What the status topic said."""
        return [self.body(m)["state"] for m in list(self.messages) if m.topic.endswith("/status")]

    @staticmethod
    def body(message: mqtt.MQTTMessage) -> dict[str, Any]:
        return decode(bytes(message.payload))

    def _keep(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()


class ScriptedBroker:
    """An MQTT 5 broker that does what a test tells it, for answers that no real one gives on demand.

    `connack`: reason code and properties. Each PUBLISH is put into `published` as (packet id, payload);
    `on_publish`, if given, is called with the connection and these, on the broker's thread.
    """

    def __init__(
        self,
        *,
        connack: bytes | None = b"\x00\x00\x00",
        on_publish: Callable[[ScriptedBroker, int, bytes], None] | None = None,
    ) -> None:
        self.published: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.connections = 0
        self._connack = connack
        self._on_publish = on_publish
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def puback(self, packet_id: int, code: int = 0) -> None:
        self._send(
            b"\x40"
            + (b"\x02" if code == 0 else b"\x03")
            + struct.pack("!H", packet_id)
            + (b"" if code == 0 else bytes([code]))
        )

    def disconnect(self, code: int) -> None:
        self._send(bytes([0xE0, 1, code]))
        self.hang_up()

    def say(self, data: bytes) -> None:
        self._send(data)

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.shutdown(socket.SHUT_RDWR)

    def next_published(self) -> tuple[int, bytes]:
        return self.published.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._connection is not None:
            with suppress(OSError):
                self.hang_up()
        self._thread.join(PATIENCE_S)

    def _send(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.sendall(data)

    def _serve(self) -> None:
        while True:
            try:
                self._connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with self._connection, self._connection.makefile("rb") as stream:
                    for kind, body in _packets(stream):
                        self._answer(kind, body)
            except OSError:
                continue

    def _answer(self, kind: int, body: bytes) -> None:
        if kind == 1 and self._connack is not None:
            self._send(bytes([0x20, len(self._connack)]) + self._connack)
        elif kind == 3:
            topic_length = struct.unpack_from("!H", body)[0]
            packet_id = struct.unpack_from("!H", body, 2 + topic_length)[0]
            payload = body[2 + topic_length + 2 + 1 :]  # no properties
            if b'"state"' in payload:
                self.puback(packet_id)
                return
            self.published.put((packet_id, payload))
            if self._on_publish is not None:
                self._on_publish(self, packet_id, payload)
        elif kind == 12:
            self._send(b"\xd0\x00")


def _packets(stream: Any) -> Iterator[tuple[int, bytes]]:
    while head := stream.read(1):
        length = shift = 0
        while True:
            byte = stream.read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        yield head[0] >> 4, stream.read(length)


@contextmanager
def silent_listener() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server((HOST, 0)) as listener:
        yield int(listener.getsockname()[1])
