"""From the configuration to the source that is read: the box on its port, the I2C buses, or all of them."""

from __future__ import annotations

from pathlib import Path

from agent.config import Config
from agent.errors import ConfigError
from agent.sources import LiveSource
from agent.sources.gathered_source import GatheredSource, call_cells
from agent.sources.i2c_bus import I2cBus, take_precedence
from agent.sources.i2c_settings import I2cSettings, speed_hz_of
from agent.sources.serial_box import SerialBox
from agent.sources.several import FIRST_RETRY_S, SeveralSources


def source_of(
    config: Config,
    config_path: Path | None,
    port: str | None,
    *,
    wait: bool = False,
    first_retry_s: float = FIRST_RETRY_S,
) -> LiveSource:
    """Return what is to be read; `port` is the command line's, and overrules the configured one.

    With `wait`, a box that is not there does not keep the buses from being read. Raises ConfigError where
    the file names no source.
    """
    sources: list[LiveSource] = []
    port = port_of(config, port)
    if port is not None:
        sources.append(SerialBox(port))
    sources += [_bus_of(settings) for settings in config.source.i2c]
    if not sources:
        raise ConfigError(
            f"reading the configuration {config_path}" if config_path else "starting without --config",
            got="neither [source.serial] nor [[source.i2c]]",
            expected='[source.serial] with a port = "/dev/…", or [[source.i2c]] with bus and chips',
            remedy="`ls /dev/serial/by-id` lists what is plugged in, `cargobox doctor` also the chips.",
        )
    if len(sources) == 1:
        return sources[0]
    return SeveralSources(sources, wait=wait, first_retry_s=first_retry_s)


def _bus_of(settings: I2cSettings) -> LiveSource:
    drivers = [chip.make() for chip in settings.chips]
    groups = call_cells(drivers)
    bus = I2cBus(
        settings.bus,
        [(d, c.address, c.mux, c.channel) for d, c in zip(drivers, settings.chips, strict=True)],
        speed_hz=speed_hz_of(settings),
        timeout_ms=settings.timeout_ms,
        latency_ms=settings.latency_ms,
        hurry=take_precedence,
    )
    return GatheredSource(bus, groups, now_ns=bus.port.now_ns) if groups else bus


def port_of(config: Config, port: str | None) -> str | None:
    """Return the port that is read, if any: the command line's `port`, or else the configured one."""
    return port or (config.source.serial.port if config.source.serial is not None else None)


def words_of(config: Config, port: str | None) -> str:
    """Return what is read, in words: "/dev/ttyACM0 and i2c-1"."""
    names = [port_of(config, port), *(settings.name for settings in config.source.i2c)]
    return " and ".join(name for name in names if name)
