"""The configuration of an agent that is measured: a box on a cable, bands for its climate, a broker."""

from __future__ import annotations

from pathlib import Path

from agent.embedded_broker import EmbeddedBroker

CONFIG = """
[box]
id = "bench"
[cargo]
profile = "{profile}"
[source.serial]
port = "{port}"
[detect.temperature]
low_degc = 2.0
high_degc = 8.0
[detect.humidity]
high_percent = 75.0
[outbox]
directory = "{folder}/outbox"
[broker]
host = "{host}"
port = {broker_port}
protocol = "{protocol}"
{more}
"""


def configured(folder: Path, port: str, broker: EmbeddedBroker, *, profile: str = "", more: str = "") -> Path:
    """Write it into `folder`, with `more` behind; return where it is."""
    path = folder / "cargobox.toml"
    path.write_text(
        CONFIG.format(
            profile=profile,
            port=port,
            folder=folder,
            host=broker.host,
            broker_port=broker.port,
            protocol=broker.protocol,
            more=more,
        )
    )
    return path
