"""Typed settings from one TOML file. Everything has a default but the source of the samples.

Relative paths count from the folder of the file. ``docs/operators.md`` shows a whole one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from agent.detection import DetectorSettings
from agent.detection.profiles import ProfileName, under
from agent.errors import ConfigError, did_you_mean
from agent.orders.settings import OrderSettings
from agent.ranges import NAME, Positive
from agent.recorder.settings import RecorderSettings
from agent.reduction import UploadSettings
from agent.snippets.settings import SnippetSettings
from agent.sources.i2c_settings import I2cSettings, check_buses
from agent.streams import TABLE, StreamClass, StreamSpec, Unit
from agent.typed_toml import read_table, typed
from agent.uplink.settings import FROM_SYSTEMD, BrokerConfig
from calibration.certificate import Certificate
from calibration.store import read_kept

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
"""A topic level and a file name: letters, digits, dot, dash and underscore."""
Vector = tuple[float, float, float]

REMEDY = "docs/operators.md lists every key with its default, docs/sensors.md those of chips."
MOST_PERCENT = 100
# [detect.*] keys of which the first must not be above the second, or what the second is for never happens
RISING = {
    "drop": (
        ("deep_mps2", "below_mps2"),
        ("min_fall_s", "max_fall_s"),
        ("major_height_m", "critical_height_m"),
    ),
    "shock": (
        ("peak_mps2", "critical_peak_mps2"),
        ("delta_v_mps", "critical_delta_v_mps"),
        ("min_duration_s", "max_duration_s"),
    ),
    "bump": (("level_mps2", "hard_mps2"),),
    "slosh": (("minor_part", "general_part"), ("general_part", "critical_part")),
    "harsh": (("release_mps2", "level_mps2"), ("level_mps2", "extreme_mps2")),
    "load_shift": (("shift", "major_shift"),),
    "leak": (
        ("damp_percent", "damp_major_percent"),
        ("pack_general_part", "pack_major_part"),
        ("rope_short_below_v", "rope_broken_above_v"),
    ),
}
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


class CargoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cargo]``: what is carried; a profile sets what ``[detect]`` does not say."""

    profile: ProfileName = ""


class SerialSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[source.serial]``: the microcontroller on its cable."""

    port: str


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[source.*]``: where samples come from."""

    serial: SerialSettings | None = None
    i2c: tuple[I2cSettings, ...] = ()


class MountingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[mounting]``: ``up`` is an axis ("z", "-x", …), a vector, or "auto".

    "auto" takes what the board or the map says, and otherwise learns it from the first rest.
    """

    up: Literal["auto", "x", "y", "z", "-x", "-y", "-z"] | Vector = "auto"


class CertificateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[certificates]``: files to correct by, and a folder of which each sensor's latest is taken."""

    files: tuple[str, ...] = ()
    folder: str = ""


class OutboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[outbox]``: the durable queue on the card."""

    directory: str = "/var/lib/cargobox/outbox"
    commit_window_s: Positive = 0.5
    max_mib: Positive = 512.0
    memory_mib: Positive = 4.0
    card_endurance_tbw: Positive = 10.0


class HealthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[health]``: how often the box tells how it does; rarer where the budget is too small for it."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 60.0


class StreamOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[streams.NAME]``: what the source says of a stream, put right."""

    axes: tuple[str, ...] | None = None
    unit: Unit | None = None
    rate_hz: Positive | None = None
    sample_bits: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    kind: StreamClass | None = None
    scale: float | None = None
    offset: float | None = None
    full_scale: Positive | None = None
    watch: bool | None = None
    summarise: bool | None = None
    sensor: str | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    box: BoxSettings = BoxSettings()
    cargo: CargoSettings = CargoSettings()
    source: SourceSettings = SourceSettings()
    mounting: MountingSettings = MountingSettings()
    streams: dict[str, StreamOverride] = {}
    detect: DetectorSettings = DetectorSettings()
    upload: UploadSettings = UploadSettings()
    snippets: SnippetSettings = SnippetSettings()
    certificates: CertificateSettings = CertificateSettings()
    outbox: OutboxSettings = OutboxSettings()
    recorder: RecorderSettings = RecorderSettings()
    broker: BrokerConfig = BrokerConfig()
    orders: OrderSettings = OrderSettings()
    health: HealthSettings = HealthSettings()

    def mount_up(self, said: Vector | None) -> Vector | None:
        """Return which way is up: what the file says, or else what the source `said`."""
        up = self.mounting.up
        if isinstance(up, str):
            return said if up == "auto" else AXIS_WORDS[up]
        length = math.hypot(*up)
        return (up[0] / length, up[1] / length, up[2] / length)

    def apply_to(self, specs: Iterable[StreamSpec]) -> tuple[StreamSpec, ...]:
        """Return the source's `specs` with what the file says of them."""
        given = {spec.name: spec for spec in specs}
        for name, override in self.streams.items():
            if name in given:
                _check_override(name, override, given[name])
                changes = {k: v for k, v in msgspec.structs.asdict(override).items() if v is not None}
                given[name] = msgspec.structs.replace(given[name], **changes)
            elif name not in TABLE:
                raise ConfigError(
                    f"reading [streams.{name}] of the configuration",
                    got=f"a stream that the source does not give{did_you_mean(name, given)}",
                    expected=f"one of {', '.join(given)}",
                    remedy="Correct the name, or take the section out.",
                )
        return tuple(given.values())


def _check_override(name: str, override: StreamOverride, spec: StreamSpec) -> None:
    wrong = ""
    if override.axes is not None and len(override.axes) != len(spec.axes):
        wrong = f"{len(override.axes)} axes"
    elif override.unit is not None and override.unit is not spec.unit:
        wrong = f"unit {override.unit.value!r}"
    if wrong:
        raise ConfigError(
            f"reading [streams.{name}] of the configuration",
            got=wrong,
            expected=f"{len(spec.axes)} axes in {spec.unit.value}, as the source gives them",
            remedy="A new name for an axis is fine; what the sensor measures cannot be changed here.",
        )


def load_config(path: Path | None, changes: Mapping[str, Any] | None = None) -> Config:
    """Read the configuration at `path`; all defaults where there is none. Raises ConfigError.

    `changes`: values by key with dots, ``detect.shock.peak_mps2``, that go before what the file says.
    """
    if path is None and not changes:
        return Config()
    doing = " ".join(["reading the configuration", *([str(path)] if path is not None else [])])
    table: dict[str, Any] = {}
    if path is not None:
        remedy = "Check the path given to --config, and that this user may read it."
        table = read_table(path, what="configuration", remedy=remedy)
    if changes:
        doing += " with " + ", ".join(f"{key} = {value!r}" for key, value in changes.items())
        _change(table, {k: v for k, v in changes.items() if k.startswith("cargo.")}, doing)
    cargo = table.get("cargo")
    profile = cargo.get("profile") if isinstance(cargo, dict) else None
    merged = under(profile, table) if isinstance(profile, str) else table
    if changes:
        merged = copy.deepcopy(merged)
        _change(merged, changes, doing)  # what is asked for by hand goes before the profile
    _check_budget(merged, doing)
    config = typed(merged, Config, doing=doing, remedy=REMEDY)
    _check_rising(config, doing)
    check_buses(config.source.i2c, doing)
    up = config.mounting.up
    if not isinstance(up, str) and math.hypot(*up) == 0:
        raise ConfigError(
            doing, got="mounting.up = [0, 0, 0]", expected="a direction", remedy='Say "z", or a vector.'
        )
    bands = {"temperature": config.detect.temperature.band(), "humidity": config.detect.humidity.band()}
    for name, band in bands.items():
        if band.low is not None and band.high is not None and band.low >= band.high:
            raise ConfigError(
                doing,
                got=f"detect.{name} with low_{band.unit} = {band.low:g} and high_{band.unit} = {band.high:g}",
                expected="low below high",
                remedy=f"Set both; the profile {profile!r} says what the file does not."
                if profile
                else "Exchange them.",
            )
    if "[" in config.broker.host or "]" in config.broker.host:
        bare = config.broker.host.lstrip("[").partition("]")[0]
        raise ConfigError(
            doing,
            got=f"broker.host = {config.broker.host!r}",
            expected="a name or an address without brackets",
            remedy=f"Write host = {bare!r}; the port has a key of its own.",
        )
    if config.orders.allow and not config.orders.keys:
        raise ConfigError(
            doing,
            got="orders.allow without orders.keys",
            expected="a public key, of whoever may order that",
            remedy="`cargobox order --key FILE make-key` makes a pair; FILE.pub goes here.",
        )
    here = path.resolve().parent if path is not None else Path.cwd()
    files = ("password_file", "ca_file", "cert_file", "key_file")
    named = {name: getattr(config.broker, name) for name in files}
    return msgspec.structs.replace(
        config,
        broker=msgspec.structs.replace(
            config.broker, **{name: _beside(here, file) for name, file in named.items() if file}
        ),
        outbox=msgspec.structs.replace(config.outbox, directory=str(here / config.outbox.directory)),
        recorder=msgspec.structs.replace(
            config.recorder,
            directory=str(here / config.recorder.directory) if config.recorder.directory else "",
        ),
        orders=msgspec.structs.replace(
            config.orders,
            keys=tuple(str(here / key) for key in config.orders.keys),
            state_file=str(here / config.orders.state_file),
        ),
        certificates=CertificateSettings(
            files=tuple(str(here / f) for f in config.certificates.files),
            folder=str(here / config.certificates.folder) if config.certificates.folder else "",
        ),
    )


def _change(table: dict[str, Any], changes: Mapping[str, Any], doing: str) -> None:
    """Set keys with dots; a number among them is a place in a list, which has its default if not told."""
    defaults = msgspec.json.decode(msgspec.json.encode(Config()))
    for name, value in changes.items():
        *above, last = name.split(".")
        at: Any = table
        default: Any = defaults
        for key, below in zip(above, [*above[1:], last], strict=True):
            default = default.get(key) if isinstance(default, dict) else None
            if isinstance(at, list):
                at = at[_place(key, at, doing)]
            elif isinstance(at, dict):
                at = at.setdefault(key, copy.deepcopy(default) if below.isdecimal() and default else {})
            if not isinstance(at, dict | list):
                raise ConfigError(
                    doing,
                    got=f"{name}: {key} as a table",
                    expected=f"a key without others behind it: {key} = {at!r}",
                    remedy=REMEDY,
                )
        at[_place(last, at, doing) if isinstance(at, list) else last] = value


def _place(key: str, entries: list[Any], doing: str) -> int:
    if key.isdecimal() and int(key) < len(entries):
        return int(key)
    raise ConfigError(
        doing,
        got=f"{key!r} as a place in a list",
        expected=f"0 to {len(entries) - 1}, of {entries!r}",
        remedy="Name the entry by its place, counted from 0, or set the whole list.",
    )


def _check_budget(table: Mapping[str, Any], doing: str) -> None:
    """Refuse a budget in per cent with a word for whoever meant that."""
    upload = table.get("upload")
    budget = upload.get("budget") if isinstance(upload, dict) else None
    if isinstance(budget, int | float) and 1 < budget <= MOST_PERCENT:
        raise ConfigError(
            doing,
            got=f"upload.budget = {budget:g}",
            expected="more than 0, at most 1: a part of the sensors' own bytes",
            remedy=f"It is no per cent: {budget:g} % is {budget / MOST_PERCENT:g}.",
        )


def _check_rising(config: Config, doing: str) -> None:
    for name, pairs in RISING.items():
        settings = getattr(config.detect, name)
        for low, high in pairs:
            below, above = getattr(settings, low), getattr(settings, high)
            if below is not None and above is not None and below > above:
                raise ConfigError(
                    doing,
                    got=f"detect.{name} with {low} = {below:g} and {high} = {above:g}",
                    expected=f"{low} at most {high}",
                    remedy="Set both: what the file does not say has its default, or is the cargo profile's.",
                )


def _beside(here: Path, file: str) -> str:
    """Return the path of a file named in the configuration; what systemd hands over is no path yet."""
    return file if file.startswith(FROM_SYSTEMD) else str(here / file)


def load_certificates(config: Config) -> tuple[Certificate, ...]:
    """Read the files that the configuration names. Raises CertificateError, ConfigError."""
    certificates = tuple(read_kept(Path(f)) for f in config.certificates.files)
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
