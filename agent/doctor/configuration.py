"""The configuration: can it be read, does it name what a box needs, are its certificates there?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.certificates import at_hand, warnings
from agent.config import Config
from agent.doctor.finding import Area, Finding, Patient, State, from_error
from agent.errors import FourPartError
from agent.timebase import measure_mark
from calibration.errors import CertificateError

USUAL_PATH = Path("/etc/cargobox/cargobox.toml")


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the file that the agent would be given."""
    if patient.config_error is not None:
        yield from_error(Area.CONFIGURATION, patient.config_error)
        return
    if patient.config is None:
        usual = f" {USUAL_PATH}" if USUAL_PATH.exists() else " FILE"
        yield Finding(
            Area.CONFIGURATION,
            State.SKIPPED,
            "configuration",
            "none was given, so broker and disk are not looked at",
            f"`cargobox doctor --config{usual}` looks at these too.",
        )
        return
    config = patient.config
    yield Finding(
        Area.CONFIGURATION,
        State.OK,
        str(patient.config_path),
        f"box {config.box.id} of fleet {config.box.fleet}, {_cargo(config)}",
        figures={"box": config.box.id, "fleet": config.box.fleet, "profile": config.cargo.profile},
    )
    if config.source.serial is None and not config.source.i2c:
        yield Finding(
            Area.CONFIGURATION,
            State.WRONG,
            "[source]",
            "neither a port nor an I2C bus is named",
            'Write port = "/dev/serial/by-id/…" under [source.serial]; the ports that are there stand below. '
            "Or name a bus and its chips under [[source.i2c]].",
        )
    yield from _certificates(config)


def _cargo(config: Config) -> str:
    return f"cargo profile {config.cargo.profile}" if config.cargo.profile else "no cargo profile"


def _certificates(config: Config) -> Iterator[Finding]:
    try:
        certificates = at_hand(config)
    except FourPartError as error:
        yield from_error(Area.CONFIGURATION, error)
        return
    except CertificateError as error:
        yield _of(error)
        return
    yield from map(_of, certificates.damaged)
    newest = certificates.newest()
    for words in warnings(newest, measure_mark()):
        yield Finding(
            Area.CONFIGURATION,
            State.WARNING,
            "certificates",
            words,
            "`cargobox calibrate` makes the next one; from its last day on records say `degraded`.",
        )
    if newest:
        streams = ", ".join(c.stream for c in newest)
        yield Finding(Area.CONFIGURATION, State.OK, "certificates", f"for {streams}")


def _of(error: CertificateError) -> Finding:
    found = f"{error.got}, expected {error.expected}"
    return Finding(Area.CONFIGURATION, State.WRONG, error.doing, found, error.remedy)
