"""What a replay was made with, kept beside its results: whoever shows them shows the same.

``settings.json`` holds the configuration, less what no replay looks at (secrets among it), and the
certificates that were applied, by content: the files that they came from may change, or stay elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.config import Config
from agent.errors import LogFileError
from calibration.certificate import Certificate, parse_certificate
from calibration.errors import CertificateError

SETTINGS_FILE = "settings.json"
# sections of the configuration that no replay looks at: where samples come from and where records go
ELSEWHERE = ("broker", "certificates", "health", "orders", "outbox", "recorder", "source")


class ReplaySettings(msgspec.Struct, frozen=True):
    """The configuration and the certificates of a replay."""

    config: Config
    certificates: tuple[Certificate, ...] = ()


class _File(msgspec.Struct, frozen=True):
    config: Config
    certificates: tuple[msgspec.Raw, ...] = ()


def replayed_part(config: Config) -> Config:
    """Return `config` without what no replay looks at: it must neither travel nor make a result another."""
    fresh = Config()
    fields = {field.name for field in msgspec.structs.fields(Config)}
    return msgspec.structs.replace(
        config, **{name: getattr(fresh, name) for name in ELSEWHERE if name in fields}
    )


def document_of(config: Config, certificates: Sequence[Certificate]) -> Any:
    """Return what ``settings.json`` says."""
    return _File(replayed_part(config), tuple(msgspec.Raw(c.to_json()) for c in certificates))


def read_settings(folder: Path) -> ReplaySettings | None:
    """Return what the results in `folder` were made with; None where nobody kept it. Raises LogFileError."""
    path = folder / SETTINGS_FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
        certificates = tuple(parse_certificate(bytes(raw), origin=str(path)) for raw in found.certificates)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, CertificateError) as error:
        raise LogFileError(
            f"reading {path}",
            got=str(error),
            expected="what `cargobox replay` of this version writes, whole",
            remedy="Replay the log again.",
        ) from error
    return ReplaySettings(found.config, certificates)
