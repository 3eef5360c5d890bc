"""Credentials: the files by which box and broker know each other, and whether they are fit for use.

A file may be named ``credentials:NAME``: systemd has then put it where only the agent reads it
(LoadCredential= and SetCredentialEncrypted= of systemd.exec(5)). A secret that other users can read is
refused, as ssh does. What a secret file holds is never part of an error or of a log line.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.errors import BrokerError
from agent.timebase import TimeMark, TimeQuality
from agent.uplink import explain, x509
from agent.uplink.settings import FROM_SYSTEMD, BrokerConfig

DIRECTORY = "CREDENTIALS_DIRECTORY"
SECRET_KEYS = ("password_file", "key_file")
"""Keys of ``[broker]`` that name files which hold secrets."""
SOON_DAYS = 30
DAY_S = 86_400.0
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Expiry:
    """Until when a certificate is good."""

    key: str
    """The key of ``[broker]`` that names its file."""
    path: str
    end_s: float
    """Unix time."""

    @property
    def day(self) -> str:
        """Return its last day."""
        # not fromtimestamp(): where the C library counts in 32 bits, that ends in 2038
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.end_s)).strftime(
            "%Y-%m-%d %H:%M UTC"
        )


def located(config: BrokerConfig, key: str) -> Path:
    """Return where the file is that `key` names. Raises BrokerError where systemd was to give it."""
    named: str = getattr(config, key)
    if not named.startswith(FROM_SYSTEMD):
        return Path(named)
    folder = os.environ.get(DIRECTORY)
    name = named.removeprefix(FROM_SYSTEMD)
    if not folder or "/" in name or not name:
        raise BrokerError(
            f"preparing to connect to the broker {config.address}",
            got=f"{key} = {named!r}, and {f'the name {name!r}' if folder else f'no ${DIRECTORY}'}",
            expected="a credential that systemd hands to the agent",
            remedy=f"Add LoadCredential={name or 'NAME'}:/path/of/the/file to the unit, or name a file.",
        )
    return Path(folder, name)


def secret(config: BrokerConfig, key: str) -> Path:
    """Return where the secret is that `key` names, after a look at who may read it. Raises BrokerError."""
    path = located(config, key)
    try:
        status = path.stat()
    except OSError as error:
        raise explain.unreadable_secret(config, key, str(path), error) from error
    if getattr(config, key).startswith(FROM_SYSTEMD):
        return path  # its folder is the agent's alone; an ACL on it would look like a group's right
    who = _others(status)
    if who:
        raise BrokerError(
            f"preparing to connect to the broker {config.address}",
            got=f"{key} {str(path)!r} can be read by {who} (mode {stat.S_IMODE(status.st_mode):04o})",
            expected="a secret that nobody but the agent reads",
            remedy=f"sudo chmod 600 {path}. Make a new one if others use this computer.",
        )
    return path


def _others(status: os.stat_result) -> str:
    """Return who else may read a file, in words; root:cargobox with 0640 is how a group of one is let in."""
    if status.st_mode & 0o007:
        return "everybody"
    if status.st_uid == os.geteuid() and status.st_mode & 0o070:
        return "its whole group"
    return ""


def password(config: BrokerConfig) -> str | None:
    """Return the password; None where none is named. Raises BrokerError."""
    if not config.password_file:
        return None
    path = secret(config, "password_file")
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        # a UnicodeDecodeError would say what the file holds
        told = error if isinstance(error, OSError) else ValueError("it is no text in UTF-8")
        raise explain.unreadable_secret(config, "password_file", str(path), told) from None


def tls_context(config: BrokerConfig) -> ssl.SSLContext:
    """Return what TLS is spoken with: 1.2 or later, names verified. Raises BrokerError."""
    ca_file = str(located(config, "ca_file")) if config.ca_file else ""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise explain.unreadable_secret(config, "ca_file", ca_file, error) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    if config.cert_file:
        key_in = "key_file" if config.key_file else "cert_file"
        key = secret(config, key_in)
        certificate = located(config, "cert_file")
        try:
            # an encrypted key would ask for its password on the terminal, of which a service has none
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise _unfit(config, certificate, key, error) from error
    return context


def _unfit(config: BrokerConfig, certificate: Path, key: Path, error: OSError) -> BrokerError:
    reason = str(getattr(error, "reason", None) or "")
    if "KEY_VALUES_MISMATCH" in reason:
        return BrokerError(
            f"preparing to connect to the broker {config.address}",
            got=f"cert_file {str(certificate)!r} and key_file {str(key)!r} do not belong together",
            expected="a certificate and the key that it was made for",
            remedy="Take both files of the same pair.",
        )
    return explain.unreadable_secret(config, "cert_file or key_file", f"{certificate}, {key}", error)


def check_own(config: BrokerConfig, mark: TimeMark) -> None:
    """Raise BrokerError where the box's own certificate has expired, as far as its clock can be trusted."""
    if mark.quality is TimeQuality.UNSET:
        return
    now_s = (mark.box_ns + mark.offset_ns) / NS
    for expiry in expiries(config):
        if expiry.key == "cert_file" and expiry.end_s <= now_s:
            raise BrokerError(
                f"preparing to connect to the broker {config.address}",
                got=f"the box's own certificate {expiry.path!r} has expired: {expiry.day}",
                expected="a certificate that is valid now",
                remedy="Install a new one (cert_file, key_file under [broker]), or put the clock right if "
                "it is wrong. Records wait meanwhile.",
            )


def expiries(config: BrokerConfig) -> Iterator[Expiry]:
    """Yield the certificates of which a file of ours tells: the box's own, and the authorities."""
    if not config.tls:
        return
    for key in ("cert_file", "ca_file"):
        if not getattr(config, key):
            continue
        try:
            path = located(config, key)
            ends = x509.ends_s(path.read_text())
        except (BrokerError, OSError, ValueError):
            continue  # what cannot be read is told on connecting
        # of a file with several authorities any may be the one: only when the last has expired is it over
        last = min(ends[:1]) if key == "cert_file" and ends else max(ends, default=None)
        if last is not None:
            yield Expiry(key, str(path), last)


def warnings(config: BrokerConfig, mark: TimeMark) -> list[str]:
    """Return what will keep the box from its broker soon, or lets others listen, in words."""
    said = []
    if config.username and not config.tls and not _at_home(config.host):
        said.append(
            f"[broker] sends the password of {config.username!r} to {config.host} in plain text: whoever "
            "is on the way can read it. Set tls = true."
        )
    return said + expiry_warnings(config, mark)


def days_left(config: BrokerConfig, mark: TimeMark) -> dict[str, float]:
    """Return for how many days each certificate of ours is good, by key; none where the date is not known."""
    if mark.quality is TimeQuality.UNSET:
        return {}
    now_s = (mark.box_ns + mark.offset_ns) / NS
    return {expiry.key: (expiry.end_s - now_s) / DAY_S for expiry in expiries(config)}


def expiry_warnings(config: BrokerConfig, mark: TimeMark) -> list[str]:
    """Return which certificates run out soon or have, in words."""
    left = days_left(config, mark)
    said = []
    for expiry in expiries(config) if left else ():
        left_days = left.get(expiry.key, SOON_DAYS)
        what = "the box's own certificate" if expiry.key == "cert_file" else "the broker's authority"
        if left_days <= 0:
            said.append(f"{what} ({expiry.path}) has expired: {expiry.day}. Install a new one.")
        elif left_days < SOON_DAYS:
            said.append(
                f"{what} ({expiry.path}) expires in {left_days:.0f} days: {expiry.day}. Install a new one "
                "before; from then on nothing arrives."
            )
    return said


def _at_home(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
