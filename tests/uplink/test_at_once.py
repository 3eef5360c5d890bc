"""A packet leaves when it is written: no alarm waits for the answer to the record before it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from agent.uplink.session import Session
from tests.uplink.brokers import Mosquitto

pytestmark = pytest.mark.broker


def test_the_session_does_not_wait_to_fill_packets(mosquitto: Callable[..., Mosquitto]) -> None:
    session = Session(
        mosquitto().config(), client_id="x", will=None, on_answer=lambda _: None, on_lost=lambda: None
    )
    session.open()
    try:
        sock = session._client.socket()
        assert isinstance(sock, socket.socket)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "Nagle's algorithm is on"
    finally:
        session.close()
