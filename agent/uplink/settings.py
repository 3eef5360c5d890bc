"""Settings of the uplink: the table ``[broker]`` of the agent's configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from agent.ranges import NotNegative, Positive

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
FROM_SYSTEMD = "credentials:"
"""What a file is named with that systemd hands to the agent."""


class BrokerConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where the broker is and how it is spoken to. Empty texts mean *none*."""

    host: str = "localhost"
    port: Port = 1883
    """Brokers listen for TLS at 8883."""
    protocol: Literal["5", "3.1.1"] = "5"
    """3.1.1 is for brokers that cannot do better: refusals are then invisible, and records lost to them."""
    client_id: str = ""
    """``cargobox-<box>`` if empty. A broker closes the older of two connections with one id."""
    username: str = ""
    password_file: str = ""
    """A file that holds the password, so that the configuration can be shown to others."""

    tls: bool = False
    """Speak TLS and nothing else: there is no way back to plain text."""
    ca_file: str = ""
    """Authorities to trust instead of the system's."""
    cert_file: str = ""
    key_file: str = ""

    keepalive_s: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 30
    """After one and a half times as long in silence the broker publishes the last will."""
    connect_timeout_s: Positive = 10.0
    acknowledge_timeout_s: Positive = 30.0
    """A broker that leaves a record unacknowledged for so long is left and connected to anew."""
    reconnect_min_s: Positive = 1.0
    reconnect_max_s: Positive = 60.0
    stable_s: Positive = 30.0
    """A connection that held for so long makes the next attempt begin at `reconnect_min_s` again."""
    unheard_wait_s: NotNegative = 300.0
    """For so long after a connection that followed a failure, a record that the broker has no subscriber
    for (MQTT 5) is kept and offered again: a broker that was restarted has its subscribers come back one
    by one. After that, and on a first connection, such a record counts as delivered."""
    unheard_pause_s: Positive = 1.0
    """How often one record is offered while nobody listens."""
    quota_pause_s: Positive = 5.0
    """Nothing is sent for so long after the broker said that its quota is used up."""
    inflight_max: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 100
    """Records sent and not yet acknowledged; a broker's Receive Maximum lowers it."""
    backlog_bytes_a_second: NotNegative = 0.0
    """At most so many bytes a second of what was put before the connection began; 0: as fast as the line is.
    Alarms and what is put meanwhile have no limit."""
    taken_over_pause_s: Positive = 30.0
    """How long to stay away at first after another client connected under this one's name; each time twice as
    long, up to ten times this."""

    @property
    def address(self) -> str:
        """Return how errors name the broker."""
        return f"{self.host}:{self.port}{' (TLS)' if self.tls else ''}"
