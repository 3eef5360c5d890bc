"""Through a socket of this computer instead of the network, which the service's sandbox does not have.

Behind the socket systemd-socket-proxyd(8) connects to the broker. TLS and the broker's name stay as they are.
The unit says which broker that is, so that a configuration which has been changed since is noticed.
"""

from __future__ import annotations

import contextlib
import os
import socket

import paho.mqtt.client as mqtt

from agent.errors import BrokerError
from agent.uplink.settings import BrokerConfig

VARIABLE = "CARGOBOX_BROKER_SOCKET"
"""``host:port=/path/of/the/socket``; not set: there is a network."""


def way_to(config: BrokerConfig) -> str:
    """Return the path of the socket behind which the broker is; none, where there is a network.

    Raises BrokerError where the socket leads to another broker than the configured one.
    """
    broker, _, path = os.environ.get(VARIABLE, "").partition("=")
    wanted = f"[{config.host}]:{config.port}" if ":" in config.host else f"{config.host}:{config.port}"
    if path and broker != wanted:
        raise BrokerError(
            f"connecting to the broker {config.address}",
            got=f"a service that was installed for {broker}",
            expected="the broker of the configuration",
            remedy="Run `sudo cargobox service install` again.",
        )
    return path


class Client(mqtt.Client):
    """paho's client, whose connection may begin at a socket of this computer."""

    through = ""

    def nudge(self) -> None:
        """End the wait of the thread that serves the network. From any thread; never waits."""
        if self._sockpairW is not None:
            with contextlib.suppress(OSError):  # full: it is awake; closed: it has gone
                self._sockpairW.send(b"0")

    def _create_socket_connection(self) -> socket.socket:
        if not self.through:
            return super()._create_socket_connection()
        if self._sockpairR is None or self._sockpairW is None:
            # by which its threads wake each other; paho's own is of the network, which is not there
            self._sockpairR, self._sockpairW = socket.socketpair()
            self._sockpairR.setblocking(False)
            self._sockpairW.setblocking(False)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(self.connect_timeout)
            sock.connect(self.through)
        except OSError:
            sock.close()
            raise
        return sock
