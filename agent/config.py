"""Typed settings from one TOML file. Everything has a default but the source of the samples.

Relative paths count from the folder of the file. ``docs/operators.md`` shows a whole one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.detection import DetectorSettings
from agent.errors import ConfigError
from agent.reduction import UploadSettings
from agent.streams import StreamClass, StreamSpec, Unit
from agent.typed_toml import read_table, typed
from agent.uplink.settings import BrokerConfig
from calibration.certificate import Certificate, read_certificate

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A topic level and a file name: letters, digits, dot, dash and underscore."""
Positive = Annotated[float, msgspec.Meta(gt=0)]
Vector = tuple[float, float, float]

REMEDY = "docs/operators.md lists every key with its default."
AXIS_WORDS = {
    "x": (1.0, 0.0, 0.0),
    "y": (0.0, 1.0, 0.0),
    "z": (0.0, 0.0, 1.0),
    "-x": (-1.0, 0.0, 0.0),
    "-y": (0.0, -1.0, 0.0),
    "-z": (0.0, 0.0, -1.0),
}


class BoxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[box]``: who this is; both are levels of every topic."""

    id: Name = "box"
    fleet: Name = "default"


class SerialSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[source.serial]``: the microcontroller on its cable."""

    port: str


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[source.*]``: where samples come from."""

    serial: SerialSettings | None = None


class MountingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[mounting]``: ``up`` is an axis ("z", "-x", …), a vector, or "auto".

    "auto" takes what the board or the map says, and otherwise learns it from the first rest.
    """

    up: Literal["auto", "x", "y", "z", "-x", "-y", "-z"] | Vector = "auto"


class CertificateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[certificates]``: files to correct by."""

    files: tuple[str, ...] = ()


class OutboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[outbox]``: the durable queue on the card."""

    directory: str = "/var/lib/cargobox/outbox"
    commit_window_s: Positive = 0.5
    max_mib: Positive = 512.0


class StreamOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[streams.NAME]``: changes a stream of the table, or, with every key given, adds one."""

    axes: tuple[str, ...] | None = None
    unit: Unit | None = None
    rate_hz: Positive | None = None
    sample_bits: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    kind: StreamClass | None = None
    scale: float | None = None
    full_scale: Positive | None = None
    watch: bool | None = None
    summarise: bool | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    box: BoxSettings = BoxSettings()
    source: SourceSettings = SourceSettings()
    mounting: MountingSettings = MountingSettings()
    streams: dict[str, StreamOverride] = {}
    detect: DetectorSettings = DetectorSettings()
    upload: UploadSettings = UploadSettings()
    certificates: CertificateSettings = CertificateSettings()
    outbox: OutboxSettings = OutboxSettings()
    broker: BrokerConfig = BrokerConfig()

    def mount_up(self, said: Vector | None) -> Vector | None:
        """Return which way is up: what the file says, or else what the source `said`."""
        up = self.mounting.up
        if isinstance(up, str):
            return said if up == "auto" else AXIS_WORDS[up]
        length = math.hypot(*up)
        return (up[0] / length, up[1] / length, up[2] / length)

    def apply_to(self, specs: Iterable[StreamSpec]) -> tuple[StreamSpec, ...]:
        """Return the source's `specs` with what the file says of them."""
        changed = []
        for spec in specs:
            override = self.streams.get(spec.name)
            given = msgspec.structs.asdict(override) if override else {}
            changed.append(msgspec.structs.replace(spec, **{k: v for k, v in given.items() if v is not None}))
        return tuple(changed)


def load_config(path: Path | None) -> Config:
    """Read the configuration at `path`; all defaults where there is none. Raises ConfigError."""
    if path is None:
        return Config()
    table = read_table(path, what="configuration", remedy="Check the path given to --config.")
    doing = f"reading the configuration {path}"
    config = typed(table, Config, doing=doing, remedy=REMEDY)
    up = config.mounting.up
    if not isinstance(up, str) and math.hypot(*up) == 0:
        raise ConfigError(
            doing, got="mounting.up = [0, 0, 0]", expected="a direction", remedy='Say "z", or a vector.'
        )
    here = path.resolve().parent
    return msgspec.structs.replace(
        config,
        outbox=msgspec.structs.replace(config.outbox, directory=str(here / config.outbox.directory)),
        certificates=CertificateSettings(files=tuple(str(here / f) for f in config.certificates.files)),
    )


def load_certificates(config: Config) -> tuple[Certificate, ...]:
    """Read the certificates that the configuration names. Raises CertificateError, ConfigError."""
    certificates = tuple(read_certificate(Path(f)) for f in config.certificates.files)
    seen: dict[str, str] = {}
    for certificate, file in zip(certificates, config.certificates.files, strict=True):
        if certificate.stream in seen:
            raise ConfigError(
                "reading [certificates]",
                got=f"two for stream {certificate.stream!r}: {seen[certificate.stream]} and {file}",
                expected="one a stream",
                remedy="Take the older one out of the list.",
            )
        seen[certificate.stream] = file
    return certificates


def serial_port(config: Config, path: Path | None) -> str:
    """Return the configured port. Raises ConfigError where the file names no source."""
    if config.source.serial is None:
        raise ConfigError(
            f"reading the configuration {path}" if path else "starting without --config",
            got="no [source.serial]",
            expected='[source.serial] with port = "/dev/serial/by-id/…"',
            remedy="`ls /dev/serial/by-id` lists what is plugged in.",
        )
    return config.source.serial.port
