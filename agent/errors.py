"""The agent's errors, each in four parts (see ``firmware_bridge.errors.FourPartError``).

FourPartError
├── ConfigError       the TOML file: exit status 2
├── UsageError        the command line: exit status 2
├── LogFileError      a log that cannot be read as what it claims to be
├── OutboxError       the store on the card
├── OrderError        a key, or the memory of what was ordered
├── PayloadError      what should be a record of ours, and cannot be read
└── BrokerError       the far end of the uplink
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from firmware_bridge.errors import FourPartError

__all__ = [
    "BrokerError",
    "ConfigError",
    "FourPartError",
    "LogFileError",
    "OrderError",
    "OutboxError",
    "PayloadError",
    "UsageError",
    "did_you_mean",
]


class ConfigError(FourPartError):
    """The configuration file, or a map, says something that cannot be done."""


class UsageError(FourPartError):
    """The command line asks for something that cannot be done."""


class LogFileError(FourPartError):
    """A log file is damaged, or is not what its name or its map says."""


class OutboxError(FourPartError):
    """The durable queue cannot keep its promise."""


class OrderError(FourPartError):
    """Orders cannot be signed, or not be taken safely."""


class PayloadError(FourPartError):
    """The bytes of a message are no payload of ours, or damaged."""


class BrokerError(FourPartError):
    """The broker refuses, or cannot be reached."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``' (did you mean X?)'`` for the nearest of `known`, or an empty string."""
    spelled = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(spelled), n=1, cutoff=0.6)
    return f" (did you mean {spelled[near[0]]!r}?)" if near else ""
